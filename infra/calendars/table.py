"""The committed table of holidays and half days, and the markets that follow a rule.

`sessions.txt`: a heading `name zone open close first-day last-day`, then a line for each year with what is not regular:
`1225` closed, `1129<1300` closes at 13:00. A minus before a time is the evening before: `-0700` is 17:00 of yesterday.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from importlib import resources

MINUTES_A_DAY = 24 * 60

# Index futures of Sydney keep the holidays of its shares: their day session begins earlier and ends later.
_SNFE_OPENS_EARLIER, _SNFE_CLOSES_LATER = 10, 30


@dataclass(frozen=True, slots=True)
class Hours:
    """Wall times of the exchange, in minutes after midnight; negative on the evening before."""

    open: int
    close: int


@dataclass(frozen=True, slots=True)
class CalendarTable:
    """Regular hours, and the days that differ; None is a day without a session."""

    zone: str
    regular: Hours
    first: date
    last: date
    exceptions: dict[date, Hours | None]
    weekends: bool = False


@cache
def load_tables() -> dict[str, CalendarTable]:
    """All calendars by name: those of the file, and those by rule."""
    text = resources.files("infra.calendars").joinpath("sessions.txt").read_text(encoding="ascii")
    tables = dict(parse_tables(text))
    shares = tables["XASX"]
    days = {day: _futures_hours(hours) for day, hours in shares.exceptions.items()}
    tables["SNFE"] = replace(shares, regular=Hours(9 * 60 + 50, 16 * 60 + 30), exceptions=days)
    forex = Hours(17 * 60 + 15 - MINUTES_A_DAY, 17 * 60)  # Sunday evening to Friday afternoon, a pause each day
    tables["FOREX"] = CalendarTable("America/New_York", forex, date.min, date.max, {})
    tables["CRYPTO"] = CalendarTable("UTC", Hours(0, MINUTES_A_DAY), date.min, date.max, {}, weekends=True)
    return tables


def parse_tables(text: str) -> Iterator[tuple[str, CalendarTable]]:
    table: CalendarTable | None = None
    for line in text.splitlines():
        head, *rest = line.split()
        if head.startswith("#"):
            continue
        if not head[:4].isdigit():
            zone, opens, closes, first, last = rest
            hours = Hours(minutes_of(opens), minutes_of(closes))
            table = CalendarTable(zone, hours, date.fromisoformat(first), date.fromisoformat(last), {})
            yield head, table
            continue
        assert table is not None, "a heading comes before the years"
        table.exceptions.update(_exception(int(head), each, table.regular) for each in rest)


def minutes_of(text: str) -> int:
    """0930 as minutes; -0700 is seven hours before midnight."""
    digits = text.removeprefix("-")
    count = int(digits[:2]) * 60 + int(digits[2:])
    return -count if text.startswith("-") else count


def text_of(minutes: int) -> str:
    hour, minute = divmod(abs(minutes), 60)
    return f"{'-' if minutes < 0 else ''}{hour:02}{minute:02}"


def _exception(year: int, text: str, regular: Hours) -> tuple[date, Hours | None]:
    day, _, closes = text.partition("<")
    return date(year, int(day[:2]), int(day[2:])), Hours(regular.open, minutes_of(closes)) if closes else None


def _futures_hours(shares: Hours | None) -> Hours | None:
    if shares is None:
        return None
    return Hours(shares.open - _SNFE_OPENS_EARLIER, shares.close + _SNFE_CLOSES_LATER)
