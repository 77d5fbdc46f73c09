"""Faults of those who call the HTTP services, and what these answer when they have nothing to answer with."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from random import Random

import httpx

from infra.api_keys import Role, new_key
from infra.store.database import POOL_SIZE
from tests.faultlab.faults import fault
from tests.faultlab.stage import Stage
from tests.faultlab.workloads import WORKLOADS, Workload, orders
from tests.integration.an_order_path import CLOCK, until

_ANSWER_SECONDS = 30.0
_SLOW_CLIENTS = 100
_UNFINISHED = b"GET /orders HTTP/1.1\r\nHost: scizor\r\n"

WORKLOADS["served"] = Workload(
    "", "orders of some kinds, and cancels, while an HTTP service answers", orders,
    services=("risk", "executor", "portfolio", "api_trader"),
)  # fmt: skip


@fault(
    "connections-exhausted",
    "F13",
    "all the API's connections to the database hang, and clients do not say all they have to",
    work="served",
    pairs=False,
)
async def _connections_exhausted(stage: Stage, rng: Random) -> None:
    async with _a_client(stage) as client, _slow_clients(stage):
        await until(lambda: _is_answered(client))
        stage.database.freeze(b"scizor api_trader\0")
        try:
            asking = (_ask(client) for _ in range(POOL_SIZE * rng.randint(2, 5)))
            answers = [each for each in await asyncio.gather(*asking) if each.status_code != httpx.codes.OK]
        finally:
            stage.database.thaw()
        stage.marks.strikes += len(answers)
        stage.marks.found += [f"answered {each.status_code}: {each.text}" for each in answers if not _says_when(each)]
        assert answers, "every request was answered all the same"
        await until(lambda: _is_answered(client))


def _says_when(answer: httpx.Response) -> bool:
    return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and answer.headers.get("retry-after", "").isdigit()


@contextlib.asynccontextmanager
async def _a_client(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    key = new_key()
    await stage.path.execute(
        "INSERT INTO api_keys (key_id, key_hash, label, role, created_at)"
        " VALUES (:id, :digest, 'laboratory', :role, :now)",
        id=key.key_id, digest=key.digest, role=Role.VIEWER.value, now=CLOCK.now(),
    )  # fmt: skip
    headers = {"Authorization": f"Bearer {key.text}"}
    address = f"http://127.0.0.1:{stage.settings.trader_port}"
    async with httpx.AsyncClient(base_url=address, headers=headers, timeout=_ANSWER_SECONDS) as client:
        yield client


async def _ask(client: httpx.AsyncClient) -> httpx.Response:
    return await client.get("/orders")


async def _is_answered(client: httpx.AsyncClient) -> bool:
    try:
        return (await _ask(client)).status_code == httpx.codes.OK
    except httpx.TransportError:  # it has not come so far, or stood still
        return False


@contextlib.asynccontextmanager
async def _slow_clients(stage: Stage) -> AsyncIterator[None]:
    """Many who begin to ask, and do not end."""
    port = stage.settings.trader_port
    await until(lambda: _listens(port))
    ends = [await asyncio.open_connection("127.0.0.1", port) for _ in range(_SLOW_CLIENTS)]
    try:
        for _, writer in ends:
            writer.write(_UNFINISHED)
        yield
    finally:
        for _, writer in ends:
            writer.transport.abort()


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.transport.abort()
    return True
