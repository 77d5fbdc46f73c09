"""Pages of stored bars, as PostgreSQL writes them: the newest revision of each, as known at a moment."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Integer, Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on

from infra.store.questions import Compiled, Question, as_json, place
from infra.store.tables import bars
from schemas.market import Basis, PriceKind


@dataclass(frozen=True)
class BarRange:
    """Which bars. `start` is included, `end` is not; `as_of`: only what was known then."""

    contract_id: int
    bar_size_seconds: int
    start: datetime | None = None
    end: datetime | None = None
    source: str | None = None
    as_of: datetime | None = None
    price_kind: str = PriceKind.TRADES.value
    basis: str = Basis.SPLIT_ADJUSTED.value

    @property
    def given(self) -> dict[str, Any]:
        """What is asked for, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


_OF_A_SERIES = ("contract_id", "bar_size_seconds", "price_kind", "basis")
_BOUNDS = {
    "start": lambda: bars.c.start >= place("start"),
    "end": lambda: bars.c.start < place("end"),
    "source": lambda: bars.c.source == place("source"),
    "as_of": lambda: bars.c.ingest_time <= place("as_of", bars.c.ingest_time.type),
}


def _of_the_series(statement: Select[Any]) -> Select[Any]:
    return statement.where(*(bars.c[name] == place(name) for name in _OF_A_SERIES))


def newest_start(wanted: BarRange) -> Question:
    """`start` of the last stored bar of a series, null when there is none."""
    return _newest_start().ask(**wanted.given)


@cache
def _newest_start() -> Compiled:
    return Compiled(_of_the_series(select(func.max(bars.c.start).label("start"))))


def bar_page(wanted: BarRange, fields: tuple[str, ...], limit: int) -> Question:
    """One bar for each start, its newest revision; oldest first from `start`, or the newest ones before `end`.

    One more than `limit` is read; `start` beside. Bars come newest first when there is no `start`.
    """
    bounds = tuple(name for name in _BOUNDS if name in wanted.given)
    return _bars(fields, bounds).ask(**wanted.given, limit=limit + 1)


@cache
def _bars(fields: tuple[str, ...], bounds: tuple[str, ...]) -> Compiled:
    start = bars.c.start.asc() if "start" in bounds else bars.c.start.desc()
    newest = (start, bars.c.revision.desc(), bars.c.ingest_time.desc(), bars.c.source)
    statement = _of_the_series(select(bars, bars.c.end_time.label("end"))).where(*(_BOUNDS[name]() for name in bounds))
    found = statement.ext(distinct_on(bars.c.start)).order_by(*newest).limit(place("limit", Integer))
    return as_json(found, fields, beside=["start"])
