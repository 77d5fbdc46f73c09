"""What the HTTP services read of the symbol registry."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import ARRAY, ColumnElement, RowMapping, Text, and_, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.queries import Slice
from infra.store.questions import Compiled, Question, as_json, paged, place
from infra.store.tables import bars, symbols
from schemas.validation import SymbolState

_MEANINGS_MAX = 100
_s = symbols.c
_NAMES = (_s.symbol, _s.name, _s.contract["name"].astext)
_LISTED = _s.contract["primary_exchange"].astext
_VALID = _s.state == SymbolState.VALID.value


def _like(text: str) -> str:
    """A pattern that finds `text` anywhere, its wildcards taken literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"%{escaped}%"


@dataclass(frozen=True)
class SymbolFilter:
    """Which entries; None means all. Removed ones only if that state is asked for."""

    search: str | None = None
    """Part of a symbol or of a name."""
    state: str | None = None
    exchange: str | None = None
    """Where it is listed, or looked for."""
    currency: str | None = None
    kind: str | None = None
    tag: str | None = None
    stale_before: datetime | None = None
    """Valid ones that were last verified before this moment."""

    @property
    def given(self) -> dict[str, Any]:
        """What is asked for, by name, as the places of `_CONDITIONS` take it."""
        given = {name: value for name, value in vars(self).items() if value}
        return (
            given | ({"search": _like(self.search)} if self.search else {}) | ({"tag": [self.tag]} if self.tag else {})
        )


_CONDITIONS: Mapping[str, Callable[[], ColumnElement[bool]]] = {
    "search": lambda: or_(
        *(name.ilike(place("search", Text)) for name in (_s.symbol, _s.name, _s.contract["name"].astext))
    ),
    "state": lambda: _s.state == place("state"),
    "exchange": lambda: or_(
        _s.exchange == place("exchange"), _s.contract["primary_exchange"].astext == place("exchange")
    ),
    "currency": lambda: _s.currency == place("currency"),
    "kind": lambda: _s.kind == place("kind"),
    "tag": lambda: _s.tags.contains(place("tag", ARRAY(Text))),
    "stale_before": lambda: and_(_VALID, _s.last_verified < place("stale_before")),
}


def symbol_page(part: Slice, wanted: SymbolFilter, fields: tuple[str, ...], old: datetime) -> Question:
    """Entries by symbol, one more than the limit, `total` beside; `stale`: valid, and last verified before `old`."""
    return _symbols(fields, tuple(wanted.given)).ask(**part.values, **wanted.given, old=old)


def symbol_count(wanted: SymbolFilter) -> Question:
    """How many entries there are in all."""
    return _count(tuple(wanted.given)).ask(**wanted.given)


@cache
def _symbols(fields: tuple[str, ...], given: tuple[str, ...]) -> Compiled:
    stale = and_(_VALID, func.coalesce(_s.last_verified < place("old"), true())).label("stale")
    statement = select(symbols, stale, func.count().over().label("total")).where(_condition(given))
    return as_json(paged(statement.order_by(_s.symbol, _s.symbol_id)), fields, beside=["total"])


@cache
def _count(given: tuple[str, ...]) -> Compiled:
    return Compiled(select(func.count().label("total")).select_from(symbols).where(_condition(given)))


def _condition(given: tuple[str, ...]) -> ColumnElement[bool]:
    parts = [_CONDITIONS[name]() for name in given]
    return and_(*parts) if "state" in given else and_(_s.state != SymbolState.REMOVED.value, *parts)


async def entries_of(connection: AsyncConnection, symbol: str) -> Sequence[RowMapping]:
    """All entries that go by this ticker, removed ones too."""
    statement = select(symbols).where(symbols.c.symbol == symbol).order_by(symbols.c.symbol_id)
    rows: Sequence[RowMapping] = (await connection.execute(statement.limit(_MEANINGS_MAX))).mappings().all()
    return rows


async def stored_bars(connection: AsyncConnection, contract_id: int) -> Sequence[RowMapping]:
    """How many bars there are of each size, and from when to when."""
    size = bars.c.bar_size_seconds
    statement = (
        select(
            size,
            func.count().label("bars"),
            func.min(bars.c.start).label("first"),
            func.max(bars.c.start).label("last"),
        )
        .where(bars.c.contract_id == contract_id)
        .group_by(size)
        .order_by(size.desc())
    )
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows
