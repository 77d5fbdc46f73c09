"""What the HTTP services read of the symbol registry."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, RowMapping, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.queries import Slice
from infra.store.tables import bars, symbols
from schemas.validation import SymbolState

_MEANINGS_MAX = 100


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

    def condition(self) -> ColumnElement[bool]:
        table = symbols.c
        state = self.state or None
        parts = [table.state == state if state else table.state != SymbolState.REMOVED.value]
        if self.search:
            names = (table.symbol, table.name, table.contract["name"].astext)
            parts.append(or_(*(name.ilike(_like(self.search)) for name in names)))
        if self.exchange:
            listed = table.contract["primary_exchange"].astext
            parts.append(or_(table.exchange == self.exchange, listed == self.exchange))
        if self.stale_before:
            parts += [table.state == SymbolState.VALID.value, table.last_verified < self.stale_before]
        if self.tag:
            parts.append(table.tags.contains([self.tag]))
        parts += [
            column == value for column, value in ((table.currency, self.currency), (table.kind, self.kind)) if value
        ]
        return and_(*parts)


async def symbol_page(
    connection: AsyncConnection, part: Slice, wanted: SymbolFilter
) -> tuple[Sequence[RowMapping], int]:
    """Entries by symbol, one more than the limit, and how many there are in all."""
    condition = wanted.condition()
    statement = select(symbols, func.count().over().label("total")).where(condition)
    ordered = statement.order_by(symbols.c.symbol, symbols.c.symbol_id)
    rows: Sequence[RowMapping] = (await connection.execute(part.of(ordered))).mappings().all()
    if rows:
        return rows, int(rows[0]["total"])
    total = await connection.scalar(select(func.count()).select_from(symbols).where(condition)) if part.offset else 0
    return rows, int(total or 0)


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
