"""IB's limits on requests, by wall time: messages a second, and requests for small historical bars."""

from collections import deque

from infra.clock import Clock

MESSAGES_A_SECOND = 50
VIOLATIONS_MAX = 3

PACED_BAR_SECONDS = 30  # bars up to this size have hard limits
WINDOW_SECONDS = 600.0
WINDOW_REQUESTS = 60
IDENTICAL_SECONDS = 15.0
BURST_SECONDS = 2.0
BURST_REQUESTS = 6
OPEN_REQUESTS = 50


class MessageRate:
    """At most 50 messages in any second; the third violation is the last."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times: deque[float] = deque(maxlen=MESSAGES_A_SECOND)
        self._violations = 0

    def permits(self) -> bool:
        now = self._clock.monotonic()
        if len(self._times) == MESSAGES_A_SECOND and now - self._times[0] < 1.0:
            self._violations += 1
            return False
        self._times.append(now)
        return True

    @property
    def is_hopeless(self) -> bool:
        return self._violations >= VIOLATIONS_MAX


class HistoryPacing:
    """The gateway's memory of requests for bars of 30 seconds or less."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._requests: deque[tuple[float, tuple[str, ...], tuple[str, ...]]] = deque()

    def permits(self, contract: tuple[str, ...], request: tuple[str, ...], cost: int) -> bool:
        """Whether the request is within all three limits; one that is not is not counted. BID_ASK costs two."""
        now = self._clock.monotonic()
        while self._requests and now - self._requests[0][0] >= WINDOW_SECONDS:
            self._requests.popleft()
        recent = [each for each in self._requests if now - each[0] < IDENTICAL_SECONDS]
        burst = [each for each in recent if each[1] == contract and now - each[0] < BURST_SECONDS]
        if len(self._requests) + cost > WINDOW_REQUESTS or len(burst) + cost > BURST_REQUESTS - 1:
            return False
        if any(each[2] == request and each[1] == contract for each in recent):
            return False
        self._requests.extend([(now, contract, request)] * cost)
        return True
