"""`risk.decisions`: intents through topic, book, decision and outbox, beside the same statements in bare asyncpg.

One account, ten contracts, a limit of five orders' worth on each: of all intents exactly fifty may be approved, however
many there are. The backlog is drained by the service's own process. `risk.sustained`: a thousand intents a second come
in, and each is timed from its record to its decision's. `risk.race`: a hundred intents of 2 % of a limit each, sent by
four producers in the same moment, again and again for new accounts.
"""

import asyncio
import contextlib
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.ext.asyncio import AsyncConnection

from consumers.risk.deciding import LOOK_MAX, TOGETHER_MAX, breach_of
from engine import risk
from engine.account_book import AccountBook
from engine.account_rows import account_book
from engine.judging import judged
from infra import broker, migrate, topic_admin
from infra.calendars.open_now import in_session
from infra.clock import SystemClock
from infra.embedded.kafka import Folders, KafkaServer
from infra.embedded.postgres import PostgresServer
from infra.embedded.programs import environment_of
from infra.publish import outgoing
from infra.settings import Settings
from infra.store import book, book_rules, marks
from infra.store.book import Asked, Decided
from infra.store.database import Store, _outbox_values, _record_of
from infra.store.marks import MarkRow
from infra.topics import load_catalogue
from schemas.account import AccountState, RiskLimits, TradingMode, TradingState
from schemas.event import Event
from schemas.orders import DenialReason, OrderIntent, OrderType, RiskDecision, Side
from tests.bench.a_system import a_database

_ACCOUNT = "DU1234567"
_CONTRACTS = range(1, 11)
_EACH, _ROOM = Decimal(20), Decimal(100)
_APPROVED = 50
_WIDE = 1000
"""Of what is not to be the limit."""
_PRODUCERS = 4
_RATE = 1000
_RACERS = 100
_CLOCK = SystemClock()
_DIALECT = dialect()  # type: ignore[no-untyped-call] # SQLAlchemy's
_INTENTS, _DECISIONS = "trading.intents.v1", "trading.decisions.v1"


def run(quick: bool) -> list[dict[str, Any]]:
    """Servers of its own; a fresh account for each part."""
    with tempfile.TemporaryDirectory(prefix="scizor-bench-") as name:
        folder = Path(name)
        jars = Settings().home.resolve() / "jars"
        kafka = KafkaServer(Folders(folder / "kafka", folder / "logs", jars))
        postgres = PostgresServer(folder / "postgres", folder / "logs")
        try:
            kafka.start()
            postgres.start()
            postgres.execute("CREATE DATABASE bench")
            migrate.upgrade(postgres.url_of("bench"))
            url = SecretStr(postgres.url_of("bench"))
            changes = {"home": folder, "kafka": kafka.address, "database_url": url, "metrics_port": 0}
            return asyncio.run(_measure(Settings().model_copy(update=changes), 3_000 if quick else 10_000, quick))
        finally:
            postgres.stop()
            kafka.stop()


async def _measure(settings: Settings, count: int, quick: bool) -> list[dict[str, Any]]:
    await topic_admin.apply(settings, load_catalogue())
    store = Store(settings, "risk")
    try:
        bare = [await _bare(settings, store, f"bare-{n}", count) for n in range(3)]
        async with _a_judge(settings) as judge:
            ours = [await judge.drain(store, f"{_ACCOUNT}-{n}", count) for n in range(3)]
            late = await judge.sustain(store, "steady", 5 if quick else 30)
            races = [await judge.race(store, f"race-{n}") for n in range(3 if quick else 20)]
    finally:
        await store.close()
    value, raw = statistics.median(ours), statistics.median(bare)
    cut = statistics.quantiles(late, n=100)
    return [
        {
            "name": "risk.decisions",
            "value": value,
            "unit": "intents/s",
            "raw": raw,
            "ratio": value / raw,
            "detail": f"raw: the same statements in bare asyncpg; exactly {_APPROVED} of {count} approved each time; "
            f"{statistics.median(judge.cpu_ms):.2f} ms of its CPU each; at least 0.5 of raw, {_RATE} a second",
        },
        {
            "name": "risk.sustained",
            "value": cut[98],
            "unit": "ms",
            "raw": cut[49],
            "ratio": cut[98] / cut[49],
            "detail": f"p99 from intent to decision at {_RATE} intents/s from {_PRODUCERS} producers; raw: its p50; "
            f"{len(late)} decisions, each the right one",
        },
        {
            "name": "risk.race",
            "value": max(races, key=lambda each: abs(each - _APPROVED)),
            "unit": "approved",
            "raw": _APPROVED,
            "ratio": max(races, key=lambda each: abs(each - _APPROVED)) / _APPROVED,
            "detail": f"the worst of {len(races)} races: {_RACERS} intents of 2 % of a limit each from {_PRODUCERS} "
            f"producers in the same moment; raw: as many as fit, which is exactly {_APPROVED}",
        },
    ]


# what risk knows before


async def _know(store: Store, account_id: str, room: Decimal = _ROOM) -> None:
    """Limits, an active account with money, prices of now."""
    now = _CLOCK.now()
    stamp: dict[str, Any] = {"event_time": now, "ingest_time": now}
    ages: dict[str, Any] = {"price_age_max_seconds": 600, "account_age_max_seconds": 600}
    wide = dict.fromkeys(("open_orders_max", "open_orders_per_contract_max", "orders_per_minute_max"), _WIDE)
    limits = RiskLimits(scope=f"account:{account_id}", version=1, position_max=room, **wide, **ages, **stamp)
    state = TradingState(scope=limits.scope, mode=TradingMode.ACTIVE, reason="bench", by="bench", **stamp)
    worth: dict[str, Any] = dict.fromkeys(("net_liquidation", "cash", "buying_power"), Decimal(10**8))
    told = AccountState(account_id=account_id, currency="USD", **worth, **stamp)

    async def write(held: AsyncConnection) -> None:
        await book.open_book(held, account_id, now)
        await book_rules.save_limits(held, limits)
        await book_rules.save_state(held, state)
        await book_rules.save_account(held, told)

    async with store.transaction() as tx:
        await write(tx.connection)
    await marks.save(store, [MarkRow(contract, "X", Decimal(100), now, now) for contract in _CONTRACTS])


def _intents_of(account_id: str, count: int) -> list[OrderIntent]:
    now = _CLOCK.now()
    return [
        OrderIntent(
            intent_id=f"{account_id}-{number}",
            account_id=account_id,
            strategy_id=f"s-{number}",
            contract_id=_CONTRACTS[number % len(_CONTRACTS)],
            symbol="X",
            side=Side.BUY,
            quantity=_EACH,
            order_type=OrderType.MARKET,
            reference_price=Decimal(100),
            reference_time=now,
            event_time=now,
            ingest_time=now,
        )
        for number in range(count)
    ]


# the same statements, bare


async def _bare(settings: Settings, store: Store, account_id: str, count: int) -> float:
    """Intents a second when all that is written is there already, and nothing is asked of Python."""
    await _know(store, account_id)
    looks = await _prepared(store, account_id, _intents_of(account_id, count))
    read, decide = (str(each.compile(dialect=_DIALECT)) for each in (book._READ, book._DECIDE))
    async with a_database(settings) as connection:
        begun = time.perf_counter()
        for looking, slices in looks:
            (row,) = await connection.fetch(read, *looking)
            for version, writing in enumerate(slices, row["version"]):
                written = await connection.fetch(decide, *(version if each is _VERSION else each for each in writing))
                assert written, "the version was the newest"
        seconds = time.perf_counter() - begun
        await connection.execute("DELETE FROM outbox")  # nobody is to publish them
    return count / seconds


_VERSION = object()


async def _prepared(
    store: Store, account_id: str, intents: Sequence[OrderIntent]
) -> list[tuple[list[Any], list[list[Any]]]]:
    """The values of both statements, in the order of their places: of each look, and of the slices written after it."""
    now = _CLOCK.now()
    found = []
    account = None
    for start in range(0, len(intents), LOOK_MAX):
        part = intents[start : start + LOOK_MAX]
        asked = Asked(
            account_id,
            [each.intent_id for each in part],
            sorted({each.contract_id for each in part}),
            sorted({each.strategy_id for each in part}),
            ["X"],
        )
        if account is None:
            async with store.looking() as held:
                row = await book.read(held, asked, now)
            account = account_book(account_id, row, now, in_session)
        slices = [part[at : at + TOGETHER_MAX] for at in range(0, len(part), TOGETHER_MAX)]
        looking = _placed(book._READ, book.values_to_read(asked, now))
        found.append((looking, [_written(account, each) for each in slices]))
    return found


def _written(account: AccountBook, intents: Sequence[OrderIntent]) -> list[Any]:
    made = [
        Decided(decision, risk.fingerprint(decision.intent), reserved.price, reserved.value)
        for decision, reserved in judged(account, intents, _CLOCK.now)
    ]
    told = [e for each in made for e in ((each.decision,) if each.decision.approved else _both(each.decision))]
    records = [_record_of(each, None, "risk", load_catalogue()) for each in told]
    values = {**book.values_of(0, made), **_outbox_values("risk", records), "version": _VERSION}
    return _placed(book._DECIDE, values)


def _both(denied: RiskDecision) -> tuple[Event, Event]:
    """What is told of a denial."""
    return denied, breach_of(denied)


def _placed(statement: Any, values: dict[str, Any]) -> list[Any]:
    return [values[name] for name in statement.compile(dialect=_DIALECT).positiontup]


# the service


class _Judge:
    """The service in a process of its own, and who writes to its topic and reads from it."""

    def __init__(
        self,
        settings: Settings,
        process: asyncio.subprocess.Process,
        producers: list[AIOKafkaProducer],
        reader: AIOKafkaConsumer,
    ) -> None:
        self._process = process
        self.cpu_ms: list[float] = []
        """CPU of the service for each intent of a backlog."""
        self._topic = settings.topic_prefix + _INTENTS
        self._producers = producers
        self._reader = reader
        self._spec = load_catalogue().topic(_DECISIONS)

    def _cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def drain(self, store: Store, account_id: str, count: int) -> float:
        """Intents a second that have piled up while the service stood still, to the last decision on its topic."""
        await _know(store, account_id)
        intents = _intents_of(account_id, count)
        records = [outgoing(load_catalogue().topic(_INTENTS), each, None, "bench") for each in intents]
        self._process.send_signal(signal.SIGSTOP)
        sent = [
            await self._producers[number % _PRODUCERS].send(
                self._topic, record.value, key=record.key, headers=record.headers
            )
            for number, record in enumerate(records)
        ]
        await asyncio.gather(*sent)
        worked = self._cpu_seconds()
        begun = time.perf_counter()
        self._process.send_signal(signal.SIGCONT)
        found = await self._decisions(count)
        self.cpu_ms.append((self._cpu_seconds() - worked) / count * 1000)
        _judge_the_judge([decision for decision, _ in found])
        return count / (found[-1][1] - begun)

    async def sustain(self, store: Store, account_id: str, seconds: int) -> list[float]:
        """Milliseconds from each intent to its decision."""
        await _know(store, account_id)
        count = seconds * _RATE
        decided = asyncio.create_task(self._decisions(count))
        sent: dict[str, float] = {}
        begun = time.perf_counter()
        for number, intent in enumerate(_intents_of(account_id, count)):
            if (ahead := begun + number / _RATE - time.perf_counter()) > 0.002:
                await asyncio.sleep(ahead)
            now = _CLOCK.now()
            fresh = intent.model_copy(update={"reference_time": now, "ingest_time": now})
            record = outgoing(load_catalogue().topic(_INTENTS), fresh, None, "bench")
            sent[intent.intent_id] = time.perf_counter()
            producer = self._producers[number % _PRODUCERS]
            await producer.send(self._topic, record.value, key=record.key, headers=record.headers)
        found = await decided
        _judge_the_judge([decision for decision, _ in found])
        return [(at - sent[decision.intent_id]) * 1000 for decision, at in found]

    async def race(self, store: Store, account_id: str) -> int:
        """How many of a hundred that are sent at once are approved; twice as many are asked for as fit."""
        await _know(store, account_id, _EACH * _APPROVED)
        records = [
            outgoing(load_catalogue().topic(_INTENTS), each.model_copy(update={"contract_id": 1}), None, "bench")
            for each in _intents_of(account_id, _RACERS)
        ]
        await asyncio.gather(
            *(
                self._producers[number % _PRODUCERS].send(
                    self._topic, record.value, key=record.key, headers=record.headers
                )
                for number, record in enumerate(records)
            )
        )
        found = [decision for decision, _ in await self._decisions(_RACERS)]
        assert len({each.intent_id for each in found}) == _RACERS, "one intent, one decision"
        assert {each.reason for each in found if not each.approved} == {DenialReason.POSITION_MAX}
        return sum(each.approved for each in found)

    async def _decisions(self, count: int) -> list[tuple[RiskDecision, float]]:
        found: list[tuple[bytes, float]] = []
        async with asyncio.timeout(120):
            while len(found) < count:
                for records in (await self._reader.getmany(timeout_ms=100)).values():
                    found += [(record.value, time.perf_counter()) for record in records]
        decisions = [(self._spec.parse(value), at) for value, at in found]
        return [(decision, at) for decision, at in decisions if isinstance(decision, RiskDecision)]


def _judge_the_judge(decisions: list[RiskDecision]) -> None:
    """Every decision is the right one: five of each contract, and of all others none, for the position's sake."""
    approved = Counter(each.intent.contract_id for each in decisions if each.approved)  # type: ignore[union-attr] # orders
    reasons = {each.reason for each in decisions if not each.approved}
    assert len({each.intent_id for each in decisions}) == len(decisions), "one intent, one decision"
    assert approved == dict.fromkeys(_CONTRACTS, _APPROVED // len(_CONTRACTS)), approved
    assert reasons == {DenialReason.POSITION_MAX}, reasons


@contextlib.asynccontextmanager
async def _a_judge(settings: Settings) -> AsyncIterator[_Judge]:
    environment = {**os.environ, **environment_of(settings)}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "consumers.risk",
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    producers = [broker.producer(settings) for _ in range(_PRODUCERS)]
    reader = broker.reader(settings)
    try:
        for client in (*producers, reader):
            await client.start()
        reader.assign([TopicPartition(settings.topic_prefix + _DECISIONS, 0)])
        yield _Judge(settings, process, producers, reader)
    finally:
        for client in (*producers, reader):
            await client.stop()
        process.terminate()
        await asyncio.wait_for(process.wait(), timedelta(seconds=30).total_seconds())
