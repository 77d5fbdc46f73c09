"""The persister on a real broker and database: every topic lands in its table once, and is rebuilt the same."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition

from consumers.persister import build
from infra import bar_replay, broker, topic_admin
from infra.bar_replay import BarFilter
from infra.columns import bar_digest, frame_of
from infra.embedded.postgres import PostgresServer
from infra.rebuild import rebuild
from infra.service import Service
from infra.settings import Settings
from infra.store.bars import digest_bars, read_bars
from infra.store.database import Store
from infra.store.symbols import contract_ids, symbol_names
from infra.topics import load_catalogue
from schemas.backtest import BacktestCanceled, BacktestFinished, BacktestRequested, Trial
from schemas.collection import CollectionRun, RunState
from schemas.event import Event
from schemas.market import Quarantined, QuarantineRule, Rejected, Released, Severity, Source
from schemas.strategy import Deploy, RunningState, Signal, StrategyState
from schemas.validation import Symbol, SymbolState
from tests.builders import APPLE, NOON, SEEN, a_bar, a_contract, a_historical_bar

TIMES: dict[str, Any] = {"event_time": NOON, "ingest_time": SEEN}
LATER: dict[str, Any] = {"event_time": NOON, "ingest_time": SEEN + timedelta(seconds=1)}


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Service]:
    service = build(settings)
    task = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(30):
            while service.why_not_ready():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
        yield service
    finally:
        service.stop()
        await task


async def send(settings: Settings, *events: Event) -> None:
    catalogue = load_catalogue()
    producer = broker.producer(settings)
    await producer.start()
    try:
        for event in events:
            topic = catalogue.topic_of(type(event))
            await producer.send_and_wait(settings.topic_prefix + topic.name, event.to_json(), key=topic.key_of(event))
    finally:
        await producer.stop()


async def until_done(settings: Settings) -> None:
    """Until the group of the persister has committed all that its topics hold."""
    catalogue = load_catalogue()
    places = [
        TopicPartition(settings.topic_prefix + name, number)
        for name in catalogue.services["persister"].reads
        for number in range(catalogue.topic(name).partitions)
    ]
    client, reader = broker.admin(settings), broker.reader(settings)
    await client.start()
    await reader.start()
    try:
        async with asyncio.timeout(30):
            while True:
                committed = await client.list_consumer_group_offsets(settings.topic_prefix + "persister")
                ends = await reader.end_offsets(places)
                if all(place in committed and committed[place].offset == end for place, end in ends.items() if end):
                    return
                await asyncio.sleep(0.05)
    finally:
        await reader.stop()
        await client.close()


@pytest.fixture
async def database(stack_settings: Settings) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(stack_settings.database_url.get_secret_value())
    yield connection
    await connection.close()


def a_symbol(**changes: Any) -> Symbol:
    hours = "20130228:0930-20130228:1600;20130301:CLOSED"
    fields = {
        **TIMES,
        "symbol_id": "AAPL-STK-USD",
        "symbol": "AAPL",
        "state": SymbolState.VALID,
        "contract": a_contract(liquid_hours=hours),
        "last_verified": SEEN,
    }
    return Symbol(**(fields | changes))


def a_finding(name: str) -> Quarantined:
    return Quarantined(
        **TIMES,
        quarantine_id=name,
        contract_id=APPLE,
        symbol="AAPL",
        rule=QuarantineRule.OHLC_RANGE,
        severity=Severity.ERROR,
        reason="high below low",
        record="{}",
    )


def a_run(**changes: Any) -> CollectionRun:
    fields = {**TIMES, "run_id": "run-1", "kind": "history", "state": RunState.RUNNING, "symbols": 2, "symbols_done": 1}
    return CollectionRun(**(fields | changes))


def a_request(name: str) -> BacktestRequested:
    return BacktestRequested(**TIMES, backtest_id=name, strategy="crossover", symbols=("AAPL",), requested_by="test")


DEPLOYMENT = Deploy(
    **TIMES, command_id="c1", strategy_id="s1", by="test", strategy="crossover", symbols=("AAPL",), account_id="DU1"
)
STATE = StrategyState(**TIMES, strategy_id="s1", state=RunningState.RUNNING, deployment=DEPLOYMENT)
SIGNAL = Signal(
    **TIMES,
    signal_id="sig-1",
    strategy_id="s1",
    contract_id=APPLE,
    symbol="AAPL",
    target=0.5,
    price=Decimal("440.50"),
    source=Source.DERIVED,
)
TRIAL = Trial(
    **TIMES,
    trial_id="t1",
    code_hash="h1",
    strategy="crossover",
    symbols=("AAPL",),
    data_digest="d",
    sharpe=None,
    total_return=0.1,
    observations=10,
)
EVERYTHING: tuple[Event, ...] = (
    a_bar(),
    a_historical_bar(bar_size=timedelta(days=1)),
    a_symbol(state=SymbolState.REQUESTED, contract=None),
    a_symbol(**LATER),
    a_finding("q1"),
    a_finding("q2"),
    Released(**LATER, quarantine_id="q1", contract_id=APPLE, by="me"),
    Rejected(**LATER, quarantine_id="q1", contract_id=APPLE, by="somebody else"),
    a_run(),
    a_run(**LATER, state=RunState.DONE, symbols_done=2, failures={"XYZ": "unknown"}),
    STATE,
    STATE.revised(**LATER, state=RunningState.PAUSED, intents=3),
    SIGNAL,
    BacktestFinished(**LATER, backtest_id="b1", request=a_request("b1"), succeeded=True, code_hash="h2", bars=5),
    a_request("b1"),
    a_request("b2"),
    BacktestCanceled(**LATER, backtest_id="b2", by="me"),
    TRIAL,
)


async def dump(database: asyncpg.Connection) -> dict[str, list[Any]]:
    tables = ["bars", "symbols", "sessions", "quarantine", "collection_runs", "live_strategies", "signals"]
    tables += ["backtest_jobs", "trials", "strategies"]
    return {
        name: [
            json.loads(row[0]) for row in await database.fetch(f"SELECT to_jsonb({name})::text FROM {name} ORDER BY 1")
        ]
        for name in tables
    }


async def test_everything_lands_once_however_often_it_comes_and_is_rebuilt_the_same(
    stack_settings: Settings, database: asyncpg.Connection
) -> None:
    await topic_admin.apply(stack_settings)
    async with running(stack_settings):
        await send(stack_settings, *EVERYTHING)
        await until_done(stack_settings)
        once = await dump(database)
        await send(stack_settings, *EVERYTHING)
        await until_done(stack_settings)
        assert await dump(database) == once

    counts = {table: len(rows) for table, rows in once.items()}
    assert counts == {
        "bars": 2, "symbols": 1, "sessions": 2, "quarantine": 2, "collection_runs": 1, "live_strategies": 1,
        "signals": 1, "backtest_jobs": 2, "trials": 1, "strategies": 2,
    }  # fmt: skip
    assert once["symbols"][0]["state"] == "valid"
    assert [(row["opens"], row["closes"]) for row in once["sessions"]] == [
        ("2013-02-28T14:30:00+00:00", "2013-02-28T21:00:00+00:00"),
        (None, None),
    ]
    assert [row["resolved_by"] for row in once["quarantine"]] == ["me", None]
    assert once["collection_runs"][0]["failures"] == {"XYZ": "unknown"}
    assert once["live_strategies"][0]["state"] == "paused"
    assert [row["state"] for row in once["backtest_jobs"]] == ["done", "canceled"]
    versions = await database.fetch("SELECT code_hash, version FROM strategy_versions ORDER BY version")
    assert [tuple(row) for row in versions] == [("h1", 1), ("h2", 2)]

    rebuilt = await rebuild(stack_settings)
    assert {name: rebuilt.rows[name] for name in counts} == counts
    assert await dump(database) == once


async def test_what_the_database_holds_is_what_the_topics_hold(
    stack_settings: Settings, database: asyncpg.Connection
) -> None:
    await topic_admin.apply(stack_settings)
    bars = [a_historical_bar(start=NOON + timedelta(minutes=n), open=440.0 + n / 7, high=450.0 + n) for n in range(40)]
    corrected = [bar.revised(ingest_time=SEEN + timedelta(days=1), revision=1, volume=7.0) for bar in bars[:5]]
    first = NOON.replace(year=1985)
    other = a_historical_bar(contract_id=1, source=Source.REAL, bar_size=timedelta(days=1), start=first)
    async with running(stack_settings):
        await send(stack_settings, *bars, *corrected, other, a_symbol())
        await until_done(stack_settings)
    store = Store(stack_settings, "backtester")
    async with store.reading() as connection:
        table, digest = await read_bars(connection), await digest_bars(connection)
        before = await read_bars(connection, BarFilter(contract_ids=[APPLE], known_by_us=_us(SEEN)))
        some = BarFilter(contract_ids=[APPLE], bar_size_seconds=5, start_us=_us(NOON), end_us=_us(NOON) + 120_000_000)
        two = await read_bars(connection, some)
        assert await contract_ids(connection, ["AAPL", "NOPE"]) == {"AAPL": APPLE}
        assert await symbol_names(connection) == {APPLE: "AAPL"}
    await store.close()
    assert table.equals(await bar_replay.read_bars(stack_settings))
    assert digest == bar_digest(frame_of([*bars, *corrected, other]))
    assert before.sort("start_us").equals(frame_of(bars))
    assert two.equals(frame_of(corrected[:2]))
    assert await database.fetchval("SELECT count(*) FROM bars") == 46, "what was known before is still there"
    daily = await database.fetchrow("SELECT * FROM daily_prices")
    assert (daily["contract_id"], daily["close"]) == (1, other.close)


def _us(moment: Any) -> int:
    return int(moment.timestamp() * 1_000_000)


async def test_a_value_that_only_postgres_refuses_is_set_aside_alone(
    stack_settings: Settings, database: asyncpg.Connection
) -> None:
    await topic_admin.apply(stack_settings)
    broken = a_finding("q2").revised(reason="zero \x00 byte")
    async with running(stack_settings) as service:
        await send(stack_settings, a_finding("q1"), broken, a_finding("q3"), a_bar())
        await until_done(stack_settings)
        count = service.metrics.registry.get_sample_value
        assert count("scizor_dlq_messages_total", {"topic": "market.quarantine.v1"}) == 1
        assert count("scizor_bars_stored_total", {"topic": "market.bars.v1"}) == 1
    assert [row[0] for row in await database.fetch("SELECT quarantine_id FROM quarantine ORDER BY 1")] == ["q1", "q3"]


async def test_a_database_that_goes_away_is_waited_for(
    stack_settings: Settings, postgres_server: PostgresServer
) -> None:
    await topic_admin.apply(stack_settings)
    name = stack_settings.database_url.get_secret_value().rsplit("/", 1)[1]
    kick = f"SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = '{name}'"
    async with running(stack_settings):
        postgres_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false", "postgres")
        postgres_server.execute(kick, "postgres")
        await send(stack_settings, a_bar(), a_bar(contract_id=1))
        await asyncio.sleep(0.5)
        postgres_server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true", "postgres")
        await until_done(stack_settings)
    assert postgres_server.execute("SELECT count(*) FROM bars", name) == "2"
