"""When each exchange trades.

    calendar = calendar_of("ASX")                # an exchange by IB's name, or a calendar by its own (XASX)
    calendar.session(date(2024, 12, 24))         # Session(day, open, close, is_short), times in UTC; None when closed
    calendar.sessions(first, last)               # all of them, both days included
    calendar.latest(moment)                      # the last session that has opened by then
    calendar.following(moment)                   # the first one that opens after it

A session bears the date of the day on which it closes: that of a future begins on the evening before. Days of which the
table (sessions.txt) knows nothing follow the rule of weekdays in regular hours: `is_known` says which those are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from infra.calendars.table import CalendarTable, Hours, load_tables
from infra.errors import UsageError

SATURDAY = 5
_DAYS_CLOSED_MAX = 15  # no exchange of ours has ever been closed for longer
_DAY = timedelta(days=1)

# Which calendar an exchange keeps, by IB's name of the exchange.
CALENDARS = {
    "XNYS": ("NYSE", "NASDAQ", "ISLAND", "ARCA", "AMEX", "BATS", "IEX", "SMART", "CBOE", "BYX", "EDGX", "PSX"),
    "XASX": ("ASX", "ASXCEN", "CHIXAU"),
    "CMES": ("CME", "GLOBEX"),
    "SNFE": (),
    "FOREX": ("IDEALPRO",),
    "CRYPTO": ("PAXOS", "ZEROHASH"),
}


class UnknownExchangeError(UsageError):
    def __init__(self, exchange: str) -> None:
        known = sorted({*CALENDARS, *(name for names in CALENDARS.values() for name in names)})
        super().__init__(f"no trading calendar for the exchange {exchange[:40]!r}: known are {', '.join(known)}")
        self.exchange = exchange


@dataclass(frozen=True, slots=True)
class Session:
    """One trading day; times are in UTC."""

    day: date
    open: datetime
    close: datetime
    is_short: bool = False

    def holds(self, moment: datetime) -> bool:
        return self.open <= moment < self.close


class ExchangeCalendar:
    """The sessions of one exchange, without end in either direction."""

    def __init__(self, name: str, table: CalendarTable) -> None:
        self.name = name
        self.zone = ZoneInfo(table.zone)
        self.regular = table.regular
        self._table = table
        self._made: dict[date, Session | None] = {}

    def is_known(self, day: date) -> bool:
        """Whether holidays of that day are known; otherwise the rule of weekdays alone decides."""
        return self._table.first <= day <= self._table.last

    def is_open_on(self, day: date) -> bool:
        if day.weekday() >= SATURDAY and not self._table.weekends:
            return False
        return self._table.exceptions.get(day, self._table.regular) is not None

    def opening(self, day: date) -> datetime:
        """When a regular session of that day begins, whether there is one or not."""
        return self._moment(day, self._table.regular.open)

    def session(self, day: date) -> Session | None:
        """The session of that day; None when the exchange is closed."""
        try:
            return self._made[day]
        except KeyError:
            found = self._made[day] = self._session(day)
            return found

    def sessions(self, first: date, last: date) -> list[Session]:
        """All sessions from `first` to `last`, both included, in order."""
        return list(self._between(first, last))

    def latest(self, moment: datetime) -> Session:
        """The last session that has opened by `moment`."""
        day = moment.astimezone(self.zone).date() + _DAY  # tomorrow's may have opened this evening
        for _ in range(_DAYS_CLOSED_MAX):
            found = self.session(day)
            if found is not None and found.open <= moment:
                return found
            day -= _DAY
        raise AssertionError(f"{self.name}: no session in the {_DAYS_CLOSED_MAX} days before {moment}")

    def following(self, moment: datetime) -> Session:
        """The first session that opens after `moment`."""
        day = moment.astimezone(self.zone).date()
        for _ in range(_DAYS_CLOSED_MAX):
            found = self.session(day)
            if found is not None and found.open > moment:
                return found
            day += _DAY
        raise AssertionError(f"{self.name}: no session in the {_DAYS_CLOSED_MAX} days after {moment}")

    def _between(self, first: date, last: date) -> Iterator[Session]:
        for ahead in range((last - first).days + 1):
            found = self.session(first + timedelta(days=ahead))
            if found is not None:
                yield found

    def _session(self, day: date) -> Session | None:
        hours: Hours | None = self._table.exceptions.get(day, self._table.regular)
        if hours is None or not self.is_open_on(day):
            return None
        opened, closed = self._moment(day, hours.open), self._moment(day, hours.close)
        return Session(day, opened, closed, is_short=hours != self._table.regular)

    def _moment(self, day: date, minutes: int) -> datetime:
        """A wall time of the exchange, in minutes after the midnight with which the day begins."""
        days, minutes = divmod(minutes, 24 * 60)
        wall = datetime.combine(day + days * _DAY, time(*divmod(minutes, 60)), self.zone)
        return wall.astimezone(UTC)


@cache
def calendar_of(exchange: str) -> ExchangeCalendar:
    """The calendar of an exchange, or of that name; fails with the names that there are."""
    tables = load_tables()
    for name, exchanges in CALENDARS.items():
        if exchange == name or exchange in exchanges:
            return ExchangeCalendar(name, tables[name])
    raise UnknownExchangeError(exchange)
