"""When a contract trades: its time zone and the open and close of its sessions, as the gateway describes them."""

import functools
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

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


def session(contract: Contract, day: date) -> Session:
    """Open and close of the contract's session on `day`; where the day is not listed, those of its other days."""
    opening, closing = _listed(contract.liquid_hours).get(day) or _usual(contract.liquid_hours)
    place = zone(contract.time_zone)
    begin = datetime.combine(day, opening, place)
    end = datetime.combine(day, closing, place)
    if end <= begin:
        end = datetime.combine(day + timedelta(days=1), closing, place)
    return begin.astimezone(UTC), end.astimezone(UTC)


def sessions(contract: Contract, start: datetime, end: datetime) -> Iterator[Session]:
    """The parts of weekday sessions that lie between two moments; holidays are not known and come too."""
    place = zone(contract.time_zone)
    day = start.astimezone(place).date() - timedelta(days=1)
    while day <= end.astimezone(place).date():
        if day.weekday() < _SATURDAY and _listed(contract.liquid_hours).get(day, _DEFAULT_SESSION) is not None:
            opening, closing = session(contract, day)
            opening, closing = max(opening, start), min(closing, end)
            if opening < closing:
                yield opening, closing
        day += timedelta(days=1)
