"""Makes sessions.txt from the package exchange_calendars: `python -m infra.calendars.generate`.

Only this program and its test import that package (extra `test`): it loads pandas, which no service should.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from infra.calendars.calendar import SATURDAY
from infra.calendars.table import MINUTES_A_DAY, text_of

TABLE = Path(__file__).with_name("sessions.txt")
FIRST, LAST = date(1990, 1, 1), date(2037, 12, 31)

_CME_PAUSE = 16 * 60  # the library has futures trade round the clock; index futures rest from 16:00 to 17:00

# name, zone, regular hours
_MARKETS = (
    ("XNYS", "America/New_York", 9 * 60 + 30, 16 * 60),
    ("XASX", "Australia/Sydney", 10 * 60, 16 * 60),
    ("CMES", "America/Chicago", 17 * 60 - MINUTES_A_DAY, _CME_PAUSE),
)


def table_text() -> str:
    """The whole file."""
    lines = ["# Made by `python -m infra.calendars.generate`; the form stands in table.py"]
    for name, zone, opens, closes in _MARKETS:
        lines.append(f"{name} {zone} {text_of(opens)} {text_of(closes)} {FIRST} {LAST}")
        by_year: dict[int, list[str]] = defaultdict(list)
        for day, text in _exceptions(name, ZoneInfo(zone), opens, closes):
            by_year[day.year].append(f"{day:%m%d}{text}")
        lines += [f"{year} {' '.join(days)}" for year, days in sorted(by_year.items())]
    return "\n".join(lines) + "\n"


def _exceptions(name: str, zone: ZoneInfo, opens: int, closes: int) -> Iterator[tuple[date, str]]:
    known = _library_hours(name, zone)
    assert all(day.weekday() < SATURDAY for day in known), f"{name} trades on a weekend: the form cannot say so"
    for ahead in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=ahead)
        if day.weekday() >= SATURDAY:
            continue
        if day not in known:
            yield day, ""
            continue
        opened, closed = known[day][0], min(known[day][1], closes)
        assert opened == opens, f"{name} opens at {text_of(opened)} on {day}: the form cannot say so"
        if closed != closes:
            yield day, f"<{text_of(closed)}"


def _library_hours(name: str, zone: ZoneInfo) -> dict[date, tuple[int, int]]:
    import exchange_calendars  # loads pandas

    schedule: Any = exchange_calendars.get_calendar(name, start=FIRST.isoformat(), end=LAST.isoformat()).schedule
    return {
        row.Index.date(): (_minutes(row.Index.date(), row.open, zone), _minutes(row.Index.date(), row.close, zone))
        for row in schedule[["open", "close"]].itertuples()
    }


def _minutes(day: date, moment: Any, zone: ZoneInfo) -> int:
    """Minutes of the wall clock after the day's midnight."""
    wall: datetime = moment.to_pydatetime().astimezone(zone)
    return (wall.date() - day).days * MINUTES_A_DAY + wall.hour * 60 + wall.minute


if __name__ == "__main__":
    TABLE.write_text(table_text(), encoding="ascii")
