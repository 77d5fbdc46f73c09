"""Live bars of each contract in order: repeated ones dropped, gaps filled late, impossible orders set aside."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import structlog

from infra.clock import Clock
from infra.errors import ScizorError
from infra.gateway import Market, PastBar
from infra.gateway.live import LIVE_BAR
from infra.gateway.quality import quarantined
from schemas.market import Bar, Quarantined, QuarantineRule, Severity
from schemas.validation import Contract

_BACKFILL_SECONDS = 30.0
_BACKFILL_MAX = timedelta(days=1)
_CLOCK_TOLERANCE = timedelta(minutes=1)

Post = Callable[[Bar | Quarantined], Awaitable[None]]


@dataclass
class _Lane:
    """The bars of one contract; while a gap is filled, newer ones wait."""

    contract: Contract | None = None
    last: datetime | None = None
    """End of the last published bar."""
    gap: bool = True
    """Bars may be missing before the next one."""
    waiting: deque[tuple[Bar, bool]] = field(default_factory=deque)
    filling: bool = False


class BarLanes:
    """What may be published, goes to `post`, in order for each contract."""

    def __init__(self, market: Market, post: Post, clock: Clock) -> None:
        self._market = market
        self._post = post
        self._clock = clock
        self._log = structlog.get_logger("bar_lanes")
        self._lanes: dict[int, _Lane] = {}
        self._fills: set[asyncio.Task[None]] = set()
        self._filled: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()

    def continue_after(self, contract_id: int, last: datetime) -> None:
        """The bars of a contract that were published before end there."""
        self._lanes[contract_id] = _Lane(last=last)

    def interrupted(self, contract_id: int) -> None:
        """The live bars begin, or begin again: some may be missing."""
        self._lanes.setdefault(contract_id, _Lane()).gap = True

    async def on_bar(self, bar: Bar, contract: Contract) -> None:
        """The next live bar of a contract. Returns when it was handed on, or waits for a gap to be filled."""
        lane = self._lanes.setdefault(bar.contract_id, _Lane(contract=contract))
        lane.contract = contract
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
            self._log.warning("market time went back", symbol=bar.symbol, to=bar.start, before=lane.last)
            lane.last = None

    def _start_to_fill(self, lane: _Lane) -> None:
        task = asyncio.create_task(self._fill_lane(lane))
        self._fills.add(task)
        task.add_done_callback(self._filled.put_nowait)

    async def watch(self) -> None:
        """A fill that fails by a bug ends the service. For `Service.task`."""
        while True:
            task = await self._filled.get()
            self._fills.discard(task)
            task.result()

    async def stop(self) -> None:
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
        assert lane.contract is not None, "a bar has come"
        begin = max(lane.last, bar.start - _BACKFILL_MAX)
        count = 0
        try:
            async with asyncio.timeout(_BACKFILL_SECONDS):
                async for part in self._market.history(lane.contract, LIVE_BAR, begin, bar.start):
                    for finding in part.quarantined:
                        await self._post(finding)
                    for old in part.past_bars():
                        await self._put(lane, self._late(bar, old))
                    count += len(part.bars)
        except (ScizorError, TimeoutError) as error:
            self._log.error("gap not filled", symbol=bar.symbol, begin=begin, end=bar.start, error=str(error))
        else:
            self._log.info("gap filled", symbol=bar.symbol, begin=begin, end=bar.start, bars=count)

    def _late(self, bar: Bar, old: PastBar) -> Bar:
        """A bar of the gap before `bar`."""
        prices = dict(zip(PastBar._fields[2:], old[2:], strict=True))
        common = bar.model_dump(include={"contract_id", "symbol", "bar_size", "source", "price_kind", "basis"})
        now = self._clock.now()
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
