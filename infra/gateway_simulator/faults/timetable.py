"""What is to happen at a moment of wall time or of market time: the ends of faults, delays, steps of cassettes."""

import asyncio
import contextlib
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from infra.clock import Clock
from infra.errors import UsageError
from infra.gateway_simulator.market.market import MarketClock

ENTRIES_MAX = 100_000
IDLE_SECONDS = 60.0  # the longest wait; whoever enters something wakes it
LEAST_SECONDS = 0.0005  # market time may lag behind its clock until the tape has played


@dataclass(order=True, slots=True)
class Entry:
    """One thing to come; `cancel` makes it nothing."""

    moment: float
    number: int
    call: Callable[[], None] | None = field(compare=False)

    def cancel(self) -> None:
        self.call = None


class Timetable:
    """Plays its entries in the order of their moments, by the clocks that it was given."""

    def __init__(self, clock: Clock, market_clock: MarketClock, market_now: Callable[[], float]) -> None:
        self._clock = clock
        self._market_clock = market_clock
        self._market_now = market_now
        self._wall: list[Entry] = []
        self._market: list[Entry] = []
        self._numbers = 0
        self._changed = asyncio.Event()

    def after(self, seconds: float, call: Callable[[], None]) -> Entry:
        """After so many seconds of wall time."""
        return self._enter(self._wall, self._clock.monotonic() + seconds, call)

    def at(self, moment: float, call: Callable[[], None]) -> Entry:
        """At this epoch second of market time, before anything that the market does then."""
        return self._enter(self._market, moment, call)

    def _enter(self, heap: list[Entry], moment: float, call: Callable[[], None]) -> Entry:
        if len(heap) >= ENTRIES_MAX:
            raise UsageError(f"{ENTRIES_MAX} things are to happen already; clear some faults")
        self._numbers += 1
        entry = Entry(moment, self._numbers, call)
        heapq.heappush(heap, entry)
        self._changed.set()
        return entry

    async def sleep(self, seconds: float) -> None:
        done = asyncio.Event()
        entry = self.after(seconds, done.set)
        try:
            await done.wait()
        finally:
            entry.cancel()

    def play(self) -> None:
        """Let happen all that is due."""
        _play(self._wall, self._clock.monotonic())
        self.play_market(self._market_now())

    def play_market(self, moment: float) -> None:
        """Let happen what is due at this moment of market time."""
        if self._market:
            _play(self._market, moment)

    def next_market(self) -> float | None:
        """The moment of the next entry in market time."""
        while self._market and self._market[0].call is None:
            heapq.heappop(self._market)
        return self._market[0].moment if self._market else None

    def wake(self) -> None:
        """Look again: a clock has been moved."""
        self._changed.set()

    async def run(self) -> None:
        """Play as time passes, for ever."""
        while True:
            self._changed.clear()
            self.play()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._wait()):
                    await self._changed.wait()

    def _wait(self) -> float:
        waits = [IDLE_SECONDS]
        if self._wall:
            waits.append(self._wall[0].moment - self._clock.monotonic())
        following = self.next_market()
        until = None if following is None else self._market_clock.wall_seconds_until(following)
        if until is not None:
            waits.append(until)
        return max(LEAST_SECONDS, min(waits))


def _play(heap: list[Entry], moment: float) -> None:
    while heap and heap[0].moment <= moment:
        call = heapq.heappop(heap).call
        if call is not None:
            call()
