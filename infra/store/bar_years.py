"""The partitions of bars, one a year: which series they hold, how large they are, and their end."""

from collections.abc import Sequence

from sqlalchemy import RowMapping
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.errors import UsageError
from infra.store.tables import FIRST_YEAR, LAST_YEAR

_SIZES = sql(
    "SELECT relname AS partition, pg_total_relation_size(pg_class.oid) AS bytes, greatest(reltuples, 0)::bigint AS rows"
    " FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = 'bars'::regclass ORDER BY relname"
)


def partition(year: int) -> str:
    """The table of a year; UsageError for a year that has none of its own."""
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise UsageError(f"{year} has no partition of its own: name a year from {FIRST_YEAR} to {LAST_YEAR}")
    return f"bars_{year}"


async def series_of(connection: AsyncConnection, year: int) -> Sequence[tuple[int, int]]:
    """Contract and bar size of what there is, in order."""
    # a loose index scan: the next greater pair, again and again, instead of reading all bars
    step = f"SELECT contract_id, bar_size_seconds FROM {partition(year)}"
    order = "ORDER BY contract_id, bar_size_seconds LIMIT 1"
    walk = sql(
        f"WITH RECURSIVE pairs AS (({step} {order}) UNION ALL SELECT following.* FROM pairs,"
        f" LATERAL ({step} WHERE (contract_id, bar_size_seconds) > (pairs.contract_id, pairs.bar_size_seconds) {order})"
        " AS following) SELECT contract_id, bar_size_seconds FROM pairs"
    )
    return [(row.contract_id, row.bar_size_seconds) for row in await connection.execute(walk)]


async def years_with_bars(connection: AsyncConnection) -> list[int]:
    """Years of which there is any bar."""
    probes = " UNION ALL ".join(
        f"SELECT {year} AS year WHERE EXISTS (SELECT FROM {partition(year)})"
        for year in range(FIRST_YEAR, LAST_YEAR + 1)
    )
    return sorted(row.year for row in await connection.execute(sql(probes)))


async def lock(connection: AsyncConnection, year: int) -> None:
    """Until the end of the transaction nobody else adds, changes or takes away a row."""
    await connection.execute(sql(f"LOCK TABLE {partition(year)} IN SHARE ROW EXCLUSIVE MODE"))


async def drop_rows(connection: AsyncConnection, year: int) -> None:
    """All rows of the year; their space on the disk is free at the commit."""
    await connection.execute(sql(f"TRUNCATE {partition(year)}"))


async def sizes(connection: AsyncConnection) -> Sequence[RowMapping]:
    """Bytes with indexes, and about how many rows, of each partition."""
    rows: Sequence[RowMapping] = (await connection.execute(_SIZES)).mappings().all()
    return rows
