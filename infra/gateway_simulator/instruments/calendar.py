"""Days and hours of the simulated markets, by the calendars of the exchanges; moments are epoch seconds."""

import bisect
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import cache
from zoneinfo import ZoneInfo

import numpy as np

from infra.calendars.calendar import calendar_of

NEW_YORK = ZoneInfo("America/New_York")  # where the gateway itself stands
ZONE_NAME = "US/Eastern"  # the name that IB puts into its texts

FIRST_DAY = date(2000, 3, 1)
LAST_DAY = date(2037, 12, 31)

BAR_SECONDS = 5
# When trading begins before the regular hours, on the market's own clock, and how long it goes on after them: US stocks
# trade from 04:00 to 20:00 in New York, until 17:00 where the day ends at 13:00.
OUTSIDE_HOURS = {"XNYS": (time(4), 4 * 3600)}
_NEVER = -1.0


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day of one market; `open_second` is the opening on the wall clock, in seconds after midnight.

    `before` and `after` are how many of its five-second bars lie outside of the regular hours.
    """

    market: str
    day: date
    open: int
    close: int
    open_second: int
    before: int = 0
    after: int = 0

    @property
    def bars(self) -> int:
        """How many five-second bars it has."""
        return (self.close - self.open) // BAR_SECONDS

    @property
    def is_extended(self) -> bool:
        return bool(self.before or self.after)

    def is_regular(self, bar: int) -> bool:
        return self.before <= bar < self.bars - self.after


def local(moment: float, zone: ZoneInfo = NEW_YORK) -> datetime:
    """Wall time of an epoch second."""
    return datetime.fromtimestamp(moment, zone)


def utc_text(moment: float) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def ib_text(moment: float) -> str:
    """The form in which IB writes moments: 20231006 15:59:30 US/Eastern."""
    return f"{local(moment):%Y%m%d %H:%M:%S} {ZONE_NAME}"


class Calendar:
    """All trading days of a market from `FIRST_DAY` to `LAST_DAY`."""

    def __init__(self, market: str) -> None:
        self.market = market
        self._exchange = calendar_of(market)
        self.zone = self._exchange.zone
        hours = self._exchange.regular
        self.regular_seconds = (hours.close - hours.open) * 60
        every = (date.fromordinal(each) for each in range(FIRST_DAY.toordinal(), LAST_DAY.toordinal() + 1))
        self.days = [day for day in every if self._exchange.is_open_on(day)]
        self.ordinals = np.array([day.toordinal() for day in self.days], dtype=np.int64)
        self._sessions: dict[date, Session] = {}
        self._recent: Session | None = None
        self._recent_until = _NEVER

    def is_open_on(self, day: date) -> bool:
        at = bisect.bisect_left(self.days, day)
        return at < len(self.days) and self.days[at] == day

    def session(self, day: date) -> Session:
        """The session of a trading day."""
        found = self._sessions.get(day)
        if found is None:
            known = self._exchange.session(day)
            assert known is not None, f"{self.market} does not trade on {day}"
            opened = known.open.astimezone(self.zone)
            second = opened.hour * 3600 + opened.minute * 60
            times = int(known.open.timestamp()), int(known.close.timestamp())
            found = self._sessions[day] = Session(self.market, day, *times, second)
        return found

    def opening(self, day: date) -> int:
        """When a regular session of that day begins, whether there is one or not."""
        return int(self._exchange.opening(day).timestamp())

    def latest(self, moment: float) -> Session:
        """The last session that has opened by `moment`; the very first one if none has."""
        recent = self._recent
        if recent is not None and recent.open <= moment < self._recent_until:
            return recent
        tomorrow = local(moment, self.zone).date().toordinal() + 1  # its session may have opened this evening
        at = bisect.bisect_right(self.days, date.fromordinal(tomorrow)) - 1
        while at > 0 and self.session(self.days[at]).open > moment:
            at -= 1
        found = self.session(self.days[max(at, 0)])
        if 0 <= at < len(self.days) - 1:
            self._recent, self._recent_until = found, self.session(self.days[at + 1]).open
        return found

    def following(self, day: date) -> Session:
        """The first session after `day`."""
        at = min(bisect.bisect_right(self.days, day), len(self.days) - 1)
        return self.session(self.days[at])

    def back(self, day: date, count: int) -> date:
        """The day that lies `count` trading days before `day`."""
        at = bisect.bisect_right(self.days, day) - 1 - count
        return self.days[max(at, 0)]

    def between(self, first: date, last: date) -> list[date]:
        """Trading days from `first` to `last`, both included."""
        return self.days[bisect.bisect_left(self.days, first) : bisect.bisect_right(self.days, last)]

    def is_open_at(self, moment: float) -> bool:
        session = self.latest(moment)
        return session.open <= moment < session.close


class ExtendedCalendar(Calendar):
    """The same trading days, each from the first trade before the regular hours to the last one after them."""

    def __init__(self, market: str) -> None:
        super().__init__(market)
        self._regular = market_calendar(market)
        self._begins, self._goes_on = OUTSIDE_HOURS[market]
        ahead = self._exchange.regular.open * 60 - self._begins.hour * 3600 - self._begins.minute * 60
        self.regular_seconds += ahead + self._goes_on
        self._whole: dict[date, Session] = {}

    def session(self, day: date) -> Session:
        found = self._whole.get(day)
        if found is None:
            regular, opened = self._regular.session(day), self.opening(day)
            before, after = (regular.open - opened) // BAR_SECONDS, self._goes_on // BAR_SECONDS
            second = self._begins.hour * 3600 + self._begins.minute * 60
            times = opened, regular.close + self._goes_on
            found = self._whole[day] = Session(self.market, day, *times, second, before, after)
        return found

    def opening(self, day: date) -> int:
        return int(datetime.combine(day, self._begins, self.zone).timestamp())


@cache
def market_calendar(market: str) -> Calendar:
    """The calendar of regular hours of that name, one and the same for all who ask."""
    return Calendar(market)


@cache
def market_hours(market: str) -> Calendar:
    """The calendar of all hours in which anything trades there; that of the regular hours where there are no others."""
    return ExtendedCalendar(market) if market in OUTSIDE_HOURS else market_calendar(market)
