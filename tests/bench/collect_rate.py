"""`collect.rate`: history requests a second, from the gateway to committed rows, beside those of a bare ib_insync.

The same requests to the same simulator without limits, in rounds that take turns; every round has days of its own, so
that nothing is there already. Both ask for fifty at a time; ours decodes, compares, publishes and stores them too.
"""

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from ib_insync import IB, Contract

from infra import broker
from infra.calendars.calendar import Session, calendar_of
from infra.clock import SystemClock, SystemEntropy
from infra.settings import Settings
from infra.topics import load_catalogue
from producers.cli.desk import Desk, Feed
from schemas.collection import CollectHistory, CollectionRun, RunState, ValidateSymbols
from schemas.validation import Symbol, SymbolState
from tests.bench.a_system import a_folder, a_system

_SYMBOLS = ("AAPL", "MSFT", "IBM", "GOOG", "NVDA", "AMZN", "INTC", "CSCO", "ORCL", "ADBE")
_SERVICES = ["data_farmer", "persister"]
_OPEN_MAX = 48
_ROUNDS = 5
_SESSIONS_A_ROUND = 24
_FIRST_DAY = date(2012, 1, 3)
_HISTORY = "market.history.v1"
_WAIT_SECONDS = 120.0


def run(quick: bool) -> list[dict[str, Any]]:
    """At least 0.4 of the bare rate."""
    unpaced = {"ib_pacing": "off", "collect_daily": False}
    with a_folder() as folder, a_system(folder, _SERVICES, options=["--pacing", "off"], **unpaced) as stack:
        return asyncio.run(_measure(stack.settings, 2 if quick else _ROUNDS))


def _rounds(count: int) -> Iterator[list[Session]]:
    """Sessions of a round of ours and then one of the bare client, and so on; the first two warm up."""
    days = iter(calendar_of("NASDAQ").sessions(_FIRST_DAY, date(2013, 2, 27)))
    for _ in range(count):
        yield [next(days) for _ in range(_SESSIONS_A_ROUND)]


async def _measure(settings: Settings, rounds: int) -> list[dict[str, Any]]:
    database = await asyncpg.connect(settings.database_url.get_secret_value())
    ours, bare = [], []
    bars = 0
    try:
        async with Desk(settings) as desk, _client(settings) as client:
            contracts = await _validated(desk)
            for number, sessions in enumerate(_rounds(2 * (rounds + 1))):
                if number % 2:
                    bare.append(await _bare_rate(client, contracts, sessions))
                else:
                    rate, bars = await _our_rate(desk, database, sessions)
                    ours.append(rate)
    finally:
        await database.close()
    value, raw = statistics.median(ours[1:]), statistics.median(bare[1:])
    detail = {"requests_a_round": len(_SYMBOLS) * _SESSIONS_A_ROUND, "bars_a_round": bars, "rounds": rounds}
    unit = "requests/s"
    row = {"name": "collect.rate", "value": value, "unit": unit, "raw": raw, "ratio": value / raw, "detail": detail}
    return [row]


@contextlib.asynccontextmanager
async def _client(settings: Settings) -> AsyncIterator[Any]:
    client: Any = cast(Any, IB)()  # its stubs leave out half of what it is
    client.client.MaxRequests = 0  # its own limit is not what is measured
    await client.connectAsync("127.0.0.1", settings.ib_port, clientId=900)
    try:
        yield client
    finally:
        client.disconnect()


async def _validated(desk: Desk) -> list[Contract]:
    feed = await desk.feed(["collection.runs.v1", "reference.symbols.v1"])
    now = desk.clock.now()
    await desk.publish(
        ValidateSymbols(event_time=now, ingest_time=now, run_id="validate", symbols=_SYMBOLS, requested_by="bench")
    )
    found: dict[str, Contract] = {}
    async for event in feed.events(_WAIT_SECONDS):
        if isinstance(event, Symbol) and event.state is SymbolState.VALID and event.contract is not None:
            found[event.symbol] = Contract(conId=event.contract.contract_id, exchange="SMART")
        if isinstance(event, CollectionRun) and event.state in (RunState.DONE, RunState.FAILED):
            assert not event.failures, event.failures
        if len(found) == len(_SYMBOLS):  # the run's end is told on another topic: it may be read first
            break
    return [found[symbol] for symbol in _SYMBOLS]


async def _bare_rate(client: Any, contracts: list[Contract], sessions: list[Session]) -> float:
    room = asyncio.Semaphore(_OPEN_MAX)

    async def ask(contract: Contract, session: Session) -> int:
        async with room:
            end = f"{session.close:%Y%m%d-%H:%M:%S}"
            found = await client.reqHistoricalDataAsync(
                contract, end, "1 D", "1 min", "TRADES", True, formatDate=2, timeout=_WAIT_SECONDS
            )
        return len(found)

    begun = time.perf_counter()
    counts = await asyncio.gather(*(ask(contract, session) for contract in contracts for session in sessions))
    assert all(counts), "every session has bars"
    return len(counts) / (time.perf_counter() - begun)


async def _our_rate(desk: Desk, database: asyncpg.Connection, sessions: list[Session]) -> tuple[float, int]:
    """From the request to the last committed row."""
    stored = await database.fetchval("SELECT count(*) FROM bars")
    feed = await desk.feed(["collection.runs.v1"])
    begun = time.perf_counter()
    request = _request(desk.clock.now(), sessions)
    await desk.publish(request)
    told = await _end_of(feed, request.run_id)
    await _stored_up_to_now(desk.settings)
    seconds = time.perf_counter() - begun
    now_stored = await database.fetchval("SELECT count(*) FROM bars")
    assert now_stored == stored + told.bars_published, "what was committed is there"
    assert told.chunks_done == len(_SYMBOLS) * len(sessions), told
    return told.chunks_done / seconds, told.bars_published


async def _stored_up_to_now(settings: Settings) -> None:
    """Wait until the persister has committed all that is in the topic: it does so once the rows are committed."""
    topic, group = settings.topic_prefix + _HISTORY, f"{settings.topic_prefix}persister"
    consumer = AIOKafkaConsumer(group_id=group, enable_auto_commit=False, **broker.connection_options(settings))
    await consumer.start()
    try:
        places = [
            TopicPartition(topic, number) for number in range(load_catalogue().topic("market.history.v1").partitions)
        ]
        ends = await consumer.end_offsets(places)
        async with asyncio.timeout(_WAIT_SECONDS):
            while any([(await consumer.committed(place) or 0) < end for place, end in ends.items()]):  # awaits
                await asyncio.sleep(0.01)
    finally:
        await consumer.stop()


def _request(now: datetime, sessions: list[Session]) -> CollectHistory:
    return CollectHistory(
        event_time=now.astimezone(UTC),
        ingest_time=now,
        run_id=SystemEntropy().new_id(),
        symbols=_SYMBOLS,
        bar_size=timedelta(minutes=1),
        first_day=sessions[0].day,
        last_day=sessions[-1].day,
        requested_by="bench",
    )


async def _end_of(feed: Feed, run_id: str) -> CollectionRun:
    async for event in feed.events(_WAIT_SECONDS):
        if not isinstance(event, CollectionRun) or event.run_id != run_id:
            continue
        if event.state in (RunState.DONE, RunState.FAILED):
            assert not event.failures, event.failures
            return event
    raise AssertionError(f"no end of {run_id} in {_WAIT_SECONDS} s at {SystemClock().now()}")
