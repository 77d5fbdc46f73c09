"""Live bars, ticks and quotes of the wanted contracts, from the gateway to their topics: each once, in order."""

import asyncio
from collections import deque
from datetime import datetime

import msgspec
from aiokafka import TopicPartition

from infra import broker
from infra.errors import ScizorError
from infra.gateway import (
    ClientSlot,
    Connection,
    Feed,
    Interrupted,
    Live,
    Market,
    MarketEvent,
)
from infra.publish import Origin
from infra.replay import fold, read_to_end
from infra.service import Service
from infra.settings import Settings
from producers.bar_lanes import BarLanes
from schemas.market import Bar, Subscription
from schemas.validation import Contract

_SUBSCRIPTIONS = "market.subscriptions.v1"
_BARS = "market.bars.v1"
_QUEUE_MAX = 5_000
_QUEUE_LOW = 1_000
_IN_FLIGHT_MAX = 1_000
_TAIL_RECORDS = 5_000
_CONTRACT_RETRY_SECONDS = 5.0


class ContractMissingError(ScizorError):
    def __init__(self, contract_id: int) -> None:
        super().__init__(f"the gateway knows no contract {contract_id}")


class _Stamp(msgspec.Struct):
    """What of a published bar tells where its contract's bars ended."""

    contract_id: int
    event_time: datetime


class MarketData:
    """Follows the subscriptions and publishes what the gateway sends for them."""

    def __init__(self, service: Service, connection: Connection, market: Market) -> None:
        self._service = service
        self._connection = connection
        self._market = market
        self._live = Live(connection, self._deliver, entropy=service.entropy)
        self._queue: asyncio.Queue[MarketEvent] = asyncio.Queue()  # bounded by holding the socket
        self._in_flight: deque[asyncio.Future[object]] = deque()
        self._lanes = BarLanes(market, self._post, service.clock)
        self._wanted: dict[int, Subscription] = {}
        self._contracts: dict[int, Contract] = {}
        self._changed: set[int] = set()
        self._changes = asyncio.Event()
        self._unknown: dict[int, str] = {}

    def attach(self) -> None:
        """Hook everything into the service."""
        service = self._service
        service.on(Subscription, self.on_subscription)
        service.before(self.recover)
        service.before(self._connection.start)
        service.after(self._connection.stop)
        service.after(self._lanes.stop)
        service.task("gateway", self._connection.watch)
        service.task("live", self._live.run)
        service.task("subscribe", self._subscribe)
        service.task("publish", self._publish)
        service.task("fills", self._lanes.watch)
        service.ready_when("gateway", self._connection.why_not_ready)
        service.ready_when("subscriptions", self._why_not_subscribed)

    async def recover(self) -> None:
        """Fold what is wanted, and where the published bars of each contract end."""
        async for event, _ in fold(self._service.settings, [_SUBSCRIPTIONS], catalogue=self._service.catalogue):
            if isinstance(event, Subscription):
                self._want(event)
        for contract_id, last in (await self._tail()).items():
            self._lanes.continue_after(contract_id, last)

    async def _tail(self) -> dict[int, datetime]:
        settings = self._service.settings
        consumer = broker.reader(settings)
        await consumer.start()
        try:
            partitions = range(self._service.catalogue.topic(_BARS).partitions)
            places = [TopicPartition(settings.topic_prefix + _BARS, number) for number in partitions]
            ends = await consumer.end_offsets(places)
        finally:
            await consumer.stop()
        start = {place: max(0, end - _TAIL_RECORDS) for place, end in ends.items()}
        decode = msgspec.json.Decoder(_Stamp).decode
        last: dict[int, datetime] = {}
        async for records in read_to_end(settings, [_BARS], start=start, catalogue=self._service.catalogue):
            for record in records:
                try:
                    stamp = decode(record.value or b"")
                except msgspec.MsgspecError:
                    continue  # not ours: whoever reads the topic in a group sets it aside
                last[stamp.contract_id] = stamp.event_time
        return last

    # what is wanted

    async def on_subscription(self, subscription: Subscription, origin: Origin) -> None:
        self._want(subscription)

    def _want(self, subscription: Subscription) -> None:
        self._wanted[subscription.contract_id] = subscription
        self._changed.add(subscription.contract_id)
        self._changes.set()

    async def _subscribe(self) -> None:
        """Bring the gateway's subscriptions to what is wanted, whenever that changes."""
        while True:
            await self._changes.wait()
            self._changes.clear()
            for contract_id in sorted(self._changed):
                self._changed.discard(contract_id)
                if not await self._bring(self._wanted[contract_id]):
                    self._changed.add(contract_id)
            if self._changed:
                asyncio.get_running_loop().call_later(_CONTRACT_RETRY_SECONDS, self._changes.set)

    async def _bring(self, wanted: Subscription) -> bool:
        """Whether that is done; False: try again later."""
        feeds = frozenset(feed for feed in Feed if getattr(wanted, feed.value)) if wanted.wanted_by else frozenset()
        if not feeds:
            self._live.unsubscribe(wanted.contract_id)
            self._unknown.pop(wanted.contract_id, None)
            return True
        try:
            contract = await self._contract(wanted.contract_id)
        except ScizorError as error:
            self._unknown[wanted.contract_id] = f"{wanted.symbol}: {error}"
            self._service.log.warning("contract not known", symbol=wanted.symbol, error=str(error))
            return False
        self._unknown.pop(wanted.contract_id, None)
        self._live.subscribe(contract, feeds)
        return True

    async def _contract(self, contract_id: int) -> Contract:
        if contract_id not in self._contracts:
            await self._connection.usable(_CONTRACT_RETRY_SECONDS)
            found = await self._market.contract_details(contract_id=contract_id)
            if not found:
                raise ContractMissingError(contract_id)
            self._contracts[contract_id] = found[0]
        return self._contracts[contract_id]

    def _why_not_subscribed(self) -> str | None:
        problems = [*self._unknown.values(), *(f"{line}: {why}" for line, why in self._live.problems().items())]
        return "; ".join(problems[:5]) or None

    # what comes

    def _deliver(self, event: MarketEvent) -> None:
        self._queue.put_nowait(event)
        if self._queue.qsize() > _QUEUE_MAX:
            self._connection.hold()

    async def _publish(self) -> None:
        """Take one event after another; the producer sends alone what comes alone, and batches what piles up."""
        while True:
            event = await self._queue.get()
            if self._connection.held and self._queue.qsize() < _QUEUE_LOW:
                self._connection.release()
            if isinstance(event, Bar):
                await self._lanes.on_bar(event, self._contracts[event.contract_id])
            elif isinstance(event, Interrupted):
                self._lanes.interrupted(event.contract_id)
            else:
                await self._post(event)

    async def _post(self, event: MarketEvent) -> None:
        """Hand over to the producer in order, without waiting for this one's acknowledgement; a lost one ends us."""
        assert not isinstance(event, Interrupted), "a mark, not an event"
        publisher = self._service.publisher
        self._in_flight.append(await publisher.post(publisher.prepare(event)))
        while self._in_flight and (self._in_flight[0].done() or len(self._in_flight) > _IN_FLIGHT_MAX):
            await self._in_flight.popleft()


def build(settings: Settings, service: Service | None = None) -> Service:
    """The service with everything attached."""
    service = service or Service("market_data", settings)
    connection = Connection(settings, ClientSlot.MARKET_DATA, clock=service.clock, entropy=service.entropy)
    MarketData(service, connection, Market(connection)).attach()
    return service


def main() -> None:
    """`python -m producers.market_data`."""
    settings = Settings()
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    await build(settings).run()


if __name__ == "__main__":
    main()
