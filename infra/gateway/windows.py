"""What the gateway allows in a stretch of time: sliding windows, which modes use them, and whose turn comes first.

Limits: https://interactivebrokers.github.io/tws-api/historical_limitations.html
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

SMALL_BAR_SECONDS = 30
"""Bars of this size and below are counted by the gateway today; larger ones it merely delays."""


class Pacing(StrEnum):
    """Which requests for bars are held to IB's pacing rules."""

    STRICT = "strict"
    """All of them."""
    TODAY = "today"
    """Bars of 30 seconds and less, as IB counts today."""
    OFF = "off"
    """None, and no limit on messages: for a gateway that has none, the simulator in a bench."""


class Priority(IntEnum):
    """Who comes first when not all can."""

    ORDERS = 0
    LIVE = 1
    DAILY = 2
    BACKFILL = 3


@dataclass(frozen=True)
class Limits:
    """The gateway's limits as they are: what is left unused for safety is time, never a request."""

    messages_per_second: int = 50
    bars_in_10_minutes: int = 60
    same_in_15_seconds: int = 1
    of_contract_in_2_seconds: int = 5
    """Six of one contract, exchange and kind of data break the rule."""
    open_history: int = 50
    back_off_seconds: float = 15.0
    """After the first complaint; it doubles with each that follows."""
    clock_slack: float = 0.0001
    """The gateway's clock may run slower than ours by this part."""
    message_slack_seconds: float = 0.02
    """Messages are counted when they leave; on their way they may come closer together."""


class Window:
    """At most `count` in any `seconds`, counted from when each is settled: until then it counts without end.

    A request reaches the gateway some time before its answer reaches us, so a window measured from the answers is
    never shorter than the gateway's own.
    """

    __slots__ = ("_open", "_times", "count", "seconds", "settles")

    def __init__(self, count: int, seconds: float, *, settles: bool = True) -> None:
        self.count = count
        self.seconds = seconds
        self.settles = settles
        """False: what has no answer is settled when it is sent."""
        self._open = 0
        self._times: deque[float] = deque()

    def wait(self, now: float, cost: int = 1) -> float:
        """Seconds until `cost` more fit; infinite while that depends on an answer."""
        times = self._times
        while times and now - times[0] >= self.seconds:
            times.popleft()
        excess = self._open + len(times) + cost - self.count
        if excess <= 0:
            return 0.0
        return times[excess - 1] + self.seconds - now if excess <= len(times) else float("inf")

    def take(self, now: float, cost: int = 1) -> None:
        if self.settles:
            self._open += cost
        else:
            self._times.extend([now] * cost)

    def settle(self, now: float, cost: int = 1) -> None:
        """What was taken has been answered, or given up."""
        if self.settles:
            self._open -= cost
            self._times.extend([now] * cost)

    def recall(self, times: Iterable[float]) -> None:
        """Count what was settled earlier, by a former process."""
        self._times = deque(sorted([*self._times, *times]))

    def idle(self, now: float) -> bool:
        """Nothing in it counts any more."""
        return not self._open and (not self._times or now - self._times[-1] >= self.seconds)
