"""Stored bars by column, page after page: the newest revision of each as known at a moment, and nothing else."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import polars as pl
from sqlalchemy import ARRAY, DateTime, bindparam
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store import bar_copy
from infra.store.coverage import StoredSeries
from schemas.moments import to_datetime, to_microseconds

PAGE_COLUMNS = (
    "start_us", "end_us", "ingest_us", "open", "high", "low", "close", "volume", "source", "revision", "late"
)  # fmt: skip
_BEGIN = sql("SELECT 1")  # SQLAlchemy opens the transaction with its first statement: the driver alone would not
_READ_AS = {
    "start_us": "start",
    "end_us": "end_time",
    "ingest_us": "ingest_time",
    "revision": "revision::bigint",
    "source": bar_copy.numbered("source"),
}
_COLUMNS = ", ".join(_READ_AS.get(name, name) for name in PAGE_COLUMNS)
_PAGE = (
    # no DISTINCT: sorting all revisions would take as long as reading them, and most bars have one
    f"SELECT {_COLUMNS} FROM bars"
    " WHERE contract_id = $1 AND bar_size_seconds = $2 AND price_kind = $3 AND basis = $4"
    " AND start >= $5 AND start < $6 AND ingest_time <= $7 AND ($8::text IS NULL OR source = $8)"
    " ORDER BY start LIMIT $9"
)


@dataclass(frozen=True)
class HistoryRange:
    """`start` is included, `end` is not; `known_by` fixes what counts, so that pages fit together."""

    series: StoredSeries
    start: datetime
    end: datetime
    known_by: datetime
    source: str | None = None


class Page(NamedTuple):
    """Bars, oldest first, and where the next page begins; None: this is the last one."""

    bars: pl.DataFrame
    next_start: datetime | None


async def history_page(connection: AsyncConnection, wanted: HistoryRange, limit: int) -> Page:
    """The first bars of the range, `limit` at most, less where bars have several revisions; columns of PAGE_COLUMNS."""
    series = wanted.series
    arguments = (
        series.contract_id, series.bar_size_seconds, series.price_kind, series.basis,
        wanted.start, wanted.end, wanted.known_by, wanted.source, limit + 1,
    )  # fmt: skip
    copied = bytearray()

    async def take(part: bytes) -> None:
        copied.extend(part)

    await connection.execute(_BEGIN)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_from_query(_PAGE, *arguments, output=take, format="binary")
    return await asyncio.to_thread(_page, copied, limit + 1)


def _page(copied: bytearray, asked_for: int) -> Page:
    rows = bar_copy.read(copied, PAGE_COLUMNS)
    next_start = None
    if len(rows) == asked_for:  # of the last start there may be more revisions
        last = int(rows["start_us"][-1])
        next_start = to_datetime(last)
        rows = rows.filter(pl.col("start_us") < last)
    if (rows["start_us"].diff() == 0).any():
        rows = rows.sort("start_us", "revision", "ingest_us", "source", descending=[False, False, False, True])
        rows = rows.unique("start_us", keep="last", maintain_order=True)
    return Page(rows, next_start)


_CLOSES = sql(
    "SELECT before.* FROM unnest(CAST(:moments AS timestamptz[])) AS moments (moment) CROSS JOIN LATERAL ("
    " SELECT end_time, ingest_time, close FROM bars WHERE contract_id = :contract_id"
    " AND bar_size_seconds = :bar_size_seconds AND price_kind = :price_kind AND basis = :basis"
    " AND start < moment AND end_time <= moment AND ingest_time <= :known_by"
    " ORDER BY start DESC, revision DESC, ingest_time DESC LIMIT 1) AS before ORDER BY end_time"
).bindparams(bindparam("moments", type_=ARRAY(DateTime(timezone=True))))


async def closes_before(
    connection: AsyncConnection, series: StoredSeries, moments: Sequence[datetime], known_by: datetime
) -> pl.DataFrame:
    """The last bar before each moment: `end_us`, `ingest_us` and `close`, sorted, each once."""
    rows = await connection.execute(_CLOSES, {**vars(series), "moments": list(moments), "known_by": known_by})
    found = [(to_microseconds(row.end_time), to_microseconds(row.ingest_time), row.close) for row in rows]
    schema = {"end_us": pl.Int64, "ingest_us": pl.Int64, "close": pl.Float64}
    return pl.DataFrame(found, schema=schema, orient="row").unique(maintain_order=True)
