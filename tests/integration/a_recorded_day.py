"""A day as the topics keep it: bars, ticks, partial fills, late bars after a disconnect, a pause and a restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from aiokafka import TopicPartition

from consumers.strategist.strategist import Strategist
from engine.risk import Book, check
from infra import broker, topic_admin
from infra.service import Service
from infra.settings import Settings
from infra.topics import Catalogue, load_catalogue
from schemas.account import RiskLimits, TradingMode
from schemas.event import Event
from schemas.orders import OrderIntent, OrderStatus, RiskDecision
from schemas.strategy import Deploy, Pause, Reconfigure, Resume, Start
from tests.builders import NOON, a_historical_bar, a_tick, as_seen
from tests.integration.a_trading_floor import (
    ACCOUNT,
    COMMAND,
    WHEN,
    Floor,
    a_deployment,
    a_symbol,
    its_fill,
    its_update,
    random_bars,
    until,
)

LIMITS = RiskLimits(
    scope=f"account:{ACCOUNT}", version=3, quantity_max=Decimal(150), notional_max=Decimal(10**6), **WHEN
)
BY_BARS, BY_TICKS = "crossover", "ticking"


def deployments() -> tuple[Deploy, Deploy]:
    """One that decides on bars, warmed up; one that decides on prints."""
    ticking = {"strategy": "tick_momentum", "parameters": {}, "symbols": ("AAA",), "trigger": "ticks"}
    return (
        a_deployment(symbols=("AAA",), bar_size_seconds=5, warmup_bars=10),
        a_deployment(strategy_id=BY_TICKS, **ticking),
    )


class Judge(Floor):
    """Decides by the product's own check on a book that it keeps, and fills in two parts."""

    def _answers(self, intent: Any) -> list[Event]:
        assert isinstance(intent, OrderIntent)
        held = Decimal(len(self.answered))  # some book: it only has to be told
        book = Book(trading_mode=TradingMode.ACTIVE, limits=LIMITS, position=held, **as_seen(intent))
        decision = check(intent, book, intent.reference_time + timedelta(milliseconds=40))
        if not decision.approved:
            return [decision]
        half = int(intent.quantity) // 2
        rest = int(intent.quantity) - half
        first = its_fill(intent, half)
        second = its_fill(intent, rest).revised(execution_id=f"f-{intent.intent_id}")
        return [decision, first, its_update(intent, OrderStatus.FILLED, int(intent.quantity)), second]


def the_topics() -> Catalogue:
    full = load_catalogue()
    service = full.services["strategist"]
    wanted = {*service.reads, *service.replays, *service.writes, "risk.limits.v1"}
    topics = {name: topic for name, topic in full.topics.items() if name in wanted}
    return full.model_copy(update={"topics": topics, "services": {"strategist": service}})


@contextlib.asynccontextmanager
async def a_strategist(settings: Settings) -> AsyncIterator[Service]:
    """In this process, until it is stopped in good order."""
    service = Service("strategist", settings)
    Strategist(service).wire()
    task = asyncio.create_task(service.run())

    async def ready() -> bool:
        if task.done():
            task.result()
        return not service.why_not_ready()

    try:
        await until(ready)
        yield service
    finally:
        service.stop()
        await task


async def record(settings: Settings) -> None:
    """Let the day happen on the real broker."""
    await topic_admin.apply(settings, the_topics())
    producer, admin = broker.producer(settings), broker.admin(settings)
    await producer.start()
    await admin.start()
    judge = Judge(settings, producer, admin)
    trading = asyncio.create_task(judge.trade())
    try:
        await _happen(judge)
        if trading.done():
            trading.result()
    finally:
        trading.cancel()
        await asyncio.wait([trading])
        await producer.stop()
        await admin.close()


async def _happen(floor: Judge) -> None:
    past, live = random_bars(3, seed=5, contracts=[101]), random_bars(10, seed=6, contracts=[101])
    hour = timedelta(hours=1)
    live = [bar.revised(start=bar.start + hour, event_time=bar.event_time + hour) for bar in live]
    prints = [
        a_tick(contract_id=101, symbol="AAA", price=100 + (number % 7) / 4, event_time=NOON + timedelta(seconds=number))
        for number in range(40)
    ]
    await floor.tell(LIMITS, a_symbol(101), *(a_historical_bar(**bar.model_dump(exclude={"type"})) for bar in past))
    async with a_strategist(floor.settings):
        for command in deployments():
            await floor.tell(command, Start(**COMMAND | {"strategy_id": command.strategy_id}))
            await floor.in_state("running", command.strategy_id)
        await _feed(floor, live[:50], prints[:20])
        await floor.tell(Pause(**COMMAND))
        await floor.in_state("paused")
        await _feed(floor, live[50:60], [])
        await floor.tell(Resume(**COMMAND))
        await floor.in_state("running")
    missed = [bar.revised(late=True) for bar in live[60:70]]  # the link was down, and nobody was there
    await floor.tell(*missed)
    async with a_strategist(floor.settings):
        await floor.tell(Reconfigure(parameters={"fast": 1, "slow": 4, "short": True}, **COMMAND))
        await _feed(floor, live[70:], prints[20:])


async def _feed(floor: Judge, bars: list[Any], prints: list[Any]) -> None:
    """Part by part, so that every part trades on what became of the last one."""
    for start in range(0, max(len(bars), 2 * len(prints)), 10):
        await _part(floor, bars[start : start + 10], prints[start // 2 : start // 2 + 5])


async def _part(floor: Judge, bars: list[Any], prints: list[Any]) -> None:
    await floor.tell(*bars, *prints)
    await floor.caught_up()

    async def answered() -> bool:
        return floor.answered >= {each.intent_id for each in await floor.told("trading.intents.v1")}

    await until(answered)
    await floor.caught_up()


@dataclass(frozen=True)
class Change:
    """One record made into another while everything is copied."""

    topic: str
    pick: Callable[[Event], bool]
    into: Callable[[Event], Event]
    number: int = 0
    """Which of those that `pick` likes."""


async def copied(settings: Settings, prefix: str, change: Change) -> Settings:
    """All topics once more under another prefix, record by record at the same offsets, with one record changed."""
    there = settings.model_copy(update={"topic_prefix": prefix})
    await topic_admin.apply(there, the_topics())
    reader, producer = broker.reader(settings), broker.producer(there)
    await reader.start()
    await producer.start()
    try:
        names = the_topics().topics
        places = [
            TopicPartition(settings.topic_prefix + name, n)
            for name, spec in names.items()
            for n in range(spec.partitions)
        ]
        reader.assign(places)
        await reader.seek_to_beginning()
        ends = await reader.end_offsets(places)
        seen, posted = 0, []
        for place in places:
            while await reader.position(place) < ends[place]:
                for each in (await reader.getmany(place, timeout_ms=1000)).get(place, ()):
                    name, value = place.topic.removeprefix(settings.topic_prefix), each.value
                    if name == change.topic and change.pick(event := names[name].parse(value)):
                        value = change.into(event).to_json() if seen == change.number else value
                        seen += 1
                    posted.append(
                        await producer.send(
                            prefix + name,
                            value,
                            key=each.key,
                            partition=place.partition,
                            headers=list(each.headers),
                            timestamp_ms=each.timestamp,
                        )
                    )
        await asyncio.gather(*posted)
        assert seen > change.number, f"{change.topic} has {seen} such records"
    finally:
        await reader.stop()
        await producer.stop()
    return there


def denied(event: Event, strategy_id: str) -> bool:
    return isinstance(event, RiskDecision) and not event.approved and event.strategy_id == strategy_id
