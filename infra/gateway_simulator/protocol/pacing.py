"""IB's limits on requests, by wall time: messages a second, requests for history, 5-second bars and ticks.

Nothing here needs a socket or a market: a clock that is driven by hand takes a week in a moment.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from infra.clock import Clock

MESSAGES_A_SECOND = 50
VIOLATIONS_MAX = 3  # of one client, which is sent away then

PACED_BAR_SECONDS = 30  # bars up to this size have hard limits
WINDOW_SECONDS = 600.0
WINDOW_REQUESTS = 60
IDENTICAL_SECONDS = 15.0
BURST_SECONDS = 2.0
BURST_REQUESTS = 6
OPEN_REQUESTS = 50  # of all clients together, those that are kept up to date included

LINES_MAX = 100  # market data lines of all clients together
TICK_BY_TICK_MAX = max(3, LINES_MAX * 5 // 100)
DEPTH_MAX = 3


class Pacing(StrEnum):
    """Which requests for history have hard limits."""

    TODAY = "today"  # those for bars of 30 seconds or less, as IB has it
    STRICT = "strict"  # all of them
    OFF = "off"


@dataclass(frozen=True, slots=True)
class PastRequest:
    """What the limits on history look at: `contract` names instrument and exchange, `wanted` all the rest."""

    contract: str
    what: str
    wanted: str
    bar_seconds: int

    @property
    def cost(self) -> int:
        """BID_ASK counts twice."""
        return 2 if self.what == "BID_ASK" else 1


class MessageRate:
    """At most 50 messages in any second, of all clients together."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=MESSAGES_A_SECOND)

    def permits(self) -> bool:
        now = self._clock.monotonic()
        if len(self._times) == MESSAGES_A_SECOND and now - self._times[0] < 1.0:
            return False
        self._times.append(now)
        return True


class HistoryPacing:
    """The gateway's memory of requests for history, of all clients together."""

    def __init__(self, clock: Clock, pacing: Pacing = Pacing.TODAY, soft_delay: float = 0.0) -> None:
        self._clock = clock
        self._pacing = pacing
        self._soft_delay = soft_delay
        self._hard: deque[tuple[float, PastRequest]] = deque()
        self._soft: deque[float] = deque(maxlen=WINDOW_REQUESTS)

    def permits(self, request: PastRequest) -> bool:
        """Whether the request is within all limits; one that is not is not counted."""
        return self.violation(request) is None

    def violation(self, request: PastRequest) -> str | None:
        """The rule that the request breaks; one that breaks none is counted."""
        if not self._is_hard(request):
            return None
        now = self._clock.monotonic()
        while self._hard and now - self._hard[0][0] >= WINDOW_SECONDS:
            self._hard.popleft()
        if len(self._hard) + request.cost > WINDOW_REQUESTS:
            return f"more than {WINDOW_REQUESTS} requests in ten minutes"
        same = (request.contract, request.what)
        burst = 0
        for at, each in reversed(self._hard):
            if now - at >= IDENTICAL_SECONDS:
                break
            if each == request:
                return "an identical request within 15 seconds"
            burst += now - at < BURST_SECONDS and (each.contract, each.what) == same
        if burst + request.cost >= BURST_REQUESTS:
            return "six requests for the same contract, exchange and tick type within two seconds"
        self._hard.extend([(now, request)] * request.cost)
        return None

    def delay(self, request: PastRequest) -> float:
        """Wall seconds by which a request without hard limits is slowed down, once 60 came within ten minutes."""
        if self._is_hard(request) or self._soft_delay == 0:
            return 0.0
        now = self._clock.monotonic()
        is_throttled = len(self._soft) == WINDOW_REQUESTS and now - self._soft[0] < WINDOW_SECONDS
        self._soft.append(now)
        return self._soft_delay if is_throttled else 0.0

    def _is_hard(self, request: PastRequest) -> bool:
        if self._pacing is Pacing.OFF:
            return False
        return self._pacing is Pacing.STRICT or request.bar_seconds <= PACED_BAR_SECONDS


class BarPacing:
    """At most 60 requests for 5-second bars in ten minutes."""

    def __init__(self, clock: Clock, pacing: Pacing = Pacing.TODAY) -> None:
        self._clock = clock
        self._is_off = pacing is Pacing.OFF
        self._times: deque[float] = deque(maxlen=WINDOW_REQUESTS)

    def permits(self) -> bool:
        now = self._clock.monotonic()
        if not self._is_off and len(self._times) == WINDOW_REQUESTS and now - self._times[0] < WINDOW_SECONDS:
            return False
        self._times.append(now)
        return True
