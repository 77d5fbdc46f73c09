"""Live bars, ticks and quotes of the wanted contracts, from the gateway to their topics: each once, in order."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

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
    PastBar,
)
from infra.gateway.live import LIVE_BAR
from infra.gateway.quality import quarantined
from infra.publish import Origin
from infra.replay import fold, read_to_end
from infra.service import Service
from infra.settings import Settings
from schemas.market import Bar, QuarantineRule, Severity, Subscription
from schemas.validation import Contract

_SUBSCRIPTIONS = "market.subscriptions.v1"
_BARS = "market.bars.v1"
_QUEUE_MAX = 5_000
_QUEUE_LOW = 1_000
_IN_FLIGHT_MAX = 1_000
_TAIL_RECORDS = 5_000
_BACKFILL_SECONDS = 30.0
_BACKFILL_MAX = timedelta(days=1)
_CLOCK_TOLERANCE = timedelta(minutes=1)
_CONTRACT_RETRY_SECONDS = 5.0


class ContractMissingError(ScizorError):
    def __init__(self, contract_id: int) -> None:
        super().__init__(f"the gateway knows no contract {contract_id}")


class _Stamp(msgspec.Struct):
    """What of a published bar tells where its contract's bars ended."""

    contract_id: int
    event_time: datetime


@dataclass
class _Lane:
    """The bars of one contract, in order; while a gap is filled, newer ones wait."""

    last: datetime | None = None
    """End of the last published bar."""
    gap: bool = True
    """Bars may be missing before the next one."""
    waiting: deque[tuple[Bar, bool]] = field(default_factory=deque)
    filling: bool = False


class MarketData:
    """Follows the subscriptions and publishes what the gateway sends for them."""

    def __init__(self, service: Service, connection: Connection, market: Market) -> None:
        self._service = service
        self._connection = connection
        self._market = market
        self._live = Live(connection, self._deliver, entropy=service.entropy)
        self._queue: asyncio.Queue[MarketEvent] = asyncio.Queue()  # bounded by holding the socket
        self._in_flight: deque[asyncio.Future[object]] = deque()
        self._lanes: dict[int, _Lane] = {}
        self._wanted: dict[int, Subscription] = {}
        self._contracts: dict[int, Contract] = {}
        self._changed: set[int] = set()
        self._changes = asyncio.Event()
        self._unknown: dict[int, str] = {}
        self._fills: set[asyncio.Task[None]] = set()
        self._filled: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()

    def attach(self) -> None:
        """Hook everything into the service."""
        service = self._service
        service.on(Subscription, self.on_subscription)
        service.before(self.recover)
        service.before(self._connection.start)
        service.after(self._connection.stop)
        service.after(self._end_fills)
        service.task("gateway", self._connection.watch)
        service.task("live", self._live.run)
        service.task("subscribe", self._subscribe)
        service.task("publish", self._publish)
        service.task("fills", self._watch_fills)
        service.ready_when("gateway", self._connection.why_not_ready)
        service.ready_when("subscriptions", self._why_not_subscribed)

    async def recover(self) -> None:
        """Fold what is wanted, and where the published bars of each contract end."""
        async for event, _ in fold(self._service.settings, [_SUBSCRIPTIONS], catalogue=self._service.catalogue):
            if isinstance(event, Subscription):
                self._want(event)
        for contract_id, last in (await self._tail()).items():
            self._lanes[contract_id] = _Lane(last=last)

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
                last[stamp.contract_id] = max(stamp.event_time, last.get(stamp.contract_id, stamp.event_time))
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
                await self._on_bar(event)
            elif isinstance(event, Interrupted):
                self._lanes.setdefault(event.contract_id, _Lane()).gap = True
            else:
                await self._post(event)

    async def _on_bar(self, bar: Bar) -> None:
        lane = self._lanes.setdefault(bar.contract_id, _Lane())
        if lane.filling:
            lane.waiting.append((bar, lane.gap))
            lane.gap = False
            return
        if lane.gap:
            self._see_clock_turned_back(lane, bar)
            if lane.last is not None and bar.event_time <= lane.last:
                await self._put(lane, bar)  # repeated: what is missing comes before a later one
                return
            lane.gap = False
            if lane.last is not None and bar.start > lane.last:
                lane.filling = True
                lane.waiting.append((bar, True))
                self._start_to_fill(lane)
                return
        await self._put(lane, bar)

    def _see_clock_turned_back(self, lane: _Lane, bar: Bar) -> None:
        """A simulator that was started again lives through the same time again: so do we."""
        if lane.last is not None and bar.event_time < lane.last - _CLOCK_TOLERANCE:
            self._service.log.warning("market time went back", symbol=bar.symbol, to=bar.start, before=lane.last)
            lane.last = None

    def _start_to_fill(self, lane: _Lane) -> None:
        task = asyncio.create_task(self._fill_lane(lane))
        self._fills.add(task)
        task.add_done_callback(self._filled.put_nowait)

    async def _watch_fills(self) -> None:
        """A fill that fails by a bug ends the service."""
        while True:
            task = await self._filled.get()
            self._fills.discard(task)
            task.result()

    async def _end_fills(self) -> None:
        for task in self._fills:
            task.cancel()
        if self._fills:
            await asyncio.wait(self._fills)

    async def _fill_lane(self, lane: _Lane) -> None:
        gap = False
        while lane.waiting:
            bar, interrupted = lane.waiting.popleft()
            gap = gap or interrupted
            if lane.last is None or bar.event_time > lane.last:
                if gap and lane.last is not None and bar.start > lane.last:
                    await self._backfill(lane, bar)
                gap = False
            await self._put(lane, bar)
        lane.filling = False
        lane.gap = lane.gap or gap

    async def _backfill(self, lane: _Lane, bar: Bar) -> None:
        """Ask for the bars between the last one and `bar`; what cannot be had stays a gap, and is logged."""
        assert lane.last is not None, "a gap has a beginning"
        begin = max(lane.last, bar.start - _BACKFILL_MAX)
        count = 0
        try:
            async with asyncio.timeout(_BACKFILL_SECONDS):
                async for part in self._market.history(self._contracts[bar.contract_id], LIVE_BAR, begin, bar.start):
                    for finding in part.quarantined:
                        await self._post(finding)
                    for old in part.bars:
                        await self._put(lane, self._late(bar, old))
                    count += len(part.bars)
        except (ScizorError, TimeoutError) as error:
            self._service.log.error("gap not filled", symbol=bar.symbol, begin=begin, end=bar.start, error=str(error))
        else:
            self._service.log.info("gap filled", symbol=bar.symbol, begin=begin, end=bar.start, bars=count)

    def _late(self, bar: Bar, old: PastBar) -> Bar:
        """A bar of the gap before `bar`."""
        prices = dict(zip(PastBar._fields[2:], old[2:], strict=True))
        common = bar.model_dump(include={"contract_id", "symbol", "bar_size", "source", "basis"})
        now = self._service.clock.now()
        return Bar(**common, **prices, start=old.start, event_time=old.end, ingest_time=now, late=True)

    async def _put(self, lane: _Lane, bar: Bar) -> None:
        if lane.last is None or bar.start >= lane.last:
            lane.last = bar.event_time
            await self._post(bar)
        elif bar.event_time < lane.last:
            await self._post(
                quarantined(
                    Bar,
                    bar.model_dump(),
                    QuarantineRule.OUT_OF_ORDER,
                    f"the bar of {bar.start:%H:%M:%S} came after the one that ended {lane.last:%H:%M:%S}",
                    severity=Severity.WARNING,
                )
            )
        # else: the same bar again, as gateways repeat it after a resubscription

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
