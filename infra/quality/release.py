"""A bar that a person lets through: as it was, and newer than whatever came in its place meanwhile."""

from datetime import datetime

from sqlalchemy import RowMapping, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.quality.findings import bar_of
from infra.store.tables import bars
from schemas.market import Bar, HistoricalBar


async def released_bar(connection: AsyncConnection, finding: RowMapping, now: datetime) -> Bar | HistoricalBar:
    """The bar that a finding keeps, to be published; NotReleasableError when it can never be true."""
    bar = bar_of(finding["quarantine_id"], finding["record"], now)
    same_key = (
        bars.c.contract_id == bar.contract_id,
        bars.c.bar_size_seconds == int(bar.bar_size.total_seconds()),
        bars.c.start == bar.start,
        bars.c.price_kind == bar.price_kind.value,
        bars.c.basis == bar.basis.value,
    )
    known = await connection.scalar(select(func.max(bars.c.revision)).where(*same_key))
    return bar if known is None else bar.revised(revision=known + 1)
