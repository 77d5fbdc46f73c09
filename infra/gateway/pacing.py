"""Keeps requests within the gateway's limits, on wall time: waiting is cheaper than being cut off.

Limits: https://interactivebrokers.github.io/tws-api/historical_limitations.html
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from infra.clock import Clock

Sleep = Callable[[float], Awaitable[None]]
SMALL_BAR_SECONDS = 30
"""Bars of this size and below are counted by the gateway; larger ones it merely delays."""


@dataclass(frozen=True)
class Limits:
    """The gateway's limits, with a little room."""

    messages_per_second: int = 45
    small_bars_per_10_minutes: int = 58
    identical_seconds: float = 15.5
    per_contract_in_2_seconds: int = 5
    open_history: int = 48


@dataclass
class Window:
    """At most `count` admissions in any `seconds`."""

    count: int
    seconds: float
    times: deque[float] = field(default_factory=deque)

    def wait(self, now: float, cost: int = 1) -> float:
        """Seconds until `cost` more fit."""
        while self.times and now - self.times[0] >= self.seconds:
            self.times.popleft()
        excess = len(self.times) + cost - self.count
        return 0.0 if excess <= 0 else self.times[excess - 1] + self.seconds - now

    def add(self, now: float, cost: int = 1) -> None:
        self.times.extend([now] * cost)


@dataclass(frozen=True)
class HistoryRequest:
    """What of a history request the gateway's rules look at."""

    identity: str
    """Equal for identical requests."""
    contract: str
    """Equal for the same contract, exchange and kind of data."""
    bar_seconds: float
    cost: int = 1
    """2 for bid and ask bars."""


class Governor:
    """Admits requests of one connection, in the order they asked."""

    def __init__(self, clock: Clock, *, limits: Limits | None = None, sleep: Sleep = asyncio.sleep) -> None:
        self._clock = clock
        self._sleep = sleep
        self._limits = limits or Limits()
        self._messages = Window(self._limits.messages_per_second, 1.0)
        self._small_bars = Window(self._limits.small_bars_per_10_minutes, 600.0)
        self._contracts: dict[str, Window] = {}
        self._identical: dict[str, float] = {}
        self._turn = asyncio.Lock()
        self._open = asyncio.Semaphore(self._limits.open_history)
        self.waited_seconds = 0.0

    def note_message(self) -> None:
        """Count a message that was sent without asking (orders, heartbeats)."""
        self._messages.add(self._clock.monotonic())

    async def message(self) -> None:
        """Wait until one more message may be sent."""
        async with self._turn:
            await self._wait_while(self._messages.wait)
            self._messages.add(self._clock.monotonic())

    @asynccontextmanager
    async def history(self, request: HistoryRequest) -> AsyncIterator[None]:
        """Wait until the request may be sent; it counts as open until the block ends."""
        async with self._open:
            async with self._turn:
                await self._wait_while(lambda now: self._history_wait(request, now))
                self._admit(request, self._clock.monotonic())
            yield

    def _history_wait(self, request: HistoryRequest, now: float) -> float:
        waits = [self._messages.wait(now)]
        if request.bar_seconds <= SMALL_BAR_SECONDS:
            waits.append(self._small_bars.wait(now, request.cost))
            waits.append(self._identical.get(request.identity, now) - now)
            if window := self._contracts.get(request.contract):
                waits.append(window.wait(now, request.cost))
        return max(waits)

    def _admit(self, request: HistoryRequest, now: float) -> None:
        self._messages.add(now)
        if request.bar_seconds > SMALL_BAR_SECONDS:
            return
        self._small_bars.add(now, request.cost)
        self._forget(now)
        self._identical[request.identity] = now + self._limits.identical_seconds
        window = self._contracts.setdefault(request.contract, Window(self._limits.per_contract_in_2_seconds, 2.0))
        window.add(now, request.cost)

    def _forget(self, now: float) -> None:
        self._identical = {identity: until for identity, until in self._identical.items() if until > now}
        self._contracts = {
            contract: window
            for contract, window in self._contracts.items()
            if window.times and now - window.times[-1] < window.seconds
        }

    async def pause(self, seconds: float) -> None:
        """Wait without asking anything: the gateway has complained."""
        self.waited_seconds += seconds
        await self._sleep(seconds)

    async def _wait_while(self, wait: Callable[[float], float]) -> None:
        while (seconds := wait(self._clock.monotonic())) > 0:
            self.waited_seconds += seconds
            await self._sleep(seconds)
