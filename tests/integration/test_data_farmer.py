"""The data farmer, on real Kafka and PostgreSQL, with the simulator's gateway: what is asked is done, once."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest

from consumers.persister import build as build_persister
from infra import topic_admin
from infra.bar_replay import read_bars
from infra.columns import bar_digest, frame_of
from infra.replay import fold
from infra.service import Service
from infra.settings import Settings
from infra.store.bars import read_bars as stored_bars
from infra.store.database import Store
from infra.symbol_names import UNKNOWN_SYMBOL
from producers.cli.collection import Request
from producers.cli.desk import Desk
from producers.data_farmer.__main__ import build
from schemas.collection import CollectDaily, CollectHistory, CollectionRun, RunState, ValidateSymbols
from schemas.event import Event
from schemas.market import HistoricalBar, Source
from schemas.validation import Symbol, SymbolRejected, SymbolState, SymbolValidated
from tests.builders import SEEN
from tests.integration.a_gateway import ScriptedGateway, scripted_gateway, simulator
from tests.integration.a_gateway_simulator import a_gateway
from tests.integration.test_service import running

DAY = timedelta(days=1)
FEBRUARY = datetime(2013, 2, 1, tzinfo=UTC)
MARCH = datetime(2013, 3, 1, tzinfo=UTC)


def a_collection(run_id: str, *symbols: str, **changes: object) -> CollectHistory:
    fields: dict[str, object] = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "run_id": run_id,
        "symbols": symbols,
        "start": FEBRUARY,
        "end": MARCH,
        "requested_by": "test",
    }
    return CollectHistory.model_validate(fields | changes)


def a_validation(run_id: str, *symbols: str, **changes: bool) -> ValidateSymbols:
    return ValidateSymbols(
        event_time=SEEN, ingest_time=SEEN, run_id=run_id, symbols=symbols, requested_by="test", **changes
    )


class Asker:
    """Publishes requests and waits for the end of their runs."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.told: list[CollectionRun] = []

    async def run(self, request: Request) -> CollectionRun:
        feed = await self._desk.feed(["collection.runs.v1"])
        await self._desk.publish(request)
        async for event in feed.events(60):
            if isinstance(event, CollectionRun) and event.run_id == request.run_id:
                self.told.append(event)
                if event.state in (RunState.DONE, RunState.FAILED):
                    return event
        raise AssertionError(f"no end of {request.run_id}: {self.told}")


@contextlib.asynccontextmanager
async def farming(
    settings: Settings, port: int, patience: float = 20.0, *, by_schedule: bool = False
) -> AsyncIterator[Asker]:
    settings = settings.model_copy(update={"ib_port": port, "collect_daily": by_schedule})
    await topic_admin.apply(settings)
    service = build(settings, gateway_patience_seconds=patience)
    async with _started(service), Desk(settings) as desk:
        yield Asker(desk)


@contextlib.asynccontextmanager
async def _started(service: Service) -> AsyncIterator[None]:
    """Without waiting for a gateway."""
    task = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(30):
            while set(service.why_not_ready()) - {"gateway"}:
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
        yield
    finally:
        service.stop()
        await task


async def everything(settings: Settings, *topics: str) -> list[Event]:
    return [event async for event, _ in fold(settings, topics)]


async def test_history_is_asked_for_once_and_when_asked_for_again_published_only_where_it_changed(
    stack_settings: Settings,
) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port) as asker:
        first = await asker.run(a_collection("run-1", "AAPL", "IBM"))
        bars = await read_bars(stack_settings, ["market.history.v1"])
        nothing = await asker.run(a_collection("run-1b", "AAPL", "IBM"))
        again = await asker.run(a_collection("run-2", "AAPL", "IBM", refresh=True))
        repeated = await asker.run(a_validation("run-3", "AAPL"))

    assert (first.state, first.failures, first.symbols_done) == (RunState.DONE, {}, 2)
    assert first.bars_received == first.bars_published == len(bars) == 2 * 18  # 20 trading days, 18 of them over
    assert (nothing.chunks, nothing.gateway_requests, nothing.sessions, nothing.sessions_complete) == (0, 0, 36, 36)
    assert (again.bars_received, again.bars_published) == (36, 0)
    assert repeated.requests_saved == 1
    assert repeated.gateway_requests == 0
    assert set(bars["source"]) == {Source.REAL.value}
    states = [told.state for told in asker.told if told.run_id == "run-1"]
    assert states[0] is RunState.STARTED
    assert states[-1] is RunState.DONE


async def test_the_records_are_what_the_events_would_be(stack_settings: Settings) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port) as asker:
        await asker.run(a_collection("run-1", "MSFT"))

    events = await everything(stack_settings, "market.history.v1")
    bars = [event for event in events if isinstance(event, HistoricalBar)]
    assert len(bars) == len(events) == 18
    assert {bar.symbol for bar in bars} == {"MSFT"}
    assert bar_digest(frame_of(bars)) == bar_digest(await read_bars(stack_settings))


async def test_a_changed_bar_is_published_with_the_next_revision_also_after_a_restart(
    stack_settings: Settings,
) -> None:
    bars = [["20130225", 1, 3, 1, 2, 10], ["20130226", 2, 4, 2, 3, 10]]
    published = []
    async with scripted_gateway() as gateway:
        _describe(gateway)
        gateway.answers[20] = lambda peer, fields: peer.say(*_history(fields[1], bars))
        for run_ids in (("run-1", "run-2"), ("run-3",)):
            async with farming(stack_settings, gateway.port) as asker:
                for run_id in run_ids:
                    published.append((await asker.run(a_collection(run_id, "AAPL", refresh=True))).bars_published)
                    bars[1][4] += 0.25  # type: ignore[operator] # the close

    assert published == [2, 1, 1]
    newest = await read_bars(stack_settings)
    assert newest["revision"].to_list() == [0, 2]
    assert newest["close"].to_list() == [2.0, 3.5]


@pytest.mark.parametrize("stored", [True, False], ids=["the persister is done", "the persister is behind"])
async def test_bars_that_a_former_process_published_are_known(stack_settings: Settings, stored: bool) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port) as asker:
        await asker.run(a_collection("run-1", "AAPL"))
    if stored:
        persister = build_persister(stack_settings)
        async with running(persister):
            async with asyncio.timeout(30):
                while await _rows(stack_settings) < 18:
                    await asyncio.sleep(0.05)
    async with simulator() as gateway, farming(stack_settings, gateway.port) as asker:
        nothing = await asker.run(a_collection("run-2", "AAPL"))
        again = await asker.run(a_collection("run-3", "AAPL", refresh=True))
    assert nothing.bars_received == 0
    assert (again.bars_received, again.bars_published) == (18, 0)


async def _rows(settings: Settings) -> int:
    store = Store(settings, "data_farmer")
    async with store.reading() as connection:
        frame = await stored_bars(connection)
    await store.close()
    return len(frame)


def _history(request_id: str, bars: Sequence[Sequence[object]]) -> list[object]:
    return [17, request_id, "", "", len(bars), *(value for bar in bars for value in (*bar, 1.5, 3))]


async def test_a_symbol_that_nobody_knows_ends_in_the_failures_of_its_run(stack_settings: Settings) -> None:
    async with simulator() as gateway, farming(stack_settings, gateway.port) as asker:
        mixed = await asker.run(a_collection("run-1", "NOSUCH", "IBM"))
        alone = await asker.run(a_validation("run-2", "NOSUCH", retry=True))
        good = await asker.run(a_validation("run-3", "AAPL", "IBM"))

    assert mixed.state is RunState.DONE
    assert mixed.failures["NOSUCH"].startswith(UNKNOWN_SYMBOL)
    assert mixed.bars_published == 18
    assert alone.state is RunState.FAILED
    assert (good.state, good.requests_saved) == (RunState.DONE, 1)
    findings = await everything(stack_settings, "reference.validations.v1")
    assert [type(finding) for finding in findings] == [SymbolRejected, SymbolValidated, SymbolRejected, SymbolValidated]
    symbols = {s.symbol: s for s in await everything(stack_settings, "reference.symbols.v1") if isinstance(s, Symbol)}
    assert symbols["NOSUCH"].state is SymbolState.REJECTED
    assert symbols["AAPL"].state is SymbolState.VALID
    assert symbols["AAPL"].contract is not None
    assert symbols["AAPL"].contract.contract_id == 265598


async def test_a_run_waits_visibly_for_a_missing_gateway_and_then_gives_up(stack_settings: Settings) -> None:
    async with farming(stack_settings, port=9, patience=1.5) as asker:
        told = await asker.run(a_collection("run-1", "AAPL"))

    waiting = [told for told in asker.told if told.state is RunState.RUNNING]
    assert "waiting" in waiting[0].failures["gateway"]
    assert told.state is RunState.FAILED
    assert "gave up after 1.5 s" in told.failures["gateway"]
    assert "nothing answers at 127.0.0.1:9" in told.failures["gateway"]


async def test_a_run_goes_on_when_the_gateway_comes(stack_settings: Settings) -> None:
    async with scripted_gateway() as placeholder:
        port = placeholder.port
    async with farming(stack_settings, port) as asker:
        running_now = asyncio.create_task(asker.run(a_collection("run-1", "AAPL")))
        async with asyncio.timeout(30):
            while not any("gateway" in told.failures for told in asker.told):
                await asyncio.sleep(0.02)
        async with simulator(port=port):
            told = await running_now
    assert (told.state, told.failures, told.bars_published) == (RunState.DONE, {}, 18)


async def test_a_run_that_a_crash_cut_short_is_done_after_the_restart_and_a_finished_one_is_not(
    stack_settings: Settings,
) -> None:
    await topic_admin.apply(stack_settings)
    async with Desk(stack_settings) as desk:
        for request in (a_collection("run-1", "AAPL"), a_collection("run-1", "AAPL"), a_collection("run-2", "IBM")):
            await desk.publish(request)
    async with simulator() as gateway:
        async with farming(stack_settings, gateway.port) as asker:
            await asker.run(a_collection("run-3", "MSFT"))
        async with farming(stack_settings, gateway.port) as asker:
            await asker.run(a_collection("run-4", "MSFT"))
    runs = [run for run in await everything(stack_settings, "collection.runs.v1") if isinstance(run, CollectionRun)]
    ended = [run.run_id for run in runs if run.state is RunState.DONE]
    assert sorted(ended) == ["run-1", "run-2", "run-3", "run-4"]
    assert len(await everything(stack_settings, "market.history.v1")) == 3 * 18


async def test_impossible_bars_are_quarantined_and_the_others_published(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, farming(stack_settings, gateway.port) as asker:
        _describe(gateway)
        bars = [("20130225", 1, 2, 1, 2, 10), ("20130226", 1, 2, 3, 2, 10), ("20130227", 1, 2, 1, 2, -5)]
        gateway.answers[20] = lambda peer, fields: peer.say(*_history(fields[1], bars))
        told = await asker.run(a_collection("run-1", "AAPL"))

    assert (told.bars_received, told.bars_published, told.quarantined) == (3, 1, 2)
    assert len(await everything(stack_settings, "market.quarantine.v1")) == 2


def _describe(gateway: ScriptedGateway) -> None:
    """One contract, for whatever is asked."""
    details = ("AAPL", "STK", "", 0, "", "SMART", "USD", "AAPL", "NMS", "NMS", 265598, 0.01, "", "", "SMART", 1, 0)
    more = (
        "APPLE INC",
        "NASDAQ",
        "",
        "",
        "",
        "",
        "US/Eastern",
        "",
        "",
        "",
        0,
        0,
        1,
        "",
        "",
        "26",
        "",
        "COMMON",
        1,
        1,
        100,
    )

    def answer(peer: object, fields: list[str]) -> None:
        gateway.peer.say(10, fields[2], *details, *more)
        gateway.peer.say(52, 1, fields[2])

    gateway.answers[9] = answer


async def test_daily_collection_is_done_once_after_a_session_also_over_a_restart(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("producers.data_farmer.scheduler._LOOK_SECONDS", 0.1)
    async with a_gateway(now="2013-02-28T15:59:00-05:00") as gateway:
        async with farming(stack_settings, gateway.port, by_schedule=True) as asker:
            await asker.run(a_validation("run-1", "AAPL"))
            await asyncio.sleep(0.5)  # it has looked, and nothing is due
            assert await everything(stack_settings, "collection.daily.v1") == []
            await gateway.gateway.tape.advance(31 * 60.0)
            told = await _end_of_daily(stack_settings)
        async with farming(stack_settings, gateway.port, by_schedule=True):
            await asyncio.sleep(0.5)  # it has looked again
            asked = await everything(stack_settings, "collection.daily.v1")

    assert [request.run_id for request in asked if isinstance(request, CollectDaily)] == ["daily-XNYS-2013-02-28"]
    assert (told.kind, told.state, told.symbols, told.session) == ("daily", RunState.DONE, 1, date(2013, 2, 28))
    assert told.sessions_complete == told.sessions > 18
    last = (await read_bars(stack_settings))["start_us"].max()
    assert last == int(datetime(2013, 2, 28, 14, 30, tzinfo=UTC).timestamp()) * 1_000_000


async def _end_of_daily(settings: Settings) -> CollectionRun:
    async with asyncio.timeout(30):
        while True:
            for run in await everything(settings, "collection.runs.v1"):
                if isinstance(run, CollectionRun) and run.kind == "daily" and run.state is RunState.DONE:
                    return run
            await asyncio.sleep(0.1)
