"""How far the gateway's clock is from ours: beyond a bound nobody can say what is stale or expired."""

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from infra.clock import Clock

_SECOND = timedelta(seconds=1)
"""The gateway tells its time in whole seconds, cut off."""
_ASKED_MAX = 100


class ClockSkew:
    """Folds the gateway's answers to our questions for its time."""

    def __init__(self, clock: Clock, seconds_max: float) -> None:
        """`seconds_max`: more is too much; 0 compares nothing, for gateways that live at another date."""
        self._clock = clock
        self._max = seconds_max
        self._asked: deque[datetime] = deque(maxlen=_ASKED_MAX)
        self._trouble: str | None = None
        self._listeners: list[Callable[[], None]] = []
        self._log = structlog.get_logger("gateway.clock")
        self.seconds = 0.0
        """How far the gateway is ahead for certain, as last told; 0 when both may be the same."""
        self.forget()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` when `trouble` changes."""
        self._listeners.append(listener)

    @property
    def compares(self) -> bool:
        return bool(self._max)

    @property
    def trouble(self) -> str | None:
        """Why nobody may trade by these clocks."""
        return self._trouble

    def forget(self) -> None:
        """A new connection: what its clock says is not known yet."""
        self._asked.clear()
        self.seconds = 0.0
        self._say("the gateway has not told its time yet" if self._max else None)

    def asked(self) -> None:
        self._asked.append(self._clock.now())

    def heard(self, epoch: int, *_: object) -> None:
        """The gateway has told its time: it was that, or up to a second more, between our question and now."""
        if not self._max or not self._asked:
            return
        told, asked, now = datetime.fromtimestamp(epoch, UTC), self._asked.popleft(), self._clock.now()
        ahead, behind = (told - now).total_seconds(), (asked - told - _SECOND).total_seconds()
        self.seconds = ahead if ahead > 0 else -max(behind, 0.0)
        if abs(self.seconds) <= self._max:
            self._say(None)
            return
        way = "ahead of" if self.seconds > 0 else "behind"
        self._say(
            f"the gateway's clock is more than {self._max:g} s {way} ours: set the time of both machines by NTP "
            "(SCIZOR_CLOCK_SKEW_SECONDS)"
        )

    def _say(self, trouble: str | None) -> None:
        if trouble == self._trouble:
            return
        if self.seconds:
            self._log.error("clocks differ", seconds=round(self.seconds, 1), trouble=trouble)
        self._trouble = trouble
        for listener in self._listeners:
            listener()
