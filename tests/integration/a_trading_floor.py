"""All that surrounds a strategist in its tests: a feed of bars, and others who decide on its intents and fill them."""

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from engine.aggregation import BarAggregator
from engine.facts import bar_of
from engine.host import StrategyHost
from engine.registry import strategy_class
from engine.risk import Book, check
from infra import broker, topic_admin
from infra.publish import outgoing
from infra.replay import fold
from infra.settings import Settings
from infra.topics import Catalogue, load_catalogue
from schemas.account import RiskLimits, TradingMode
from schemas.event import Event
from schemas.market import Bar
from schemas.orders import DenialReason, OrderIntent, OrderStatus, OrderType, OrderUpdate, RiskDecision, Side
from schemas.strategy import Deploy
from schemas.validation import Symbol, SymbolState
from tests.builders import NOON, SEEN, a_bar, a_contract, a_fill, as_seen

WHEN = {"event_time": NOON, "ingest_time": SEEN}
MINE = "crossover"
COMMAND = {"command_id": "c-1", "strategy_id": MINE, "by": "test", **WHEN}
ACCOUNT = "DU1234567"
CONTRACTS = {101: "AAA", 104: "BBB"}
PARTITIONS = {101: 2, 104: 3}
"""Where Kafka's own partitioner puts them."""
GROUP = "strategist"
_OUTPUTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:strategy-outputs")
T = TypeVar("T")


def the_catalogue() -> Catalogue:
    """topics.yaml, as far as the strategist goes."""
    full = load_catalogue()
    service = full.services[GROUP]
    wanted = {*service.reads, *service.replays, *service.writes}
    topics = {name: topic for name, topic in full.topics.items() if name in wanted}
    return full.model_copy(update={"topics": topics, "services": {GROUP: service}})


def a_symbol(contract_id: int) -> Symbol:
    name = CONTRACTS[contract_id]
    contract = a_contract(contract_id=contract_id, symbol=name)
    return Symbol(symbol_id=name, symbol=name, state=SymbolState.VALID, contract=contract, **WHEN)


def a_deployment(**changes: Any) -> Deploy:
    fields: dict[str, Any] = {
        "strategy": "moving_average_crossover",
        "parameters": {"fast": 2, "slow": 5, "short": True},
        "symbols": tuple(CONTRACTS.values()),
        "account_id": ACCOUNT,
        "quantity": 100.0,
        "bar_size_seconds": 60,
    }
    return Deploy(**(COMMAND | fields | changes))


def random_bars(minutes: int, seed: int = 7, contracts: Iterable[int] = tuple(CONTRACTS)) -> list[Bar]:
    """Five-second bars of a random walk, the contracts side by side."""
    dice = random.Random(seed)
    closes = dict.fromkeys(contracts, 100.0)
    bars = []
    for number in range(minutes * 12):
        for contract_id, before in closes.items():
            close = closes[contract_id] = round(before + dice.uniform(-0.2, 0.2), 2)
            bars.append(
                a_bar(
                    contract_id=contract_id,
                    symbol=CONTRACTS[contract_id],
                    start=NOON + timedelta(seconds=5 * number),
                    ingest_time=SEEN + timedelta(milliseconds=number),
                    open=before,
                    high=max(before, close) + 0.01,
                    low=min(before, close) - 0.01,
                    close=close,
                    volume=float(dice.randrange(1, 1000)),
                )
            )
    return bars


@dataclass(frozen=True)
class Expected:
    """An intent that has to be, after which bar, and what becomes of it."""

    number: int
    intent_id: str
    contract_id: int
    side: Side
    quantity: Decimal
    price: float
    outcome: str


_OUTCOMES = {4: "refused", 7: "hindered", 11: "cut short", 15: "refused", 20: "cut short", 26: "hindered"}


def expectations(bars: list[Bar], copies: int) -> tuple[list[Expected], dict[int, Decimal]]:
    """The strategy's host over aggregated bars, and a hand's arithmetic of what has to be ordered; final positions."""
    deployment = a_deployment()
    chosen = strategy_class(deployment.strategy)
    host = StrategyHost(chosen, chosen.Config(**deployment.parameters), CONTRACTS)
    aggregator = BarAggregator(deployment.bar_size_seconds * 1_000_000)
    target: dict[int, float] = {}
    refused: dict[int, float] = {}
    held = dict.fromkeys(CONTRACTS, Decimal(0))
    offsets = dict.fromkeys(CONTRACTS, 0)
    found: list[Expected] = []
    for number, bar in enumerate(bars):
        key = bar.contract_id
        offset, offsets[key] = offsets[key], offsets[key] + copies
        closed = aggregator.on_bar(bar_of(bar))
        for each in closed:
            for wish in host.on_bar(each):
                target[key] = wish.value
                if refused.get(key) != wish.value:
                    refused.pop(key, None)
        if not closed or key not in target or refused.get(key) == target[key]:
            continue
        quantity = Decimal(int(target[key] * 100)) - held[key]
        if quantity:
            outcome = _OUTCOMES.get(len(found), "filled")
            place = f"market.bars.v1/{PARTITIONS[key]}/{offset}"
            intent_id = str(uuid.uuid5(_OUTPUTS, f"{MINE}|{place}|0|intent"))
            side = Side.BUY if quantity > 0 else Side.SELL
            found.append(Expected(number, intent_id, key, side, abs(quantity), bar.close, outcome))
            held[key] += {"filled": quantity, "cut short": Decimal(side.sign * 30)}.get(outcome, Decimal(0))
            if outcome == "refused":
                refused[key] = target[key]
    return found, held


async def until(check: Callable[[], Awaitable[T | None]], seconds: float = 30) -> T:
    """Look until it is true; returns what was found."""
    found: T | None = None
    try:
        async with asyncio.timeout(seconds):
            while not (found := await check()):
                await asyncio.sleep(0.03)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s; last seen: {found!r}") from None
    return found


@dataclass
class Floor:
    """Feeds, decides and fills; every record that it sends comes `copies` times."""

    settings: Settings
    producer: AIOKafkaProducer
    admin: AIOKafkaAdminClient
    copies: int = 1
    outcomes: dict[str, str] = field(default_factory=dict)
    intents: dict[str, OrderIntent] = field(default_factory=dict)
    """What the strategist sent, by id."""
    answered: set[str] = field(default_factory=set)

    async def tell(self, *events: Event) -> None:
        """Publish, in order; returns when the broker has all."""
        posted = []
        for event in events:
            record = outgoing(load_catalogue().topic_of(type(event)), event, None, "test")
            for _ in range(self.copies):
                sent = await self.producer.send(
                    self.settings.topic_prefix + record.topic,
                    record.value,
                    key=record.key,
                    headers=record.headers or None,
                    timestamp_ms=record.timestamp_ms,
                )
                posted.append(sent)
        await asyncio.gather(*posted)

    async def told(self, topic: str) -> list[Any]:
        """Every event of a topic so far."""
        return [event async for event, _ in fold(self.settings, [topic])]

    async def state(self, strategy_id: str = MINE) -> Any:
        """The newest state of a strategy."""
        of_mine = [each for each in await self.told("strategy.state.v1") if each.strategy_id == strategy_id]
        return of_mine[-1] if of_mine else None

    async def in_state(self, state: str, strategy_id: str = MINE) -> Any:
        """Wait for a state of a strategy."""

        async def reached() -> Any:
            told = await self.state(strategy_id)
            return told if told is not None and told.state == state else None

        return await until(reached)

    async def behind(self, *topics: str) -> int:
        """Records that the strategist has not committed."""
        prefix = self.settings.topic_prefix
        done = await self.admin.list_consumer_group_offsets(prefix + GROUP)
        reader = broker.reader(self.settings)
        await reader.start()
        try:
            spec = load_catalogue()
            names = topics or spec.services[GROUP].reads
            places = [TopicPartition(prefix + name, n) for name in names for n in range(spec.topic(name).partitions)]
            ends = await reader.end_offsets(places)
        finally:
            await reader.stop()
        return sum(end - (done[place].offset if place in done else 0) for place, end in ends.items())

    async def caught_up(self, *topics: str) -> None:
        async def nothing_left() -> bool:
            return await self.behind(*topics) == 0

        await until(nothing_left, 40)

    async def feed(self, bars: list[Bar], expected: list[Expected], allowed: Callable[[int], Awaitable[None]]) -> None:
        """Send bars as `allowed` lets them pass; where an answer changes what comes next, wait until it was taken in.

        A fill changes nothing: what moves the position was on its way before.
        """
        waits = {each.number: each.intent_id for each in expected if each.outcome != "filled"}
        self.outcomes = {each.intent_id: each.outcome for each in expected}
        slice_: list[Bar] = []
        for number, bar in enumerate(bars):
            slice_.append(bar)
            if len(slice_) == 24 or number in waits or number == len(bars) - 1:
                await allowed(number)
                await self.tell(*slice_)
                slice_ = []
            if number in waits:
                await until(partial(self._was_answered, waits[number]), 60)
                await self.caught_up("trading.decisions.v1", "trading.orders.v1", "trading.fills.v1")

    async def _was_answered(self, intent_id: str) -> bool:
        return intent_id in self.answered

    async def trade(self) -> None:
        """Decide on every intent and let happen what is to happen with it, until cancelled."""
        reader = broker.reader(self.settings)
        await reader.start()
        try:
            reader.assign([TopicPartition(self.settings.topic_prefix + "trading.intents.v1", 0)])
            spec = load_catalogue().topic("trading.intents.v1")
            while True:
                for records in (await reader.getmany(timeout_ms=100)).values():
                    for record in records:
                        intent = spec.parse(record.value)
                        assert isinstance(intent, OrderIntent)
                        assert intent == self.intents.setdefault(intent.intent_id, intent), "one id, two intents"
                        await self.tell(*self._answers(intent))
                        self.answered.add(intent.intent_id)
        finally:
            await reader.stop()

    def _answers(self, intent: OrderIntent) -> list[Event]:
        """Also in orders in which they may come: fills before updates."""
        outcome = self.outcomes.get(intent.intent_id, "filled")
        if outcome in ("refused", "hindered"):
            reason = DenialReason.NOTIONAL_MAX if outcome == "refused" else DenialReason.PRICE_STALE
            return [a_decision(intent, reason)]
        if outcome == "cut short":
            return [a_decision(intent), its_fill(intent, 30), its_update(intent, OrderStatus.CANCELED, 30)]
        answers = [its_update(intent, OrderStatus.FILLED, int(intent.quantity)), its_fill(intent, int(intent.quantity))]
        return [a_decision(intent), *(answers if int(intent.intent_id[0], 16) % 2 else reversed(answers))]


def a_decision(intent: OrderIntent, reason: DenialReason | None = None) -> RiskDecision:
    limits = RiskLimits(scope=f"account:{ACCOUNT}", version=1, notional_max=Decimal(10**9), **WHEN)
    book = Book(trading_mode=TradingMode.ACTIVE, limits=limits, **as_seen(intent))
    approved = check(intent, book, intent.reference_time)
    return approved.revised(approved=reason is None, reason=reason, detail="")


def its_fill(intent: OrderIntent, quantity: int) -> Event:
    return a_fill(
        execution_id=f"e-{intent.intent_id}",
        order_id=intent.intent_id,
        strategy_id=intent.strategy_id,
        contract_id=intent.contract_id,
        symbol=intent.symbol,
        side=intent.side,
        last_quantity=Decimal(quantity),
        last_price=intent.reference_price,
    )


def its_update(intent: OrderIntent, status: OrderStatus, filled: int) -> Event:
    return OrderUpdate(
        order_id=intent.intent_id,
        broker_order_id=1,
        account_id=ACCOUNT,
        strategy_id=intent.strategy_id,
        contract_id=intent.contract_id,
        symbol=intent.symbol,
        side=intent.side,
        quantity=intent.quantity,
        order_type=OrderType.MARKET,
        status=status,
        cumulative_quantity=Decimal(filled),
        sequence=1,
        **WHEN,
    )


@contextlib.asynccontextmanager
async def a_floor(settings: Settings, copies: int = 1) -> AsyncIterator[Floor]:
    """Topics on the broker, symbols in the registry, and somebody who answers intents."""
    await topic_admin.apply(settings, the_catalogue())
    producer, admin = broker.producer(settings), broker.admin(settings)
    await producer.start()
    await admin.start()
    floor = Floor(settings, producer, admin, copies)
    await floor.tell(*map(a_symbol, CONTRACTS))
    trading = asyncio.create_task(floor.trade())
    try:
        yield floor
        if trading.done():
            trading.result()
    finally:
        trading.cancel()
        await asyncio.wait([trading])
        await producer.stop()
        await admin.close()
