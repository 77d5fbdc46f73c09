"""Days and hours of the simulated market: the days of the real data, weekdays outside of them."""

import bisect
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

NEW_YORK = ZoneInfo("America/New_York")
ZONE_NAME = "US/Eastern"  # the name that IB puts into its texts

FIRST_DAY = date(2000, 3, 1)
LAST_DAY = date(2037, 12, 31)

OPEN = time(9, 30)
SESSION_SECONDS = 6 * 3600 + 1800
BAR_SECONDS = 5
BARS_A_DAY = SESSION_SECONDS // BAR_SECONDS
OPEN_SECOND = 9 * 3600 + 1800  # of the local day

SATURDAY = 5


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day; `open` and `close` are epoch seconds."""

    day: date
    open: int
    close: int


def session_of(day: date) -> Session:
    opened = int(datetime.combine(day, OPEN, NEW_YORK).timestamp())
    return Session(day, opened, opened + SESSION_SECONDS)


def local(moment: float) -> datetime:
    """New York wall time of an epoch second."""
    return datetime.fromtimestamp(moment, NEW_YORK)


def utc_text(moment: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ib_text(moment: float) -> str:
    """The form in which IB writes moments: 20231006 15:59:30 US/Eastern."""
    return f"{local(moment):%Y%m%d %H:%M:%S} {ZONE_NAME}"


class Calendar:
    """All trading days from `FIRST_DAY` to `LAST_DAY`."""

    def __init__(self, real_days: Iterable[date]) -> None:
        real = sorted(set(real_days))
        days: list[date] = []
        day = FIRST_DAY
        known = set(real)
        while day <= LAST_DAY:
            within = bool(real) and real[0] <= day <= real[-1]
            if day in known or (not within and day.weekday() < SATURDAY):
                days.append(day)
            day += timedelta(days=1)
        self.days = days

    def is_open_on(self, day: date) -> bool:
        at = bisect.bisect_left(self.days, day)
        return at < len(self.days) and self.days[at] == day

    def latest(self, moment: float) -> Session:
        """The last session that has opened by `moment`; the very first one if none has."""
        at = bisect.bisect_right(self.days, local(moment).date()) - 1
        if at >= 0 and session_of(self.days[at]).open > moment:
            at -= 1
        return session_of(self.days[max(at, 0)])

    def following(self, day: date) -> Session:
        """The first session after `day`."""
        at = min(bisect.bisect_right(self.days, day), len(self.days) - 1)
        return session_of(self.days[at])

    def back(self, day: date, count: int) -> date:
        """The day that lies `count` trading days before `day`."""
        at = bisect.bisect_right(self.days, day) - 1 - count
        return self.days[max(at, 0)]

    def between(self, first: date, last: date) -> list[date]:
        """Trading days from `first` to `last`, both included."""
        return self.days[bisect.bisect_left(self.days, first) : bisect.bisect_right(self.days, last)]
