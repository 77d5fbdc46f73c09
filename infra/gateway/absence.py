"""How long the gateway has been away, and when that is longer than IB's resets take."""

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import structlog

from infra.clock import Clock

_NEW_YORK = ZoneInfo("America/New_York")
_NIGHTLY = time(23, 45), timedelta(hours=1)
_WEEKLY = time(23, 0), timedelta(hours=4)
"""IB resets its servers every night from 23:45 to 00:45, on Fridays from 23:00 to 03:00, New York time:
https://www.interactivebrokers.com/en/software/systemStatus.php"""
_FRIDAY = 4


class Absence:
    """Told when the gateway goes and comes; says when it is overdue."""

    def __init__(self, clock: Clock, minutes_max: float) -> None:
        self._clock = clock
        self._max = timedelta(minutes=minutes_max)
        self._began: datetime | None = clock.now()
        self._deadline = expected_back(clock.now(), self._max)
        self._told = False
        self._log = structlog.get_logger("gateway.absence")

    def went(self) -> None:
        """It cannot be used; told again, nothing changes."""
        if self._began is None:
            self._began = self._clock.now()
            self._deadline = expected_back(self._began, self._max)

    def came(self) -> None:
        if self._told:
            self._log.warning("the gateway is back", away_seconds=round(self.seconds))
        self._began, self._told = None, False

    @property
    def seconds(self) -> float:
        """0 while it is there."""
        return 0.0 if self._began is None else max(0.0, (self._clock.now() - self._began).total_seconds())

    def overdue(self) -> str | None:
        """What to tell a person when it is away longer than it should be; logged once."""
        if self._began is None or self._clock.now() <= self._deadline:
            return None
        text = (
            f"away since {self._began:%F %H:%M}Z, longer than a reset takes: look at TWS or IB Gateway "
            "(logged in? a dialogue that waits?) and at IB's system status"
        )
        if not self._told:
            self._told = True
            self._log.error("the gateway stays away", since=self._began, expected_back=self._deadline)
        return text


def expected_back(began: datetime, patience: timedelta) -> datetime:
    """An outage that begins within a reset of IB's may last as long as the reset; any one may take `patience`."""
    local = began.astimezone(_NEW_YORK)
    for day in (local.date() - timedelta(days=1), local.date()):
        start, lasts = _WEEKLY if day.weekday() == _FRIDAY else _NIGHTLY
        begins = datetime.combine(day, start, _NEW_YORK)
        if begins <= local < begins + lasts:
            return begins + lasts + patience
    return began + patience
