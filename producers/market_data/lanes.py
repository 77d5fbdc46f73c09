"""Live bars of each contract in order: repeated ones dropped, gaps filled late, impossible orders set aside."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from infra.clock import Clock
from infra.errors import ScizorError
from infra.quality.hours import TradingHours
from infra.quality.measures import Prices
from infra.quality.rules import RULES, Effect, Found
from infra.quality.stream import BarJudge, Series
from infra.quality.values import quarantined
from producers.market_data.findings import missing_bars
from producers.market_data.larger import session_at
from producers.market_data.missing import Stretch
from schemas.market import LIVE_BAR, Bar, Quarantined, QuarantineRule, Severity
from schemas.moments import to_microseconds
from schemas.validation import Contract

PATIENCE_SECONDS = 30.0
"""How long live bars wait for the missing ones before them."""
_HOLE_PATIENCE_SECONDS = 10.0
"""The same where only a bar or two are missing."""
_HOLE_MAX = 2 * LIVE_BAR
_HOLES_APART_SECONDS = 60.0
"""A feed that drops bar after bar is not asked after each of them: the past has its pacing."""
_GIVEN_UP_SECONDS = 900.0
"""So long what came too late to be told in order may still correct larger bars."""
_GAP_MAX = timedelta(days=1)
_CLOCK_TOLERANCE = timedelta(minutes=1)
_FOUND_ELSEWHERE = frozenset({QuarantineRule.GAP, QuarantineRule.DUPLICATE, QuarantineRule.OUT_OF_ORDER})
"""Lanes look at these themselves."""

Fetch = Callable[[Stretch], Awaitable[list[Bar]]]


class Outlet(Protocol):
    """Where bars go."""

    async def tell(self, bar: Bar, contract: Contract, *, joined: bool) -> None:
        """The next bar of its contract; `joined`: nothing is missing between it and the one before."""

    async def find(self, finding: Quarantined) -> None: ...

    async def correct(self, contract: Contract, bars: list[Bar], stretch: Stretch) -> None:
        """Bars that came too late to be told: all there are of a stretch."""


@dataclass
class _Lane:
    """The bars of one contract; while a gap is filled, newer ones wait."""

    contract: Contract
    judge: BarJudge
    last: datetime | None = None
    """End of the last published bar."""
    seen: datetime | None = None
    """Wall time when that was received."""
    reached: datetime | None = None
    """End of the last bar that came, published or set aside."""
    hole_asked_at: float = float("-inf")
    """When a hole was asked for last."""
    gap: bool = True
    """Bars may be missing before the next one."""
    joined: bool = False
    """Nothing is missing after the last one, as far as is known."""
    waiting: deque[tuple[Bar, bool]] = field(default_factory=deque)  # for as long as a gap may take to fill
    filling: bool = False


class BarLanes:
    """What may be published goes to the outlet, in order for each contract."""

    def __init__(self, fetch: Fetch, outlet: Outlet, clock: Clock, *, patience: float = PATIENCE_SECONDS) -> None:
        self._fetch = fetch
        self._outlet = outlet
        self._clock = clock
        self._patience = patience
        self._log = structlog.get_logger("bar_lanes")
        self._ends: dict[int, tuple[datetime, datetime]] = {}
        """Of contracts that were published before: when their bars ended, and when that was received."""
        self._lanes: dict[int, _Lane] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._done: asyncio.Queue[asyncio.Task[None]] = asyncio.Queue()

    def continue_after(self, contract_id: int, last: datetime, seen: datetime) -> None:
        """The bars of a contract that were published before end there."""
        self._ends[contract_id] = last, seen

    def interrupted(self, contract_id: int) -> None:
        """The live bars begin, or begin again: some may be missing."""
        if (lane := self._lanes.get(contract_id)) is not None:
            lane.gap = True

    def settled(self, contract_id: int) -> bool:
        """Whether nothing is missing after the last bar that was told."""
        lane = self._lanes.get(contract_id)
        return lane is not None and lane.joined and not lane.gap and not lane.filling

    async def on_bar(self, bar: Bar, contract: Contract) -> None:
        """The next live bar of a contract. Returns when it was handed on, or waits for a gap to be filled."""
        lane = self._lane(contract)
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
                self._begin(self._fill_lane(lane))
                return
            lane.joined = lane.last is not None
        elif _is_hole(lane, bar):
            lane.filling = True
            lane.waiting.append((bar, False))
            self._begin(self._fill_lane(lane))
            return
        await self._put(lane, bar)

    def _lane(self, contract: Contract) -> _Lane:
        lane = self._lanes.get(contract.contract_id)
        if lane is None:
            lane = self._lanes[contract.contract_id] = _Lane(contract, _judge(contract))
            lane.last, lane.seen = self._ends.pop(contract.contract_id, (None, None))
        lane.contract = contract
        return lane

    def _see_clock_turned_back(self, lane: _Lane, bar: Bar) -> None:
        """A simulator that was started again lives through the same time again: so do we."""
        if lane.last is not None and bar.event_time < lane.last - _CLOCK_TOLERANCE:
            self._log.warning("market time went back", symbol=bar.symbol, to=bar.start, before=lane.last)
            lane.last, lane.reached, lane.joined, lane.judge = None, None, False, _judge(lane.contract)

    # filling gaps

    def _begin(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done.put_nowait)

    async def watch(self) -> None:
        """A fill that fails by a bug ends the service. For `Service.task`."""
        while True:
            task = await self._done.get()
            self._tasks.discard(task)
            task.result()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _fill_lane(self, lane: _Lane) -> None:
        gap = False
        while lane.waiting:
            bar, interrupted = lane.waiting.popleft()
            gap = gap or interrupted
            if lane.last is None or bar.event_time > lane.last:
                if gap and lane.last is not None and bar.start > lane.last:
                    lane.joined = await self._fill(lane, bar)
                elif not gap and _is_hole(lane, bar):
                    lane.joined = await self._close_hole(lane, bar)
                gap = False
            await self._put(lane, bar)
        lane.filling = False
        lane.gap = lane.gap or gap

    async def _close_hole(self, lane: _Lane, bar: Bar) -> bool:
        """The feed went on without a word and without these bars."""
        assert lane.reached is not None, "a hole has a beginning"
        now = self._clock.monotonic()
        if now - lane.hole_asked_at < _HOLES_APART_SECONDS:
            why = f"the feed went on without them, for the second time within {_HOLES_APART_SECONDS:.0f} s"
            await self._outlet.find(missing_bars(lane.contract, lane.reached, bar.start, self._clock.now(), why))
            return False
        lane.hole_asked_at = now
        return await self._fill(lane, bar)

    async def _fill(self, lane: _Lane, bar: Bar) -> bool:
        """Tell the bars between the last one and `bar`. False when they cannot be had in time: a finding says so."""
        assert lane.last is not None, "a gap has a beginning"
        start = max(lane.last, bar.start - _GAP_MAX)
        stretch = Stretch(lane.contract.contract_id, start, bar.start, lane.seen or self._clock.now())
        patience = min(self._patience, _HOLE_PATIENCE_SECONDS) if bar.start - start <= _HOLE_MAX else self._patience
        fetching = asyncio.ensure_future(self._fetch(stretch))
        try:
            async with asyncio.timeout(patience):
                bars = await asyncio.shield(fetching)
        except (ScizorError, TimeoutError) as error:
            why = str(error) or f"they did not come within {patience:.0f} s"
            if not fetching.done():
                self._begin(self._correct_later(lane.contract, stretch, fetching))
            self._log.error("gap not filled", symbol=bar.symbol, begin=start, end=bar.start, error=why)
            await self._outlet.find(missing_bars(lane.contract, start, bar.start, self._clock.now(), why))
            return False
        except asyncio.CancelledError:
            fetching.cancel()
            raise
        lane.joined = start == lane.last
        for old in bars:
            if old.start >= lane.last:
                await self._put(lane, old)
        self._log.info("gap filled", symbol=bar.symbol, begin=start, end=bar.start, bars=len(bars))
        return lane.joined

    async def _correct_later(self, contract: Contract, stretch: Stretch, fetching: "asyncio.Future[list[Bar]]") -> None:
        """What comes now is history; only larger bars may still follow from it."""
        try:
            async with asyncio.timeout(_GIVEN_UP_SECONDS):
                bars = await fetching
        except (ScizorError, TimeoutError) as error:
            self._log.warning("missing bars given up", symbol=contract.symbol, error=str(error))
        else:
            await self._outlet.correct(contract, bars, stretch)

    # handing on

    async def _put(self, lane: _Lane, bar: Bar) -> None:
        lane.reached = max(lane.reached or bar.event_time, bar.event_time)
        if lane.last is None or bar.start >= lane.last:
            passes = await self._passes(lane, bar)
            joined, lane.joined = lane.joined, passes
            if passes:
                lane.last, lane.seen = bar.event_time, bar.ingest_time
                await self._outlet.tell(bar, lane.contract, joined=joined)
        elif bar.event_time < lane.last:
            reason = f"the bar of {bar.start:%H:%M:%S} came after the one that ended {lane.last:%H:%M:%S}"
            values, rule = bar.model_dump(), QuarantineRule.OUT_OF_ORDER
            await self._outlet.find(quarantined(Bar, values, rule, reason, severity=Severity.WARNING))
        # else: the same bar again, as gateways repeat it after a resubscription

    async def _passes(self, lane: _Lane, bar: Bar) -> bool:
        """Whether strategies may see it; what the rules find is told. The data farmer has judged late ones."""
        found = [each for each in lane.judge.judge(_prices(bar)) if each.rule not in _FOUND_ELSEWHERE]
        if bar.late:
            return True
        for each in found:
            await self._outlet.find(_finding(bar, each))
        return all(RULES[each.rule].effect is Effect.PASSES for each in found)


def _is_hole(lane: _Lane, bar: Bar) -> bool:
    """Bars come every five seconds of a session, trades or not: those between did not come."""
    if lane.reached is None or bar.start <= lane.reached:
        return False
    session = session_at(lane.contract, lane.reached)
    return session is not None and session == session_at(lane.contract, bar.start)


def _judge(contract: Contract) -> BarJudge:
    hours = TradingHours.of(contract.primary_exchange or contract.exchange)
    return BarJudge(Series(int(LIVE_BAR.total_seconds()), hours))


def _prices(bar: Bar) -> Prices:
    times = to_microseconds(bar.start), to_microseconds(bar.event_time)
    return Prices(*times, bar.open, bar.high, bar.low, bar.close, bar.volume)


def _finding(bar: Bar, found: Found) -> Quarantined:
    return quarantined(Bar, bar.model_dump(), found.rule, found.reason, severity=RULES[found.rule].severity)
