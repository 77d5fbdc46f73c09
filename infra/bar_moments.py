"""Moments and bar sizes as people write them: a day, a month, a year, a moment, or so far back; 5s, 1m, 1h, 1d."""

import contextlib
import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.calendars.calendar import UnknownExchangeError, calendar_of
from infra.errors import UsageError
from schemas.validation import Contract

_BACK = re.compile(r"(\d{1,5})\s*(h|d|w|mo|y)", re.IGNORECASE)
_MONTH = re.compile(r"(\d{4})-(\d{2})")
_YEAR = re.compile(r"\d{4}")
_DAY = timedelta(days=1)
_FIRST_YEAR, _LAST_YEAR = 1900, 2100
EXAMPLES = "2013-02-28, 2013-02, 2013, 2013-02-28T14:30:00Z, 30d, 12w, 6mo, 3y or 48h"
UNIT_SECONDS = {"d": 86_400, "h": 3600, "m": 60, "s": 1}
LiveBarSize = Literal["5s", "1m", "5m", "1h", "1d"]
LIVE_BAR_SECONDS = {text: int(text[:-1]) * UNIT_SECONDS[text[-1]] for text in get_args(LiveBarSize)}
"""Of what live bars are put together to, before a strategy sees them."""


def bar_size_text(size: timedelta) -> str:
    """5s, 1m, 1h or 1d: in the largest unit that divides it."""
    seconds = int(size.total_seconds())
    unit = next(unit for unit, length in UNIT_SECONDS.items() if seconds % length == 0)
    return f"{seconds // UNIT_SECONDS[unit]}{unit}"


class MomentUnreadableError(UsageError):
    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text[:60]!r} is no date or moment: write for instance {EXAMPLES}")


def zone_of(contract: Contract) -> ZoneInfo:
    """Of the contract's exchange; UTC when nobody knows it."""
    return exchange_zone(contract.primary_exchange or contract.exchange, contract.time_zone)


def exchange_zone(exchange: str, otherwise: str = "UTC") -> ZoneInfo:
    """By the exchange's calendar; without one, the zone of that name."""
    with contextlib.suppress(UnknownExchangeError):
        return calendar_of(exchange).zone
    with contextlib.suppress(ZoneInfoNotFoundError, ValueError):
        return ZoneInfo(otherwise)
    return ZoneInfo("UTC")


def first_moment(name: str, text: str, zone: ZoneInfo, latest: datetime) -> datetime:
    """Where a time begins: a day, month or year at its midnight; `30d` is counted back from `latest`."""
    return _span(name, text, zone, latest)[0]


def last_moment(name: str, text: str, zone: ZoneInfo, latest: datetime) -> datetime:
    """Where a time ends: a day, month or year is included whole."""
    return _span(name, text, zone, latest)[1]


def _span(name: str, text: str, zone: ZoneInfo, latest: datetime) -> tuple[datetime, datetime]:
    """First and last moment of what the text names; a moment is both."""
    text = text.strip()
    try:
        if back := _BACK.fullmatch(text):
            return (_back(int(back[1]), back[2].lower(), latest),) * 2
        if _YEAR.fullmatch(text):
            return _days(date(int(text), 1, 1), date(int(text) + 1, 1, 1), zone)
        if month := _MONTH.fullmatch(text):
            first = date(int(month[1]), int(month[2]), 1)
            return _days(first, (first + timedelta(days=32)).replace(day=1), zone)
        if len(text) in (len("20130228"), len("2013-02-28")):
            day = date.fromisoformat(text)
            return _days(day, day + _DAY, zone)
        moment = datetime.fromisoformat(text)
        _bounded(moment.date())
        return (moment.replace(tzinfo=moment.tzinfo or zone).astimezone(UTC),) * 2
    except (ValueError, OverflowError) as error:
        raise MomentUnreadableError(name, text) from error


def _days(first: date, following: date, zone: ZoneInfo) -> tuple[datetime, datetime]:
    _bounded(first)
    return tuple(datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, following))  # type: ignore[return-value] # two in, two out


def _bounded(day: date) -> None:
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError(f"the year {day.year} is not one of a market")


def _back(count: int, unit: str, latest: datetime) -> datetime:
    if unit in ("h", "d", "w"):
        found = latest - count * {"h": timedelta(hours=1), "d": _DAY, "w": 7 * _DAY}[unit]
    else:
        months = latest.year * 12 + latest.month - 1 - count * (12 if unit == "y" else 1)
        last_day = (date(months // 12, months % 12 + 1, 28) + timedelta(days=4)).replace(day=1) - _DAY
        found = latest.replace(year=last_day.year, month=last_day.month, day=min(latest.day, last_day.day))
    _bounded(found.date())
    return found
