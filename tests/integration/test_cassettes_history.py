"""Cassettes about history against data farmer and persister: what the gateway served is what is stored, once."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from consumers.persister import build as build_persister
from infra import topic_admin
from infra.bar_replay import read_bars
from infra.clock import SystemClock
from infra.columns import NATURAL_KEY
from infra.gateway import ClientSlot, Connection, Market
from infra.gateway.pacing import Governor
from infra.gateway.windows import Limits
from infra.gateway_simulator.faults import cassette
from infra.service import Service
from infra.settings import Settings
from infra.store.bars import read_bars as stored_bars
from infra.store.database import Store
from producers.cli.desk import Desk
from producers.data_farmer.__main__ import attach
from schemas.collection import CollectHistory, CollectionRun, RunState
from schemas.validation import SymbolRejected
from tests.a_ledger import Ledger
from tests.integration.a_cassette import Played
from tests.integration.a_gateway import until
from tests.integration.a_judged_desk import HURRIED, hurried
from tests.integration.a_simulator import Simulator, a_simulator
from tests.integration.test_collection_crash import a_process, asked
from tests.integration.test_data_farmer import Asker, a_collection, everything
from tests.integration.test_service import running

MINUTE = timedelta(minutes=1)
FIRST_DAY, LAST_DAY = "2013-02-25", "2013-02-27"
SESSIONS, MINUTES_A_SESSION = 3, 390
PLANS = {
    "cancel-of-a-finished-history": ("AAPL", "IBM"),
    "definitions-broken": ("MSFT", "GOOG"),
    "farm-sleeps": ("NVDA", "INTC"),
    "history-cut": ("CSCO", "ORCL"),
    "history-farm-broken": ("AMZN", "JPM"),
    "history-farm-hangs": ("XOM", "GE"),
    "history-hangs": ("KO", "PEP"),
    "history-slots-full": ("WMT", "PG"),
    "message-rate": ("JNJ", "DIS"),
    "outage-streams-die": ("TXN", "QCOM"),
    "pacing-violation": ("BA", "CAT"),
    "short-read-trap": ("ADBE", "AMGN"),
}
LIES = {
    "lying-history-disorder": "CSCO",
    "lying-history-duplicates": "INTC",
    "lying-history-empty": "NVDA",
    "lying-history-impossible": "AAPL",
    "lying-history-negative-volume": "MSFT",
    "lying-history-not-a-number": "IBM",
    "lying-history-out-of-range": "AMZN",
    "lying-history-spike": "GOOG",
    "lying-history-wrong-zone": "ORCL",
}
NEED_ANOTHER_RUN = {"definitions-broken"}
"""What could not be asked is told as a failure of the run, and is there for the next one."""


def a_run(run_id: str, *symbols: str, refresh: bool = False) -> CollectHistory:
    days = {"start": datetime.fromisoformat(f"{FIRST_DAY}T00:00Z"), "last_day": LAST_DAY}
    return a_collection(run_id, *symbols, bar_size=MINUTE, refresh=refresh, **days)


@dataclass
class Farm:
    """A data farmer and a persister at a gateway that plays cassettes, and what they are judged by."""

    simulator: Simulator
    asker: Asker
    settings: Settings
    store: Store

    async def run(self, run_id: str, *symbols: str, refresh: bool = False) -> CollectionRun:
        return await self.asker.run(a_run(run_id, *symbols, refresh=refresh))

    async def differs(self) -> list[str]:
        async with self.store.reading() as connection:
            table = await stored_bars(connection)
        return differences(Ledger.read(self.simulator.ledger), table, await read_bars(self.settings))

    async def agrees(self, bars: int) -> None:
        """Wait until the persister has that many; then nothing may differ."""
        rows = 0
        try:
            async with asyncio.timeout(30):
                while rows != bars:
                    await asyncio.sleep(0.05)
                    async with self.store.reading() as connection:
                        rows = len(await stored_bars(connection))
        except TimeoutError:
            raise AssertionError(f"{rows} bars are stored instead of {bars}") from None
        assert await self.differs() == []


def differences(ledger: Ledger, *held: pl.DataFrame) -> list[str]:
    """Bars of a table or a topic that are none of those that the gateway served as true ones, or are there twice."""
    served = {
        (line["contract_id"], line["bar_size_seconds"], _microseconds(row[0])): tuple(map(float, row[1:6]))
        for line in ledger.of("bars")
        for row in line["bars"]
    }
    found = []
    columns = ("contract_id", "bar_size_seconds", "start_us", "open", "high", "low", "close", "volume")
    for frame in held:
        if len(frame) != frame.select(NATURAL_KEY).n_unique():
            found.append("a bar is there twice")
        if frame["revision"].max() not in (0, None):
            found.append("a bar was changed that never was")
        found += [
            f"{row} was served as {served.get(row[:3])}"
            for row in frame.select(columns).iter_rows()
            if served.get(row[:3]) != row[3:]
        ]
    return found[:5]


def _microseconds(start: str | float) -> int:
    moment = datetime.fromisoformat(start) if isinstance(start, str) else datetime.fromtimestamp(start, UTC)
    return int(moment.timestamp()) * 1_000_000


@contextlib.asynccontextmanager
async def a_farm(settings: Settings, folder: Path, present: Simulator | None = None) -> AsyncIterator[Farm]:
    """As impatient as the cassettes are short; with a simulator of its own unless there is one."""
    await topic_admin.apply(settings)
    async with contextlib.AsyncExitStack() as stack:
        simulator = present
        if simulator is None:
            simulator = await stack.enter_async_context(a_simulator(folder, speed=0.0))
        settings = settings.model_copy(update={"ib_port": simulator.server.port, "collect_daily": False})
        service = Service("data_farmer", settings)
        governor = Governor(SystemClock(), limits=Limits(messages_per_second=15, back_off_seconds=0.2))
        connection = Connection(settings, ClientSlot.DATA_FARMER, timing=HURRIED, governor=governor)
        attach(service, connection, Market(connection, history_seconds=3.0))
        store = Store(settings, "persister")
        stack.push_async_callback(store.close)
        await stack.enter_async_context(running(service))
        await stack.enter_async_context(running(build_persister(settings)))
        desk = await stack.enter_async_context(Desk(settings))
        yield Farm(simulator, Asker(desk), settings, store)


async def test_a_collection_comes_to_its_end_and_stores_what_was_served(
    stack_settings: Settings, tmp_path: Path
) -> None:
    """One stack for all: each cassette meets two symbols that nobody knows yet."""
    async with a_farm(stack_settings, tmp_path) as farm:
        director = farm.simulator.server.gateway.director
        for number, (name, symbols) in enumerate(PLANS.items(), 1):
            played = Played(farm.simulator, cassette.load(name))
            director.load(hurried(played.cassette))
            if name == "cancel-of-a-finished-history":  # the gateway has forgotten what it never answered
                director.arm({"event": "historicalData sent"}, {"drop": True})
            told = await farm.run(name, *symbols)
            await played.fired()
            director.clear()
            if told.failures:
                assert name in NEED_ANOTHER_RUN, (name, told.failures)
                await until(lambda: not farm.simulator.server.gateway.shared.weather.broken)
                told = await farm.run(f"{name}-again", *symbols)
            assert (told.state, told.failures) == (RunState.DONE, {}), name
            await farm.agrees(number * len(symbols) * SESSIONS * MINUTES_A_SESSION)
        rejected = await everything(stack_settings, "reference.validations.v1")
        assert [each for each in rejected if isinstance(each, SymbolRejected)] == []
        before = asked(farm.simulator)
        await farm.run("nothing-is-left", *PLANS["history-cut"])
        assert asked(farm.simulator) == before, "what was answered is not asked for again"


async def test_no_lie_is_published_and_the_truth_is_stored_afterwards(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_farm(stack_settings, tmp_path) as farm:
        for number, (lie, symbol) in enumerate(LIES.items(), 1):
            played = Played(farm.simulator, cassette.load(lie))
            farm.simulator.server.gateway.director.load(played.cassette)
            await farm.run(lie, symbol)
            await played.fired()
            published = await read_bars(farm.settings)
            assert differences(Ledger.read(farm.simulator.ledger), published) == [], lie
            await farm.run(f"{lie}-again", symbol, refresh=True)
            await farm.agrees(number * SESSIONS * MINUTES_A_SESSION)


async def test_a_farmer_that_is_killed_at_an_answer_goes_on_where_it_was(
    stack_settings: Settings, tmp_path: Path
) -> None:
    name = "farmer-killed-at-a-history"
    await topic_admin.apply(stack_settings)
    async with a_simulator(tmp_path, speed=0.0) as simulator:
        settings = stack_settings.model_copy(update={"ib_port": simulator.server.port, "collect_daily": False})
        played = Played(simulator, cassette.load(name))
        async with Desk(settings) as desk, a_process(settings) as process:
            played.register("data_farmer", process.pid)
            simulator.server.gateway.director.load(played.cassette)
            await desk.publish(a_run(name, "AAPL", "IBM"))
            assert await asyncio.wait_for(process.wait(), 60) == -signal.SIGKILL
        async with a_farm(settings, tmp_path, simulator) as farm:
            await farm.agrees(2 * SESSIONS * MINUTES_A_SESSION)
