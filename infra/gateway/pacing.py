"""Keeps requests within the gateway's limits, on wall time: waiting is cheaper than being cut off."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from infra.clock import Clock
from infra.errors import ScizorError
from infra.gateway.windows import SMALL_BAR_SECONDS, Limits, Pacing, Priority, Window

Sleep = Callable[[float], Awaitable[None]]

PATIENCE_SECONDS = {
    Priority.ORDERS: 10.0,
    Priority.LIVE: 120.0,
    Priority.DAILY: 6 * 3600.0,
    Priority.BACKFILL: 12 * 3600.0,
}
"""How long a request waits for its turn before it is given up."""
_SHARE = 9
"""After so many of its betters, one of a lower priority goes first: it is slowed down, not starved."""
_BACK_OFF_MAX_SECONDS = 600.0
_LEAST_SECONDS = 0.001
_KEYED_MAX = 256
"""Windows of single contracts and requests, from which the idle ones are forgotten."""


class TurnMissedError(ScizorError):
    """A request waited in vain for its turn."""

    def __init__(self, seconds: float, waiting: int) -> None:
        super().__init__(
            f"no turn at the gateway within {seconds:.0f} s, {waiting} requests wait under its pacing rules: "
            "ask for less at a time, or for larger bars"
        )


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


@dataclass(eq=False)
class _Waiter:
    needs: list[tuple[Window, int]]
    priority: Priority
    is_history: bool
    asked_at: float
    expires_at: float
    turn: "asyncio.Future[None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    windows: frozenset[Window] = field(init=False)

    def __post_init__(self) -> None:
        self.windows = frozenset(window for window, _ in self.needs)


class Governor:
    """Gives turns to the requests of one connection: by priority, and within one in the order they asked.

    Who waits for a window of its own (the same contract, the same request) lets others pass; who waits for one that
    all share does not, so nobody is overtaken for ever.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        pacing: Pacing = Pacing.TODAY,
        limits: Limits | None = None,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._pacing = pacing
        self._limits = limits = limits or Limits()
        self._messages = Window(limits.messages_per_second, 1.0 + limits.message_slack_seconds, settles=False)
        self._open = Window(limits.open_history, 0.0)
        self._bars = Window(limits.bars_in_10_minutes, self._longer(600.0))
        self._keyed: dict[str, Window] = {}
        self._queues: dict[Priority, deque[_Waiter]] = {priority: deque() for priority in Priority}
        self._passed_over = dict.fromkeys(Priority, 0)
        self._quiet_until = float("-inf")
        self._complaints = 0
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = float("inf")
        self.under_way = 0
        """Requests for bars that were let through and are not answered."""
        self.refused = 0
        """How often the gateway complained of our pace."""
        self.waited_seconds = 0.0

    def _longer(self, seconds: float) -> float:
        return seconds * (1 + self._limits.clock_slack)

    @property
    def waiting(self) -> int:
        """Requests that wait for their turn."""
        return sum(len(queue) for queue in self._queues.values())

    def note_message(self) -> None:
        """Count a message that was sent without asking (orders, heartbeats)."""
        self._messages.take(self._clock.monotonic())

    async def message(self, priority: Priority = Priority.LIVE) -> None:
        """Wait until one more message may be sent."""
        if self._pacing is not Pacing.OFF:
            await self._turn([(self._messages, 1)], priority, is_history=False)

    @asynccontextmanager
    async def history(
        self, request: HistoryRequest, priority: Priority = Priority.BACKFILL, *, patience_seconds: float | None = None
    ) -> AsyncIterator[None]:
        """Wait until the request may be sent; the block ends with its answer, from which its windows are measured."""
        needs = self._needs(request)
        await self._turn(needs, priority, is_history=True, patience=patience_seconds)
        self.under_way += 1
        try:
            yield
            self._complaints = 0
        finally:
            self.under_way -= 1
            now = self._clock.monotonic()
            for window, cost in needs:
                window.settle(now, cost)
            self._pump()

    def complained(self) -> None:
        """The gateway refused a request for its pace: ask for no bars for a while, longer each time in a row."""
        now = self._clock.monotonic()
        self.refused += 1
        if now >= self._quiet_until:  # else it complains about what was sent before the last complaint was heard
            self._quiet_until = now + min(self._limits.back_off_seconds * 2**self._complaints, _BACK_OFF_MAX_SECONDS)
            self._complaints += 1
            self._pump()

    def recall(self, seconds_ago: Iterable[float]) -> None:
        """Count requests for paced bars that a former process had answered so long ago: the gateway remembers them."""
        now = self._clock.monotonic()
        self._bars.recall(now - age for age in seconds_ago)

    def paces(self, bar_seconds: float) -> bool:
        """Whether requests for bars of this size are counted."""
        if self._pacing is Pacing.TODAY:
            return bar_seconds <= SMALL_BAR_SECONDS
        return self._pacing is Pacing.STRICT

    def _needs(self, request: HistoryRequest) -> list[tuple[Window, int]]:
        needs = [(self._open, 1)]
        if self._pacing is not Pacing.OFF:
            needs.append((self._messages, 1))
        if self.paces(request.bar_seconds):
            limits, cost = self._limits, request.cost
            needs.append((self._bars, cost))
            needs.append((self._window(request.contract, limits.of_contract_in_2_seconds, 2.0), cost))
            needs.append((self._window(f"= {request.identity}", limits.same_in_15_seconds, 15.0), 1))
        return needs

    def _window(self, key: str, count: int, seconds: float) -> Window:
        if len(self._keyed) > _KEYED_MAX:
            now = self._clock.monotonic()
            wanted = {id(window) for queue in self._queues.values() for each in queue for window, _ in each.needs}
            self._keyed = {k: w for k, w in self._keyed.items() if id(w) in wanted or not w.idle(now)}
        return self._keyed.setdefault(key, Window(count, self._longer(seconds)))

    # turns

    async def _turn(
        self, needs: list[tuple[Window, int]], priority: Priority, *, is_history: bool, patience: float | None = None
    ) -> None:
        now = self._clock.monotonic()
        seconds = PATIENCE_SECONDS[priority] if patience is None else patience
        waiter = _Waiter(needs, priority, is_history, now, now + seconds)
        self._queues[priority].append(waiter)
        self._pump()
        try:
            await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():  # it got its turn and is not going to use it
                for window, cost in needs:
                    window.settle(self._clock.monotonic(), cost)
            raise
        finally:
            if waiter in self._queues[priority]:
                self._queues[priority].remove(waiter)
            if not self.waiting:
                self._stop_timer()

    def _pump(self) -> None:
        """Give all turns that can be given now, and look again when the next one may be."""
        while True:
            now = self._clock.monotonic()
            self._expire(now)
            waiter, soonest = self._next(now)
            if waiter is None:
                break
            self._admit(waiter, now)
        self._look_again_at(soonest)

    def _expire(self, now: float) -> None:
        for queue in self._queues.values():
            for waiter in [each for each in queue if each.expires_at <= now]:
                queue.remove(waiter)
                if not waiter.turn.done():
                    waiter.turn.set_exception(TurnMissedError(now - waiter.asked_at, self.waiting + 1))

    def _next(self, now: float) -> tuple[_Waiter | None, float]:
        """Whose turn it is; when nobody's, the earliest moment at which it may be somebody's."""
        soonest = float("inf")
        awaited: set[Window] = set()
        for waiter in self._in_turn():
            if waiter.expires_at < soonest:
                soonest = waiter.expires_at
            if not awaited.isdisjoint(waiter.windows):
                continue  # somebody before it waits for the same
            lacking = {window: wait for window, cost in waiter.needs if (wait := window.wait(now, cost)) > 0}
            quiet = self._quiet_until - now if waiter.is_history else 0.0
            if not lacking and quiet <= 0:
                return waiter, now
            awaited.update(lacking)
            soonest = min(soonest, now + max(quiet, *lacking.values(), 0.0))
        return None, soonest

    def _in_turn(self) -> Iterator[_Waiter]:
        for priority in sorted(Priority, key=lambda each: (self._passed_over[each] < _SHARE, each)):
            for waiter in self._queues[priority]:
                if not waiter.turn.done():
                    yield waiter

    def _admit(self, waiter: _Waiter, now: float) -> None:
        for window, cost in waiter.needs:
            window.take(now, cost)
        self._queues[waiter.priority].remove(waiter)
        for lower in Priority:
            if lower > waiter.priority and self._queues[lower]:
                self._passed_over[lower] += 1
        self._passed_over[waiter.priority] = 0
        self.waited_seconds += now - waiter.asked_at
        waiter.turn.set_result(None)

    def _look_again_at(self, moment: float) -> None:
        if self._timer is not None and not self._timer.done() and self._timer_at <= moment:
            return
        self._stop_timer()
        if moment < float("inf"):
            self._timer_at = moment
            self._timer = asyncio.create_task(self._look_again(moment - self._clock.monotonic()), name="pacing")

    async def _look_again(self, seconds: float) -> None:
        await self._sleep(max(seconds, _LEAST_SECONDS))
        self._timer, self._timer_at = None, float("inf")
        self._pump()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, float("inf")
