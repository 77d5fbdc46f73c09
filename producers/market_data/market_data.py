"""The service: what is wanted comes in from the gateway, in order, and goes to its topics."""

import asyncio
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from functools import partial

from prometheus_client import Gauge

from infra.gateway import Connection, Feed, Interrupted, Live, MarketEvent
from infra.gateway.gauges import measure
from infra.gateway.lines import Key
from infra.service import Service
from producers.market_data.findings import missing_events
from producers.market_data.lanes import BarLanes
from producers.market_data.larger import LargerBars
from producers.market_data.missing import MissingBars, Stretch
from producers.market_data.tails import bars_of_a_day, ends_of
from producers.market_data.wanted import Wanted
from producers.market_data.watch import FeedState, FeedWatch
from schemas.market import Bar, Quarantined, Quote, Subscription, Tick
from schemas.validation import Contract

_TOPICS = {Feed.BARS: "market.bars.v1", Feed.TICKS: "market.ticks.v1", Feed.QUOTES: "market.quotes.v1"}
_QUEUE_MAX = 5_000
_QUEUE_LOW = 1_000
_IN_FLIGHT_MAX = 1_000
_LOOK_SECONDS = 1.0


class MarketData:
    """Follows what is wanted and publishes what the gateway sends for it."""

    def __init__(self, service: Service, connection: Connection, *, gap_seconds: float) -> None:
        self._service = service
        self._connection = connection
        lines = service.settings.ib_lines
        self._live = Live(connection, self._deliver, entropy=service.entropy, lines_max=lines)
        self._wanted = Wanted(service, self._live, self._on_subscription)
        self._missing = MissingBars(service, self._wanted.name)
        self._lanes = BarLanes(self._missing.fetch, self, service.clock, patience=gap_seconds)
        self._larger = LargerBars(service.clock)
        self._watch = FeedWatch(service.clock, self._live.market_clock, self._live)
        self._queue: asyncio.Queue[MarketEvent] = asyncio.Queue()  # bounded by holding the socket
        self._in_flight: deque[asyncio.Future[object]] = deque()
        self._last: dict[Key, datetime] = {}
        """When the last tick and quote of each contract was."""
        self._interrupted: set[Key] = set()
        self._measure()

    def attach(self) -> None:
        """Hook everything into the service."""
        service = self._service
        self._wanted.attach()
        self._missing.attach()
        service.before(self.recover)
        service.before(self._connection.start)
        service.after(self._connection.stop)
        service.after(self._lanes.stop)
        service.task("gateway", self._connection.watch)
        service.task("live", self._live.run)
        service.task("publish", self._publish)
        service.task("fills", self._lanes.watch)
        service.task("watch", self._look)
        service.ready_when("gateway", self._connection.why_not_ready)
        service.ready_when("feeds", self._watch.why_not_ready)

    async def recover(self) -> None:
        """Find where the published events of each contract end; larger bars go on from the small ones."""
        for contract_id, (last, seen) in (await ends_of(self._service, _TOPICS[Feed.BARS])).items():
            self._lanes.continue_after(contract_id, last, seen)
        for feed in (Feed.TICKS, Feed.QUOTES):
            for contract_id, (last, _) in (await ends_of(self._service, _TOPICS[feed])).items():
                self._last[contract_id, feed] = last
        if self._larger.wanted:
            async for bar in bars_of_a_day(self._service):
                if (contract := self._wanted.contract(bar.contract_id)) is not None:
                    self._larger.recall(bar, contract)

    def _on_subscription(self, subscription: Subscription) -> None:
        self._larger.want(subscription.contract_id, subscription.bar_sizes)

    def _measure(self) -> None:
        registry = self._service.metrics.registry
        measure(self._connection, registry)
        lines = Gauge("scizor_market_data_lines", "Market data lines that are held", registry=registry)
        lines.set_function(lambda: float(self._live.used))
        feeds = Gauge("scizor_live_feeds", "Contracts of which bars are wanted", ("state",), registry=registry)
        for state in FeedState:
            feeds.labels(state.value).set_function(partial(self._watch.count, state))

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
                contract = self._wanted.contract(event.contract_id)
                assert contract is not None, "it was subscribed by its contract"
                self._watch.heard(event.contract_id, event.event_time)
                await self._lanes.on_bar(event, contract)
            elif isinstance(event, Interrupted):
                self._note_interruption(event)
            elif isinstance(event, Tick | Quote):
                await self._tell_missed(event)
                await self._post(event)
            else:
                await self._post(event)

    def _note_interruption(self, event: Interrupted) -> None:
        if event.feed is Feed.BARS:
            self._lanes.interrupted(event.contract_id)
        else:
            self._interrupted.add((event.contract_id, event.feed))

    async def _tell_missed(self, event: Tick | Quote) -> None:
        """Ticks and quotes of an interruption are lost: that is told before the next one."""
        key = event.contract_id, Feed.TICKS if isinstance(event, Tick) else Feed.QUOTES
        last, self._last[key] = self._last.get(key), event.event_time
        if key not in self._interrupted:
            return
        self._interrupted.discard(key)
        contract = self._wanted.contract(event.contract_id)
        if last is not None and contract is not None and event.event_time > last:
            now = self._service.clock.now()
            await self._post(missing_events(contract, key[1].value, last, event.event_time, now))

    # where bars go

    async def tell(self, bar: Bar, contract: Contract, *, joined: bool) -> None:
        """A bar that is next, and the larger ones that it completes."""
        await self._post(bar)
        await self._post_all(self._larger.on_bar(bar, contract, joined=joined))

    async def find(self, finding: Quarantined) -> None:
        await self._post(finding)

    async def correct(self, contract: Contract, bars: list[Bar], stretch: Stretch) -> None:
        """Bars that came too late: history has them, larger bars are corrected."""
        await self._post_all(self._larger.correct(bars, stretch.start, stretch.end, contract.contract_id))

    async def _post_all(self, bars: Iterable[Bar]) -> None:
        for bar in bars:
            await self._post(bar)

    async def _post(self, event: Bar | Tick | Quote | Quarantined) -> None:
        """Hand over to the producer in order, without waiting for this one's acknowledgement; a lost one ends us."""
        publisher = self._service.publisher
        self._in_flight.append(await publisher.post(publisher.prepare(event)))
        while self._in_flight and (self._in_flight[0].done() or len(self._in_flight) > _IN_FLIGHT_MAX):
            await self._in_flight.popleft()

    # what does not come

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            for finding in self._watch.look(self._wanted.wants_bars()):
                await self._post(finding)
            await self._close_by_time()

    async def _close_by_time(self) -> None:
        """Larger bars that end with a session whose last parts were not traded."""
        market_now = self._live.market_clock.now()
        if market_now is None or not self._larger.wanted:
            return
        for contract in self._wanted.wants_bars():
            if self._watch.is_over(contract.contract_id) and self._lanes.settled(contract.contract_id):
                await self._post_all(self._larger.on_time(contract.contract_id, market_now))
