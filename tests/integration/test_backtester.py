"""The backtester on real Kafka and PostgreSQL, and `scizor backtest` as a person starts it."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiokafka
import polars as pl
import pytest

from consumers.backtester.backtester import Backtester
from consumers.backtester.colleagues import SILENT_SECONDS, Colleagues
from consumers.backtester.data import columns_for
from consumers.backtester.optimiser import Optimiser
from engine.answer import answer
from engine.columns import BarColumns
from engine.material import RAW
from engine.registry import strategy_class
from engine.strategy import BaseStrategy
from infra import bar_runs, broker, consume, replay_cache, topic_admin
from infra.bar_replay import BarFilter
from infra.columns import frame_of
from infra.replay import fold
from infra.service import Service
from infra.settings import REPOSITORY, Settings
from infra.store import bar_portions
from infra.store.bars import add_bars
from infra.store.corporate import put_actions
from infra.store.database import Store
from infra.symbol_names import parse_symbol
from producers.cli.price_file import read_prices
from producers.cli.running_backtest import PriceFiles
from schemas.backtest import BacktestCanceled, BacktestFinished, BacktestProgress, BacktestRequested, Trial
from schemas.corporate import ActionOrigin, Split
from schemas.event import Event
from schemas.market import Bar, Basis, HistoricalBar, Source
from schemas.moments import to_datetime
from schemas.validation import Symbol, SymbolState
from tests.bars import APPLE, IBM, real_daily
from tests.builders import SEEN, a_contract, a_historical_bar
from tests.integration.a_data_shelf import SPLIT_DAY, real_days
from tests.integration.a_slow_backtester import NO_LONGER_SLOW, REBALANCE_MS
from tests.unit import test_several_sizes as sizes
from tests.unit.test_answer import a_request
from tests.unit.test_several_sizes import DaysAndHalfHours

RESULTS = "backtest.results.v1"


def a_symbol(name: str, contract_id: int) -> Symbol:
    return Symbol(
        event_time=SEEN,
        ingest_time=SEEN,
        symbol_id=parse_symbol(name).symbol_id,
        symbol=name,
        state=SymbolState.VALID,
        contract=a_contract(symbol=name, contract_id=contract_id),
    )


def history_of(symbol: str, contract_id: int, count: int) -> list[HistoricalBar]:
    """The last real daily bars, as collection publishes them."""
    return [
        a_historical_bar(
            contract_id=contract_id,
            symbol=symbol,
            bar_size=timedelta(days=1),
            start=bar.start,
            event_time=bar.end,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            source=Source.REAL,
        )
        for bar in list(real_daily(symbol, contract_id).bars())[-count:]
    ]


async def send(settings: Settings, topic: str, values: Sequence[Event | bytes]) -> None:
    """Raw records, as any writer may send them."""
    producer: aiokafka.AIOKafkaProducer = broker.producer(settings)
    await producer.start()
    try:
        for value in values:
            raw = value if isinstance(value, bytes) else value.to_json()
            await producer.send(settings.topic_prefix + topic, raw, key=b"k")
    finally:
        await producer.stop()


_POISON = b"{not json"


async def a_market(settings: Settings, *, days: int = 500) -> None:
    """Topics with symbols and with bars that come as badly as topics allow: twice, corrected, late, poisoned."""
    await topic_admin.apply(settings)
    apple, ibm = history_of("AAPL", APPLE, days), history_of("IBM", IBM, days)
    wrong = apple[3].revised(open=1.0, high=2.0, low=1.0, close=2.0)
    right = apple[3].revised(revision=1)
    live = Bar.model_validate({**apple[-1].model_dump(exclude={"type"}), "late": True})
    other_size = [bar.revised(bar_size=timedelta(minutes=1)) for bar in apple[:20]]
    await send(settings, "reference.symbols.v1", [a_symbol("AAPL", APPLE), a_symbol("IBM", IBM)])
    await send(settings, "market.history.v1", [wrong, *apple[10:-1], right, _POISON, *apple[:10], *ibm, *other_size])
    await send(settings, "market.history.v1", apple[20:40])
    await send(settings, "market.bars.v1", [live])


@contextlib.asynccontextmanager
async def backtesting(settings: Settings, silent_seconds: float = SILENT_SECONDS) -> AsyncIterator[Service]:
    service = Service("backtester", settings)
    backtester = Backtester(service, silent_seconds=silent_seconds)
    backtester.wire()
    Optimiser(service, backtester.gate, workers=1).wire()
    task = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(30):
            while service.why_not_ready():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
        yield service
        assert not task.done(), task.exception()
    finally:
        service.stop()
        await task


async def events_of(settings: Settings, topic: str) -> list[Event]:
    return [event async for event, _ in fold(settings, [topic])]


async def result_of(settings: Settings, backtest_id: str, seconds: float = 30) -> BacktestFinished:
    async with asyncio.timeout(seconds):
        while True:
            for event in await events_of(settings, RESULTS):
                if isinstance(event, BacktestFinished) and event.backtest_id == backtest_id:
                    return event
            await asyncio.sleep(0.1)


def _expected(request: BacktestRequested, *series: BarColumns, days: int = 500) -> str:
    bars = [bar for each in series for bar in list(each.bars())[-days:]]
    return answer(request, BarColumns.of(bars, {APPLE: "AAPL", IBM: "IBM"}, ["real"])).result_hash


async def test_a_request_becomes_progress_a_result_and_a_trial_over_each_bar_once(stack_settings: Settings) -> None:
    await a_market(stack_settings)
    request = a_request(symbols=("AAPL", "IBM"), parameters={"fast": 5, "slow": 20})
    async with backtesting(stack_settings):
        await send(stack_settings, "backtest.requests.v1", [request])
        done = await result_of(stack_settings, request.backtest_id)

    assert done.succeeded, done.error
    assert done.bars == 1000
    assert done.result_hash == _expected(request, real_daily("AAPL"), real_daily("IBM", IBM))
    assert done.sources == ("real",)
    assert len(done.code_hash) == 64
    first, *_ = await events_of(stack_settings, "backtest.progress.v1")
    assert isinstance(first, BacktestProgress)
    assert first.phase == "reading"
    (trial,) = await events_of(stack_settings, "research.trials.v1")
    assert isinstance(trial, Trial)
    assert (trial.parameters, trial.sharpe) == ({"fast": 5, "slow": 20, "short": False}, done.metrics["sharpe"])


async def test_the_database_gives_the_result_that_the_topic_gives(stack_settings: Settings) -> None:
    await a_market(stack_settings)
    store = Store(stack_settings, "persister")
    async with store.transaction() as transaction:
        frame = frame_of([*history_of("AAPL", APPLE, 500), *history_of("IBM", IBM, 500)])
        await add_bars(transaction.connection, frame)
    await store.close()
    window = {"start": to_datetime(1_330_000_000_000_000), "end": to_datetime(1_360_000_000_000_000)}
    both = {"symbols": ("AAPL", "IBM"), **window}
    requests = [a_request(backtest_id=source, source=source, **both) for source in ("topic", "database")]

    async with backtesting(stack_settings):
        await send(stack_settings, "backtest.requests.v1", requests)
        topic, database = [await result_of(stack_settings, each) for each in ("topic", "database")]

    assert 0 < topic.bars < 1000
    assert (topic.bars, topic.data_digest, topic.result_hash) == (
        database.bars,
        database.data_digest,
        database.result_hash,
    )


async def test_a_file_the_topic_and_the_database_give_one_result_and_raw_prices_come_with_a_split(
    stack_settings: Settings, tmp_path: Path
) -> None:
    await topic_admin.apply(stack_settings)
    frame = real_days(date(2004, 6, 1), date(2005, 6, 1), basis=Basis.SPLIT_ADJUSTED)
    split = Split(
        event_time=datetime(2005, 2, 28, 5, tzinfo=UTC), ingest_time=SEEN, contract_id=APPLE, symbol="AAPL",
        ex_date=SPLIT_DAY, origin=ActionOrigin.PERSON, by="tests", new_shares=2, old_shares=1,
        answers_since=SEEN - timedelta(days=1),
    )  # fmt: skip
    store = Store(stack_settings, "persister")
    async with store.transaction() as transaction:
        await add_bars(transaction.connection, frame)
        await put_actions(transaction.connection, [split])
    await store.close()
    history = [
        a_historical_bar(**{**row, "bar_size": timedelta(days=1), "source": Source.REAL, "basis": Basis.SPLIT_ADJUSTED})
        for row in _rows(frame)
    ]
    await send(stack_settings, "reference.symbols.v1", [a_symbol("AAPL", APPLE)])
    await send(stack_settings, "reference.corporate_actions.v1", [split])
    await send(stack_settings, "market.history.v1", history)
    days = [f"{row['start']:%Y-%m-%d},{','.join(str(row[name]) for name in PRICES)}" for row in _rows(frame)]
    csv = tmp_path / "AAPL.csv"
    csv.write_text("\n".join([f"time,{','.join(PRICES)}", *days]))
    requests = [
        a_request(backtest_id=f"{source} {basis}", source=source, basis=basis, parameters={"fast": 5, "slow": 20})
        for source in ("topic", "database")
        for basis in ("split_adjusted", "raw")
    ]

    from_file = answer(requests[0], read_prices(csv, "AAPL"))
    async with backtesting(stack_settings):
        await send(stack_settings, "backtest.requests.v1", requests)
        topic, topic_raw, database, database_raw = [
            await result_of(stack_settings, each.backtest_id) for each in requests
        ]

    assert len(from_file.executions) > 10
    assert from_file.result_hash == topic.result_hash == database.result_hash
    assert topic_raw.result_hash == database_raw.result_hash != topic.result_hash
    assert RAW in topic_raw.warnings
    first, last = [[float(each.fills[end]["price"]) for each in (topic_raw, topic)] for end in (0, -1)]
    assert first[0] == 2 * first[1], "before the split"
    assert last[0] == last[1], "after it"


async def test_bars_of_two_sizes_give_one_result_from_a_file_the_topic_and_the_database(
    stack_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose: Callable[[str], type[BaseStrategy]] = lambda name: DaysAndHalfHours  # noqa: E731 - one word more for a name
    monkeypatch.setattr("engine.answer.strategy_class", choose)
    small, days = sizes.a_market()
    history = [
        a_historical_bar(
            symbol="AAPL", bar_size=size, start=bar.start, event_time=bar.end, source=Source.REAL,
            **{name: getattr(bar, name) for name in PRICES},
        )
        for size, columns in ((sizes.HALF_HOUR, small), (sizes.DAY, days))
        for bar in columns.bars()
    ]  # fmt: skip
    await topic_admin.apply(stack_settings)
    await send(stack_settings, "reference.symbols.v1", [a_symbol("AAPL", APPLE)])
    await send(stack_settings, "market.history.v1", history)
    store = Store(stack_settings, "persister")
    async with store.transaction() as transaction:
        await add_bars(transaction.connection, frame_of(history))
    await store.close()
    rows = [*sizes.rows_of(small, "30m"), *sizes.rows_of(days, "1d")]
    (file := tmp_path / "AAPL.csv").write_text("\n".join([f"{sizes.HEADER},bar_size", *rows]))
    asked = {"bar_size": sizes.HALF_HOUR, "larger_bar_sizes": (sizes.DAY,)}
    requests = [a_request(backtest_id=source, source=source, **asked) for source in ("topic", "database")]
    none = a_request(backtest_id="none", bar_size=sizes.HALF_HOUR, larger_bar_sizes=(7 * sizes.DAY,))

    async with backtesting(stack_settings):
        await send(stack_settings, "backtest.requests.v1", [*requests, none])
        topic, database, missing = [await result_of(stack_settings, each) for each in ("topic", "database", "none")]
    asked_of_file, material = PriceFiles(file).read(a_request())
    from_file = answer(asked_of_file, material.columns, market=material.market)

    assert topic.succeeded, topic.error
    assert topic.result_hash == database.result_hash == from_file.result_hash
    assert len(topic.fills) > 10
    assert topic.data_digest == database.data_digest
    assert missing.error.startswith("no bars of AAPL of 7d: collect them first, `scizor collect history AAPL")


async def test_more_bars_than_are_wanted_in_memory_give_the_same_word_for_word_from_the_topic_and_the_database(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_portions, "_PORTION", 300)
    monkeypatch.setattr(bar_runs, "_BLOCK", 70)
    monkeypatch.setattr(replay_cache, "_RECORDS_MIN", 10)
    await a_market(stack_settings)
    store = Store(stack_settings, "persister")
    async with store.transaction() as transaction:
        frame = frame_of([*history_of("AAPL", APPLE, 500), *history_of("IBM", IBM, 500)])
        await add_bars(transaction.connection, frame)
    await store.close()
    asked = {"symbols": ("AAPL", "IBM"), "benchmark": "IBM", "parameters": {"fast": 5, "slow": 20}}
    ordinary = a_request(backtest_id="ordinary", **asked)
    late = a_request(backtest_id="late", start=datetime(2020, 1, 1, tzinfo=UTC), **asked)
    long = [a_request(backtest_id=source, source=source, **asked) for source in ("topic", "database")]

    async with backtesting(stack_settings):
        await send(stack_settings, "backtest.requests.v1", [ordinary])
        whole = await result_of(stack_settings, "ordinary")
    async with backtesting(stack_settings.model_copy(update={"backtest_bars_at_once": 999})):
        await send(stack_settings, "backtest.requests.v1", [*long, late])
        parts = [await result_of(stack_settings, each.backtest_id, 60) for each in long]
        nothing = await result_of(stack_settings, "late")

    assert whole.succeeded, whole.error
    of_the_run = {"event_time", "ingest_time", "backtest_id", "request", "metrics"}
    for part in parts:
        assert part.succeeded, part.error
        assert part.model_dump(exclude=of_the_run) == whole.model_dump(exclude=of_the_run)
        assert {name: part.metrics[name] for name in ("sharpe", "trades", "beta")} == {
            name: whole.metrics[name] for name in ("sharpe", "trades", "beta")
        }
    progress = await events_of(stack_settings, "backtest.progress.v1")
    assert any(isinstance(each, BacktestProgress) and each.backtest_id == "topic" and each.bars_done == 1000
               and each.phase == "running" for each in progress)  # fmt: skip
    assert nothing.error.startswith("no bars of AAPL, IBM from 2020-01-01: ")
    trials = [each for each in await events_of(stack_settings, "research.trials.v1") if isinstance(each, Trial)]
    assert len({each.trial_id for each in trials if each.parameters.get("fast") == 5}) == 1, "one run, however it ran"
    assert not list((stack_settings.home / "scratch").iterdir()), "it was there, and is empty again"


async def test_bars_of_the_database_in_portions_are_those_of_one_moment_and_few_at_a_time_however_they_lie(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bar_portions, "_PORTION", 10)
    days = [*history_of("AAPL", APPLE, 150), *history_of("IBM", IBM, 150)]
    early = datetime(1990, 1, 2, 14, 30, tzinfo=UTC)
    alone = days[0].revised(start=early, event_time=early + timedelta(hours=6))
    later = [each.revised(close=each.high, revision=1) for each in days]
    store = Store(stack_settings, "persister")
    async with store.transaction() as transaction:
        await add_bars(transaction.connection, frame_of([alone, *days]))

    wanted = BarFilter(contract_ids=[APPLE, IBM], bar_size_seconds=86_400)
    stored = await bar_portions.StoredBars.of(stack_settings, wanted)
    found, closes = list[pl.DataFrame](), list[float]()
    async with stored.snapshot() as snapshot:
        async for portion in snapshot.portions([APPLE, IBM]):
            if not found:
                async with store.transaction() as transaction:
                    await add_bars(transaction.connection, frame_of(later))
            found.append(portion)
        async for portion in snapshot.portions([IBM]):
            closes += portion["close"].to_list()
    await store.close()

    assert stored.counts == {APPLE: 151, IBM: 150}
    assert pl.concat(found).equals(frame_of([alone, *days]).sort("end_us", "contract_id"))
    assert closes == [each.close for each in days if each.contract_id == IBM]
    assert max(map(len, found)) <= 22, "twice a portion, and what waited"


PRICES = ("open", "high", "low", "close", "volume")


def _rows(frame: Any) -> list[dict[str, Any]]:
    times = [("start", "start_us"), ("event_time", "end_us")]
    return [
        {**{name: row[name] for name in PRICES}, **{name: to_datetime(row[column]) for name, column in times}}
        for row in frame.iter_rows(named=True)
    ]


IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"strategy": "moving_averages"}, "no strategy moving_averages (did you mean moving_average_crossover?)"),
    ({"parameters": {"fats": 1}}, "unknown parameter fats (did you mean fast?)"),
    ({"symbols": ("AAPLE",)}, "unknown symbol AAPLE (did you mean AAPL?)"),
    ({"symbols": ("A_B",)}, "'A_B' is no symbol"),
    (
        {"bar_size": timedelta(hours=1)},
        "no bars of AAPL: collect them first, `scizor collect history AAPL --bar-size 1h`",
    ),
    (
        {"start": datetime(2020, 1, 1, tzinfo=UTC)},
        "no bars of AAPL from 2020-01-01: there are 1d bars from 2012-12-04 until 2013-03-01; widen the dates, or",
    ),
    ({"quantity": 0.5}, "quantity 0.5 is less than one lot"),
]


async def test_what_cannot_be_ends_as_one_line_and_the_next_request_is_served(stack_settings: Settings) -> None:
    await a_market(stack_settings, days=60)
    requests = [a_request(backtest_id=f"bad-{n}", **changes) for n, (changes, _) in enumerate(IMPOSSIBLE)]
    async with backtesting(stack_settings):
        await send(stack_settings, "backtest.requests.v1", [*requests, a_request(strategy="buy_and_hold")])
        served = await result_of(stack_settings, "backtest-1")
        failed = [await result_of(stack_settings, each.backtest_id) for each in requests]

    assert served.succeeded
    for done, (_, line) in zip(failed, IMPOSSIBLE, strict=True):
        assert not done.succeeded
        assert done.error.startswith(line)
        assert "\n" not in done.error


async def test_a_request_that_comes_twice_has_one_result_and_one_trial(stack_settings: Settings) -> None:
    await a_market(stack_settings, days=100)
    request = a_request(strategy="buy_and_hold")
    async with backtesting(stack_settings):
        await send(stack_settings, "backtest.requests.v1", [request, request])
        async with asyncio.timeout(30):
            while len(found := await events_of(stack_settings, RESULTS)) < 2:
                await asyncio.sleep(0.1)

    first, second = (each for each in found if isinstance(each, BacktestFinished))
    assert (first.backtest_id, first.result_hash) == (second.backtest_id, second.result_hash)
    trials = [each for each in await events_of(stack_settings, "research.trials.v1") if isinstance(each, Trial)]
    assert len({each.trial_id for each in trials}) == 1


async def test_a_cancellation_that_waits_behind_its_request_in_the_queue_is_heard_before_it(
    stack_settings: Settings,
) -> None:
    await a_market(stack_settings, days=60)
    request = a_request(strategy="buy_and_hold")
    canceled = BacktestCanceled(event_time=SEEN, ingest_time=SEEN, backtest_id=request.backtest_id, by="somebody")
    await send(stack_settings, "backtest.requests.v1", [request, canceled])
    async with backtesting(stack_settings):
        done = await result_of(stack_settings, request.backtest_id)

    assert (done.succeeded, done.error) == (False, "canceled by somebody")


async def test_a_cancellation_stops_a_run_that_goes_on(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from engine import replay

    class Slow(strategy_class("buy_and_hold")):  # type: ignore[misc] # a base that is found by name
        """Takes its time on every bar."""

        def on_bar(self, bar: Any) -> None:
            time.sleep(0.02)

    monkeypatch.setattr(replay, "CHUNK", 5)
    monkeypatch.setattr(replay, "_PROGRESS_BARS", 5)
    slow: Callable[[str], type[BaseStrategy]] = lambda name: Slow  # noqa: E731 - one word more for a name than for it
    monkeypatch.setattr("engine.answer.strategy_class", slow)
    await a_market(stack_settings, days=2000)
    request = a_request(strategy="buy_and_hold")
    async with backtesting(stack_settings):
        await send(stack_settings, "backtest.requests.v1", [request])
        async with asyncio.timeout(30):
            while not any(
                isinstance(event, BacktestProgress) and event.phase == "running" and event.bars_total == 2000
                for event in await events_of(stack_settings, "backtest.progress.v1")
            ):
                await asyncio.sleep(0.1)
        canceled = BacktestCanceled(event_time=SEEN, ingest_time=SEEN, backtest_id=request.backtest_id, by="somebody")
        await send(stack_settings, "backtest.requests.v1", [canceled])
        done = await result_of(stack_settings, request.backtest_id)

    assert (done.succeeded, done.error) == (False, "canceled by somebody")


@pytest.mark.parametrize("dies", [True, False])
async def test_a_killed_members_backtest_is_finished_by_another_and_that_of_a_busy_one_is_left_to_it(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    handed_on, honest = [], Colleagues.leave_it_to_us

    async def noted(self: Colleagues, *request: str) -> bool:
        handed_on.append(request)
        return await honest(self, *request)

    monkeypatch.setattr(Colleagues, "leave_it_to_us", noted)
    monkeypatch.setattr(consume, "_REBALANCE_MS", REBALANCE_MS)
    await a_market(stack_settings, days=2000)
    request = a_request(strategy="buy_and_hold")
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.a_slow_backtester", cwd=REPOSITORY, env=_environment(stack_settings)
    )
    try:
        await send(stack_settings, "backtest.requests.v1", [request])
        begun = await _told(stack_settings, request.backtest_id)
        silent = 5 if dies else 60  # who lives may be held up for long
        async with backtesting(stack_settings, silent_seconds=silent) as service:  # joins, and gets the busy one's work
            assert await events_of(stack_settings, RESULTS) == []
            if dies:
                child.kill()
            else:
                async with asyncio.timeout(60):
                    while not handed_on:
                        await asyncio.sleep(0.05)
                (stack_settings.home / NO_LONGER_SLOW).touch()
            done = await result_of(stack_settings, request.backtest_id, seconds=60)
            last = await _told(stack_settings, request.backtest_id, finished=True)
            await _worked_off(service)
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()

    assert done.succeeded, done.error
    assert (begun.worker != last.worker) is dies
    assert begun.asked_at == last.asked_at
    assert len(await events_of(stack_settings, RESULTS)) == 1


async def _worked_off(service: Service) -> None:
    """Until nothing waits in the queue."""
    async with asyncio.timeout(30):
        while any(sum(each.lag().values()) for each in service._consumers) or not service._consumers:
            await asyncio.sleep(0.1)


async def _told(settings: Settings, backtest_id: str, *, finished: bool = False) -> BacktestProgress:
    async with asyncio.timeout(30):
        while True:
            for event in await events_of(settings, "backtest.progress.v1"):
                assert isinstance(event, BacktestProgress)
                if (event.backtest_id, event.finished) == (backtest_id, finished) and event.phase != "reading":
                    return event
            await asyncio.sleep(0.1)


async def test_the_columns_of_a_replay_are_those_of_the_file_they_came_from(stack_settings: Settings) -> None:
    await a_market(stack_settings)

    columns = await columns_for(stack_settings, a_request())

    assert columns.digest() == BarColumns.of(list(real_daily("AAPL").bars())[-500:]).digest()
    assert columns.symbols == {APPLE: "AAPL"}


# the command line


def _environment(settings: Settings) -> dict[str, str]:
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("SCIZOR_")},
        "SCIZOR_HOME": str(settings.home),
        "SCIZOR_KAFKA": settings.kafka,
        "SCIZOR_TOPIC_PREFIX": settings.topic_prefix,
        "SCIZOR_DATABASE_URL": settings.database_url.get_secret_value(),
    }


def scizor(settings: Settings | None, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SCIZOR_")}
    if settings is not None:
        environment = {name: value for name, value in _environment(settings).items() if name != "SCIZOR_DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-m", "producers.cli.main", *arguments],
        cwd=REPOSITORY,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def test_a_person_runs_lists_shows_and_compares(stack_settings: Settings, tmp_path: Path) -> None:
    await a_market(stack_settings)
    page = tmp_path / "report.html"

    async def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return await asyncio.to_thread(scizor, stack_settings, "backtest", *arguments)

    async with backtesting(stack_settings):
        ran = await command("run", "moving_average_crossover", "--symbols", "AAPL", "--param", "fast=5", "--json",
                            "--benchmark", "ibm", "--report", str(page))  # fmt: skip
        second = await command("run", "buy_and_hold", "--symbols", "aapl,ibm", "--start-date", "2012-01-01")
        wrong = await command("run", "buy_and_hold", "--symbols", "APL")
        none = await command("run", "buy_and_hold", "--symbols", "AAPL", "--start-date", "2020-01-01")
    listed, report = await command("list", "--json"), page.read_text()

    assert ran.returncode == 0, ran.stderr
    document = json.loads(ran.stdout)
    assert document["succeeded"]
    assert document["id"] == document["request"]["backtest_id"]
    assert document["request"]["benchmark"] == "IBM"
    assert document["metrics"]["benchmark_return"] != document["metrics"]["total_return"]
    assert len(document["equity"]["time"]) == len(document["equity"]["value"]) == 500
    assert document["metrics"]["trades"] > 5
    assert "IBM bought and held" in report
    assert second.returncode == 0, second.stderr
    assert "buy_and_hold on AAPL, IBM" in second.stdout
    assert (wrong.returncode, none.returncode) == (2, 2)
    assert wrong.stderr.strip().endswith("`scizor symbols validate APL` makes it known")
    assert "no bars of AAPL from 2020-01-01" in none.stderr
    rows = json.loads(listed.stdout)["backtests"]
    assert [row["strategy"] for row in rows if row["succeeded"]] == ["moving_average_crossover", "buy_and_hold"]
    ids = [row["backtest_id"] for row in rows]
    shown = await command("show", ids[0][:13])
    compared = await command("compare", ids[0], ids[1], "--report", str(page))
    astray = await command("show", "nothing")
    assert ids[0] in shown.stdout
    assert "buy_and_hold" in compared.stdout
    assert "2 backtests compared" in page.read_text()
    assert (astray.returncode, "no backtest 'nothing'" in astray.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["moving_averge"], "no strategy moving_averge (did you mean moving_average_crossover?)"),
        (["buy_and_hold", "--param", "strenght=1"], "unknown parameter strenght (did you mean strength?)"),
        (["buy_and_hold", "--param", "strength"], "--param 'strength': write NAME=VALUE"),
        (["buy_and_hold", "--start-date", "2013-02-30"], "'2013-02-30' is no date"),
        (["buy_and_hold", "--start-date", "2013-02-03", "--end-date", "2013-01-01"], "is after --end-date"),
        (["buy_and_hold", "--start-date", "2020-01-01"], "no bars of AAPL from 2020-01-01"),
        (["buy_and_hold", "--cash", "-1"], "--cash -1.0: input should be greater than 0"),
        (["buy_and_hold", "--symbols", "A@B"], "'A@B' is no symbol"),
        (["buy_and_hold", "--report", "/nowhere/at/all.html"], "the report cannot be written"),
    ],
)
def test_a_mistake_at_the_command_line_is_one_line_and_exit_2(arguments: list[str], line: str, tmp_path: Path) -> None:
    file = tmp_path / "AAPL.csv"
    file.write_text("time,open,high,low,close,volume\n2013-02-27,1,2,1,2,9\n2013-02-28,2,3,2,3,9\n")

    done = scizor(None, "backtest", "run", *arguments, "--source", str(file))

    assert done.returncode == 2, done.stderr
    said = [each for each in done.stderr.splitlines() if each.startswith("scizor: ")]
    assert len(said) == 1
    assert line in said[0]


def test_a_file_needs_nothing_running(tmp_path: Path) -> None:
    file = tmp_path / "AAPL.csv"
    prices = real_daily("AAPL").bars()
    rows = [f"{bar.start:%Y-%m-%d},{bar.open},{bar.high},{bar.low},{bar.close},{bar.volume}" for bar in prices]
    file.write_text("\n".join(["time,open,high,low,close,volume", *rows]))

    done = scizor(None, "backtest", "run", "moving_average_crossover", "--source", str(file), "--json")

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["request"]["symbols"], found["metrics"]["trades"]) == (["AAPL"], 58)
    assert found["metrics"]["final_equity"] == pytest.approx(141_956.67, abs=0.005)
    assert found["metrics"]["periods_per_year"] == 252
