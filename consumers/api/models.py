"""What bodies and answers have in common: nothing unknown comes in, times carry a zone, pages have an end."""

import difflib
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    Strict,
    model_validator,
)

from consumers.api.problems import InvalidError
from consumers.api.unstorable import refuse_unstorable
from infra.bar_moments import UNIT_SECONDS, bar_size_text
from infra.errors import UsageError
from infra.store.columns_of_tables import plain
from infra.symbol_names import parse_symbol
from schemas.event import UtcTime

PAGE_MAX = 1000
OFFSET_MAX = 1_000_000
YEARS_MAX = 60
FIRST_YEAR, LAST_YEAR = 1900, 2099

T = TypeVar("T")
D = TypeVar("D", bound=date)


class Body(BaseModel):
    """What a caller sends: known fields only, and a hint where a name is nearly right."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    @model_validator(mode="before")
    @classmethod
    def _no_unknown_fields(cls, given: Any) -> Any:
        refuse_unstorable(given)
        known = list(cls.model_fields)
        for name in given if isinstance(given, Mapping) else ():
            if name not in known:
                close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
                hint = f" (did you mean {close[0]}?)" if close else ""
                raise ValueError(f"unknown field {str(name)[:50]!r}{hint}: known are {', '.join(known)}")
        return given


class Answer(BaseModel):
    """What a service says: decimals as text, times as RFC 3339 in UTC."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Page(Answer, Generic[T]):
    """One page of a list."""

    items: list[T]
    next_offset: int | None = Field(None, description="`offset` of the next page; null on the last one.")


class Accepted(Answer):
    """A request that was published; what becomes of it is told under `location`."""

    id: str
    location: str


Exact = Annotated[Decimal, AfterValidator(plain), PlainSerializer("{:f}".format, return_type=str)]
"""Money or an amount as it is stored; said as text without needless zeros."""


def spelt(names: tuple[str, ...]) -> tuple[str, ...]:
    """Each symbol once, as the registry spells it."""
    try:
        return tuple(dict.fromkeys(str(parse_symbol(each)) for each in names))
    except UsageError as error:
        raise ValueError(str(error)) from error


SymbolNames = Annotated[
    tuple[Annotated[str, Field(max_length=64)], ...],
    Field(min_length=1, max_length=1000, examples=[["AAPL", "MSFT"]]),
    AfterValidator(spelt),
]

_SIZE = re.compile(r"(\d{1,6})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)", re.IGNORECASE)


def _bar_size(given: Any) -> Any:
    if isinstance(given, timedelta):
        return given
    if not isinstance(given, str):
        raise ValueError("write 5s, 1m, 1h or 1d")
    if match := _SIZE.fullmatch(given.strip()):
        return timedelta(seconds=int(match.group(1)) * UNIT_SECONDS[match.group(2)[0].lower()])
    return given


def _bar_size_bounds(size: timedelta) -> timedelta:
    if not timedelta(seconds=1) <= size <= timedelta(days=31) or size.microseconds:
        raise ValueError("a bar lasts whole seconds, from 1s to 31d: write 5s, 1m, 1h or 1d")
    return size


BarSize = Annotated[
    timedelta,
    BeforeValidator(_bar_size, json_schema_input_type=str),
    AfterValidator(_bar_size_bounds),
    PlainSerializer(bar_size_text, return_type=str),
]
"""How long a bar lasts: `5s`, `1m`, `1h`, `1d`."""


def _one_or_more(given: Any) -> Any:
    return given if isinstance(given, list | tuple) else (given,)


def _smallest_first(sizes: tuple[timedelta, ...]) -> tuple[timedelta, ...]:
    return tuple(sorted(set(sizes)))


BarSizes = Annotated[
    tuple[BarSize, ...],
    Field(min_length=1, max_length=5),
    BeforeValidator(_one_or_more, json_schema_input_type=str | list[str]),
    AfterValidator(_smallest_first),
    PlainSerializer(lambda sizes: [*map(bar_size_text, sizes)] if sizes[1:] else bar_size_text(sizes[0])),
]
"""One size, or several; the smallest first."""

Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
"""In bodies: neither 0 for false nor true for 1."""

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.{0,30}", re.DOTALL)


def _with_date_and_time(given: Any) -> Any:
    """A bare number would be taken for seconds since 1970, also when a year is meant."""
    if isinstance(given, datetime) or (isinstance(given, str) and _MOMENT.fullmatch(given)):
        return given
    raise ValueError("write RFC 3339 with a time zone, for instance 2013-02-28T14:30:00Z")


def _as_a_date(given: Any) -> Any:
    """Neither a number nor a moment: both would be taken for some day."""
    if isinstance(given, date) or (isinstance(given, str) and _DATE.fullmatch(given)):
        return given
    raise ValueError("write a date, for instance 2013-02-28")


def _lived_through(when: D) -> D:
    if not FIRST_YEAR <= when.year <= LAST_YEAR:
        raise ValueError(f"no market has lived in {when.year}: from {FIRST_YEAR} to {LAST_YEAR}")
    return when


Time = Annotated[UtcTime, BeforeValidator(_with_date_and_time), AfterValidator(_lived_through)]
"""A moment that a caller names."""
Day = Annotated[date, BeforeValidator(_as_a_date), AfterValidator(_lived_through)]
"""A date that a caller names."""

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description=f"Rows of a page, at most {PAGE_MAX}.")]
Offset = Annotated[int, Query(ge=0, le=OFFSET_MAX, description="Rows to skip: `next_offset` of the page before.")]
Moment = Annotated[Time | None, Query(description="RFC 3339 with a time zone, for instance 2013-02-28T14:30:00Z.")]


def page_of(items: list[T], limit: int, offset: int) -> Page[T]:
    """A page of rows of which one more than `limit` was asked for."""
    more = len(items) > limit
    return Page[T](items=items[:limit], next_offset=offset + limit if more else None)


def order_of_times(start: datetime | None, end: datetime | None) -> None:
    """Refuse a range that ends before it starts, or that no market has lived through."""
    if start is None or end is None:
        return
    if end <= start:
        raise InvalidError("end must be after start")
    if end - start > timedelta(days=366 * YEARS_MAX):
        raise InvalidError(f"the range is longer than {YEARS_MAX} years: ask for less")
