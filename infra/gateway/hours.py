"""When a contract trades: its time zone and the open and close of its sessions, as the gateway describes them."""

import functools
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from infra.calendars.calendar import ExchangeCalendar, UnknownExchangeError, calendar_of
from infra.calendars.calendar import Session as TradingDay
from schemas.validation import Contract

_DEFAULT_SESSION = (time(9, 30), time(16, 0))
_OLD_ZONE_NAMES = {"EST": "America/New_York", "EST5EDT": "America/New_York", "AET": "Australia/Sydney", "": "UTC"}
_SATURDAY = 5

Session = tuple[datetime, datetime]
"""Open and close, in UTC."""


@functools.lru_cache(maxsize=256)
def zone(name: str) -> ZoneInfo:
    """The zone behind IB's name for it (`US/Eastern`, `EST5EDT`, `EST (Eastern Standard Time)`)."""
    short = name.split(" ", 1)[0]
    return ZoneInfo(_OLD_ZONE_NAMES.get(short, short))


@functools.lru_cache(maxsize=1024)
def _listed(liquid_hours: str) -> dict[date, tuple[time, time] | None]:
    """Sessions by day from `20130228:0930-20130228:1600;20130301:CLOSED`; None where closed."""
    sessions: dict[date, tuple[time, time] | None] = {}
    for part in filter(None, liquid_hours.split(";")):
        day, opening = _day(part[:8]), part[9:13]
        if "CLOSED" in part:
            sessions.setdefault(day, None)
        else:
            sessions[day] = (_time(opening), _time(part[-4:]))
    return sessions


def _day(text: str) -> date:
    return date(int(text[:4]), int(text[4:6]), int(text[6:8]))


def _time(text: str) -> time:
    return time(int(text[:2]), int(text[2:]))


@functools.lru_cache(maxsize=1024)
def _usual(liquid_hours: str) -> tuple[time, time]:
    seen = Counter(session for session in _listed(liquid_hours).values() if session is not None)
    return seen.most_common(1)[0][0] if seen else _DEFAULT_SESSION


def calendar(contract: Contract) -> ExchangeCalendar | None:
    """The calendar that the contract's exchange keeps; None where we have none."""
    return _calendar(contract.primary_exchange or contract.exchange)


@functools.lru_cache(maxsize=256)
def _calendar(exchange: str) -> ExchangeCalendar | None:
    try:
        return calendar_of(exchange)
    except UnknownExchangeError:
        return None


def trading_days(contract: Contract, first: date, last: date) -> list[TradingDay]:
    """Every session of some days, by the exchange's calendar; without one, every weekday is taken for one."""
    if (known := calendar(contract)) is not None:
        return known.sessions(first, last)
    days = (first + timedelta(days=ahead) for ahead in range((last - first).days + 1))
    weekdays = (day for day in days if day.weekday() < _SATURDAY)
    closed = {day for day, hours in _listed(contract.liquid_hours).items() if hours is None}
    return [TradingDay(day, *session(contract, day)) for day in weekdays if day not in closed]


def session(contract: Contract, day: date) -> Session:
    """Open and close of the contract's session on `day`: as the gateway lists it, else by the exchange's calendar.

    Where there is neither, as on its other days.
    """
    listed = _listed(contract.liquid_hours).get(day)
    if listed is None and (known := calendar(contract)) is not None and (found := known.session(day)) is not None:
        return found.open, found.close
    opening, closing = listed or _usual(contract.liquid_hours)
    place = zone(contract.time_zone)
    begin = datetime.combine(day, opening, place)
    end = datetime.combine(day, closing, place)
    if end <= begin:
        end = datetime.combine(day + timedelta(days=1), closing, place)
    return begin.astimezone(UTC), end.astimezone(UTC)


def sessions(contract: Contract, start: datetime, end: datetime) -> Iterator[Session]:
    """The parts of sessions that lie between two moments."""
    place = zone(contract.time_zone)
    around = timedelta(days=1)
    for each in trading_days(contract, start.astimezone(place).date() - around, end.astimezone(place).date() + around):
        if _listed(contract.liquid_hours).get(each.day, _DEFAULT_SESSION) is not None:
            opening, closing = session(contract, each.day)
            opening, closing = max(opening, start), min(closing, end)
            if opening < closing:
                yield opening, closing
