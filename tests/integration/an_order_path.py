"""The order path for tests: services on the real broker and database, and a hand that writes to their topics."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncEngine

from engine import risk as judging
from infra import broker, topic_admin
from infra.clock import SystemClock
from infra.delivery import parse
from infra.publish import outgoing
from infra.service import Service
from infra.settings import Settings
from infra.store import connection
from infra.topics import Catalogue, load_catalogue
from schemas.account import RiskLimits, TradingMode, TradingState
from schemas.event import Event
from schemas.orders import OrderIntent
from tests.builders import APPLE, NOON, an_intent

ACCOUNT = "DU1234567"
IBM = 8314
CLOCK = SystemClock()
LONG_LIFE = timedelta(seconds=20)
"""Of an approval that is not to expire because a machine is busy."""
TOPICS = (
    "trading.intents.v1",
    "trading.decisions.v1",
    "trading.orders.v1",
    "trading.fills.v1",
    "trading.positions.v1",
    "trading.accounts.v1",
    "trading.state.v1",
    "trading.resolutions.v1",
    "trading.reconciliations.v1",
    "risk.events.v1",
    "risk.limits.v1",
    "risk.restricted.v1",
    "market.bars.v1",
    "market.ticks.v1",
    "market.quotes.v1",
)
T = TypeVar("T")


def the_catalogue() -> Catalogue:
    """topics.yaml, as far as the order path goes: a test need not wait for topics that it does not use."""
    full = load_catalogue()
    services = {name: full.services[name] for name in ("risk", "executor", "portfolio")}
    return full.model_copy(update={"topics": {name: full.topics[name] for name in TOPICS}, "services": services})


def a_live_intent(number: int | str, **changes: Any) -> OrderIntent:
    """An intent whose price was seen just now."""
    now = CLOCK.now()
    fresh = {"intent_id": f"intent-{number}", "reference_time": now, "ingest_time": now}
    return an_intent(**(fresh | changes))


def some_limits(**changes: Any) -> RiskLimits:
    now = CLOCK.now()
    wide: dict[str, Any] = {
        "version": 1,
        "notional_max": Decimal(10**6),
        "gross_exposure_max": Decimal(10**8),
        "position_max": Decimal(10**5),
        "orders_per_minute_max": 10_000,
        "open_orders_per_contract_max": 1_000,
        "open_orders_max": 1_000,
        "price_age_max_seconds": 600,
        "account_age_max_seconds": 600,
    }
    return RiskLimits(**({"scope": f"account:{ACCOUNT}", "event_time": now, "ingest_time": now} | wide | changes))


def a_state(mode: TradingMode, by: str = "ann", **changes: Any) -> TradingState:
    now = CLOCK.now()
    fields = {"scope": f"account:{ACCOUNT}", "mode": mode, "reason": "test", "by": by}
    return TradingState(**({"event_time": now, "ingest_time": now} | fields | changes))


@contextlib.contextmanager
def approvals_that_live(life: timedelta = LONG_LIFE) -> Iterator[None]:
    """Those of a risk service in this process: that they expire is no matter of a test that a busy machine holds up."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(judging, "APPROVAL_LIFE", life)
        yield


async def until(check: Callable[[], Awaitable[T]], seconds: float = 30) -> T:
    """Look until it is true; returns what was found."""
    found: T | None = None
    try:
        async with asyncio.timeout(seconds):
            while not (found := await check()):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s; last seen: {found!r}") from None
    return found


class OrderPath:
    """Writes to topics as anybody could, reads topics and tables."""

    def __init__(self, settings: Settings, producer: AIOKafkaProducer, engine: AsyncEngine) -> None:
        self.settings = settings
        self._producer = producer
        self._engine = engine
        self._catalogue = load_catalogue()
        self._numbers = itertools.count(1)

    async def tell(self, *events: Event) -> None:
        """Publish, in order, as a service would."""
        for event in events:
            await self.send(self._producer, event)

    async def send(self, producer: AIOKafkaProducer, event: Event) -> None:
        """Publish by some producer; returns when the broker has it."""
        record = outgoing(self._catalogue.topic_of(type(event)), event, None, "test")
        await producer.send_and_wait(
            self.settings.topic_prefix + record.topic,
            record.value,
            key=record.key,
            headers=record.headers or None,
            timestamp_ms=record.timestamp_ms,
        )

    async def raw(self, topic: str, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]]) -> Any:
        """Any bytes; gives where they were put."""
        name = self.settings.topic_prefix + topic
        return await self._producer.send_and_wait(name, value, key=key, headers=list(headers))

    async def rows(self, statement: str, **values: Any) -> list[Any]:
        async with self._engine.connect() as held:
            return list(await held.execute(sql(statement), values))

    async def scalar(self, statement: str, **values: Any) -> Any:
        async with self._engine.connect() as held:
            return await held.scalar(sql(statement), values)

    async def forget_connections(self) -> None:
        """The next statement finds the database anew."""
        await self._engine.dispose()

    async def execute(self, statement: str, **values: Any) -> None:
        async with self._engine.begin() as held:
            await held.execute(sql(statement), values)

    @contextlib.asynccontextmanager
    async def locked(self, table: str) -> AsyncIterator[None]:
        """Whoever wants this table meanwhile waits."""
        async with self._engine.begin() as held:
            await held.execute(sql(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
            yield

    async def events(self, topic: str) -> list[Any]:
        """Everything on a topic so far."""
        spec = self._catalogue.topic(topic)
        return [parse(spec, record) for record in await self.records(topic)]

    async def records(self, topic: str) -> list[Any]:
        consumer = broker.reader(self.settings)
        try:
            await consumer.start()  # who waits for it may give up
            name = self.settings.topic_prefix + topic
            places = [TopicPartition(name, n) for n in range(self._catalogue.topic(topic).partitions)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            found: list[Any] = []
            async with asyncio.timeout(30):
                while any([await consumer.position(place) < ends[place] for place in places]):
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found += records
            return found
        finally:
            await consumer.stop()

    async def price(self, *contracts: int, price: Decimal = Decimal("440.50")) -> None:
        """Risk has just seen this price of contracts: what quotes and bars would have told it."""
        for contract_id in contracts:
            await self.execute(
                "INSERT INTO marks (contract_id, symbol, price, event_time, received_at)"
                " VALUES (:id, 'X', :price, :market, :now) ON CONFLICT (contract_id) DO UPDATE SET"
                " price = excluded.price, received_at = excluded.received_at",
                id=contract_id, price=price, market=NOON, now=CLOCK.now(),
            )  # fmt: skip

    async def account(self, **changes: Any) -> None:
        """The broker has just told this of the account."""
        told = {"currency": "USD", "buying_power": Decimal(10**7), "rates": "{}", "told_at": CLOCK.now()} | changes
        await self.execute(
            "INSERT INTO book_accounts (account_id, currency, net_liquidation, buying_power, rates, told_at, peak,"
            " unrealised_before) VALUES (:id, :currency, :worth, :buying_power, CAST(:rates AS jsonb), :told_at,"
            " :worth, 0) ON CONFLICT (account_id) DO UPDATE SET currency = excluded.currency, rates = excluded.rates,"
            " buying_power = excluded.buying_power, told_at = excluded.told_at",
            id=ACCOUNT, worth=Decimal(10**6), **told,
        )  # fmt: skip

    async def dump(self, *tables: str) -> dict[str, list[str]]:
        """All rows of tables, for comparison."""
        return {
            table: sorted(str(row[0]) for row in await self.rows(f"SELECT to_jsonb(t) FROM {table} t"))
            for table in tables
        }

    async def settled(self, group: str, topics: Sequence[str] = ()) -> None:
        """Wait until a service has committed everything that is on the topics it reads."""
        await settled(self.settings, group, topics)


async def settled(settings: Settings, group: str, topics: Sequence[str] = ()) -> None:
    """Wait until a service has committed everything that is on the topics it reads."""
    catalogue = load_catalogue()
    names = topics or catalogue.services[group].reads
    places = [
        TopicPartition(settings.topic_prefix + name, number)
        for name in names
        for number in range(catalogue.topic(name).partitions)
    ]
    client = broker.admin(settings)
    consumer = broker.reader(settings)
    await client.start()
    await consumer.start()
    try:

        async def caught_up() -> bool:
            ends = await consumer.end_offsets(places)
            done = await client.list_consumer_group_offsets(settings.topic_prefix + group)
            return all(ends[p] == 0 or (p in done and done[p].offset >= ends[p]) for p in places)

        await until(caught_up)
    finally:
        await consumer.stop()
        await client.close()


@contextlib.asynccontextmanager
async def an_order_path(settings: Settings) -> AsyncIterator[OrderPath]:
    """Topics on the broker, and a hand to write to them."""
    await topic_admin.apply(settings, the_catalogue())
    producer = broker.producer(settings)
    engine = connection.engine(settings.database_url.get_secret_value(), name="test", pool_size=2)
    await producer.start()
    path = OrderPath(settings, producer, engine)
    try:
        await path.price(APPLE, APPLE + 1, IBM)
        await path.account()
        yield path
    finally:
        await producer.stop()
        await engine.dispose()


@contextlib.asynccontextmanager
async def running(*services: Service, ready: bool = True) -> AsyncIterator[None]:
    """Run services in this process; with `ready`, wait until each says so."""
    tasks = [asyncio.create_task(service.run()) for service in services]
    try:
        for service, task in zip(services, tasks, strict=True):
            async with asyncio.timeout(30):
                while ready and service.why_not_ready():
                    if task.done():
                        task.result()
                    await asyncio.sleep(0.02)
        yield
        for task in tasks:
            if task.done():
                task.result()
    except Exception as error:
        for task in tasks:  # what ended a service is why the rest did not come
            if task.done() and not task.cancelled() and (why := task.exception()) is not None:
                raise why from error
        raise
    finally:
        for service in services:
            service.stop()
        await asyncio.gather(*tasks, return_exceptions=True)
