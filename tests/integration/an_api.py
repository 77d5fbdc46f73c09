"""HTTP services for tests: built and run as in production, on the run's broker and database, called in-process."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consumers.api import backtester, farmer, trader
from consumers.api.front import Front
from infra import topic_admin
from infra.api_keys import Role
from infra.clock import SystemClock
from infra.replay import fold
from infra.settings import Settings
from infra.store import api_keys
from infra.store.tables import audit_log
from infra.topics import Catalogue, load_catalogue
from schemas.event import Event

_BUILD: dict[str, Callable[[Front], FastAPI]] = {
    "api_farmer": farmer.build,
    "api_backtester": backtester.build,
    "api_trader": trader.build,
}


@dataclass(frozen=True)
class Api:
    """A running service and a client of it that holds a key of each role."""

    front: Front
    client: httpx.AsyncClient
    keys: dict[Role, str]
    app: FastAPI

    async def ask(self, method: str, path: str, role: Role = Role.VIEWER, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[role]}"} | options.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **options)

    async def get(self, path: str, role: Role = Role.VIEWER, **options: Any) -> Any:
        answer = await self.ask("GET", path, role, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def store(self, act: Callable[[AsyncConnection], Awaitable[Any]]) -> None:
        """Write what another service would have written."""
        async with self.front.store.transaction() as tx:
            await act(tx.connection)

    async def told(self, topic: str) -> list[Event]:
        """Every event of a topic so far."""
        settings, catalogue = self.front.service.settings, self.front.service.catalogue
        return [event async for event, _ in fold(settings, [topic], catalogue=catalogue)]

    async def first_told(self, topic: str, count: int = 1) -> list[Event]:
        """The events of a topic, once there are `count`: the outbox is relayed right after the answer."""
        async with asyncio.timeout(30):
            while len(events := await self.told(topic)) < count:
                await asyncio.sleep(0.05)
        return events

    async def audit(self) -> Sequence[Any]:
        """Audit rows of changes made through the service."""
        query = select(audit_log).where(audit_log.c.action.not_like("keys %")).order_by(audit_log.c.sequence)
        async with self.front.store.reading() as connection:
            return (await connection.execute(query)).all()


def _small(name: str) -> Catalogue:
    """topics.yaml, of which only the topics that the service reads or writes."""
    full = load_catalogue()
    service = full.services[name]
    wanted = {*service.reads, *service.replays, *service.writes}
    topics = {topic: spec for topic, spec in full.topics.items() if topic in wanted}
    return full.model_copy(update={"topics": topics, "services": {name: service}})


@contextlib.asynccontextmanager
async def serving(name: str, settings: Settings, port: int = 0) -> AsyncIterator[Api]:
    """Run a service of topics.yaml until the block ends."""
    ports = {"farmer_port": port, "backtester_port": port, "trader_port": port}
    front = Front(name, settings.model_copy(update=ports))
    await topic_admin.apply(settings, _small(name))
    keys = {role: (await api_keys.create(front.store, f"test {role}", role, SystemClock())).text for role in Role}
    app = _BUILD[name](front)
    task = asyncio.create_task(front.service.run(app))
    transport = httpx.ASGITransport(app=app)
    try:
        await until(lambda: task.done() or not front.service.why_not_ready())
        if task.done():
            task.result()
        async with httpx.AsyncClient(transport=transport, base_url="http://scizor") as client:
            yield Api(front, client, keys, app)
    finally:
        front.service.stop()
        await task


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)
