"""The HTTP services while the database is away: halting works, its audit row follows, the rest says 503."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import make_url

from infra.api_keys import Role
from infra.embedded.kafka import Folders, KafkaServer
from infra.metrics import Metrics
from infra.publish import Publisher
from infra.settings import Settings
from infra.store import api_keys
from infra.topics import load_catalogue
from schemas.account import TradingState
from tests.builders import a_bar
from tests.integration.an_api import serving, until
from tests.integration.test_api_farmer import a_symbol


class Cable:
    """A wire to the database that can be pulled and put back."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._plugged = False
        self.port = 0

    async def plug(self) -> None:
        self._plugged = True
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def pull(self) -> None:
        assert self._server is not None
        self._plugged = False
        self._server.close()
        for end in list(self._ends):
            end.transport.abort()
        await self._server.wait_closed()

    async def _carry(self, near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, there = await asyncio.open_connection("127.0.0.1", self._port)
        if not self._plugged:  # it was pulled while this one was on its way
            back.transport.abort()
            there.transport.abort()
            return
        self._ends |= {back, there}

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(pump(near, there), pump(far, back))
        self._ends -= {back, there}


@contextlib.asynccontextmanager
async def wired(settings: Settings) -> AsyncIterator[tuple[Cable, Settings]]:
    """Settings whose database is reached over a cable."""
    url = make_url(settings.database_url.get_secret_value())
    cable = Cable(url.port or 5432)
    await cable.plug()
    over_cable = url.set(host="127.0.0.1", port=cable.port).render_as_string(hide_password=False)
    try:
        yield cable, settings.model_copy(update={"database_url": SecretStr(over_cable)})
    finally:
        await cable.pull()


async def test_without_the_database_halting_works_and_its_audit_row_is_written_later(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.api.changes._SPOOL_INTERVAL_SECONDS", 0.2)
    async with wired(stack_settings) as (cable, settings), serving("api_trader", settings) as api:
        await cable.pull()
        halted = await api.ask("POST", "/trading/halt", Role.TRADER, json={"reason": "the database burns"})
        (told,) = await api.told("trading.state.v1")
        armed = await api.ask("POST", "/trading/arm", Role.ADMIN, json={"scope": "global", "reason": "go"})
        read = await api.ask("GET", "/positions")
        unknown = await api.ask("GET", "/positions", headers={"Authorization": "Bearer nonsense"})
        await until(lambda: "database" in api.front.service.why_not_ready())
        health = await api.client.get("/health")
        spooled = (settings.home / f"audit-{api.front.service.name}.jsonl").read_text(encoding="utf-8")

        await cable.plug()
        async with asyncio.timeout(30):
            while not (audit := await api.audit()):
                await asyncio.sleep(0.05)
        again = await api.ask("GET", "/positions")
        await until(lambda: not api.front.service.why_not_ready())
        left = (settings.home / f"audit-{api.front.service.name}.jsonl").exists()

    assert (halted.status_code, halted.json()["mode"]) == (202, "HALTED")
    assert isinstance(told, TradingState)
    assert told.reason == "the database burns"
    assert (armed.status_code, read.status_code, unknown.status_code) == (503, 503, 401)
    assert "retry-after" in read.headers
    assert "postgresql://" not in read.text, "no address with a password leaves the service"
    assert (health.status_code, health.json()["status"]) == (503, "degraded")
    assert '"reason": "the database burns"' in spooled
    assert [(row.action, row.actor, row.outcome) for row in audit] == [("POST /trading/halt", "test trader", "done")]
    assert (again.status_code, left) == (200, False)


async def test_without_the_database_the_latest_price_is_served_all_the_same(stack_settings: Settings) -> None:
    """Nothing on its way asks the database, also after every answer that was remembered has grown old."""
    async with wired(stack_settings) as (cable, settings), serving("api_farmer", settings) as api:
        clock = api.front.service.clock
        publisher = Publisher("data_farmer", settings, load_catalogue(), clock, Metrics("test"))
        feed = Publisher("market_data", settings, load_catalogue(), clock, Metrics("test"))
        await publisher.start()
        await feed.start()
        await api.ask("GET", "/data/realtime/AAPL")  # the key is known now; the symbol is not
        await cable.pull()
        try:
            await publisher.publish(a_symbol())
            await feed.publish(a_bar(ingest_time=clock.now()))
            async with asyncio.timeout(30):
                while (answer := await api.ask("GET", "/data/realtime/AAPL")).status_code != 200:
                    await asyncio.sleep(0.05)
            names = api.app.state.realtime._names
            names._known.clear()
            again = await api.ask("GET", "/data/realtime/AAPL")
        finally:
            await publisher.stop()
            await feed.stop()
        stored = await api.ask("GET", "/bars/AAPL?limit=1")

    assert (answer.json()["bar"]["close"], again.status_code) == (441.0, 200)
    assert stored.status_code == 503, "the database was really away"


async def test_without_the_broker_changes_are_refused_and_what_was_accepted_is_published_later(
    stack_settings: Settings, jars: Path, tmp_path: Path
) -> None:
    broker = KafkaServer(Folders(tmp_path / "kafka", tmp_path / "logs", jars))
    await asyncio.to_thread(broker.start)
    try:
        settings = stack_settings.model_copy(update={"kafka": broker.address})
        async with serving("api_farmer", settings) as api:

            async def ask() -> int:
                body = {"symbols": ["AAPL"]}
                return (await api.ask("POST", "/collections", Role.TRADER, json=body)).status_code

            await asyncio.to_thread(broker.stop)
            before_it_is_noticed = await ask()
            await until(lambda: "broker" in api.front.service.why_not_ready())
            refused, read = await ask(), await api.ask("GET", "/collections")
            await asyncio.to_thread(broker.start)
            await until(lambda: not api.front.service.why_not_ready(), seconds=60)
            again = await ask()
            accepted = [before_it_is_noticed, refused, again].count(202)
            told = await api.first_told("collection.requests.v1", accepted)
    finally:
        await asyncio.to_thread(broker.stop)

    assert (refused, again) == (503, 202)
    assert read.status_code == 200, "what is stored is read all the same"
    assert len(told) == accepted, "what was accepted is published, what was refused is not"


async def test_a_key_works_at_once_and_is_refused_soon_after_it_was_revoked(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.api.keyring.REFRESH_SECONDS", 0.2)
    async with serving("api_farmer", stack_settings) as api:
        clock = api.front.service.clock
        fresh = await api_keys.create(api.front.store, "fresh", Role.VIEWER, clock)
        headers = {"X-API-Key": fresh.text}
        works = await api.client.get("/symbols", headers=headers)
        assert await api_keys.withdraw(api.front.store, fresh.key_id, clock)
        async with asyncio.timeout(30):
            while (refused := await api.client.get("/symbols", headers=headers)).status_code == 200:
                await asyncio.sleep(0.1)

    assert works.status_code == 200
    assert refused.status_code == 401
