"""How many bars there are of each session: counted in the database, by where sessions begin."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ARRAY, BigInteger, DateTime, bindparam
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.market import Basis, PriceKind


@dataclass(frozen=True)
class StoredSeries:
    """What bars have in common that are counted together; revisions of a bar count once."""

    contract_id: int
    bar_size_seconds: int
    price_kind: str = PriceKind.TRADES.value
    basis: str = Basis.SPLIT_ADJUSTED.value


_SERIES = (
    "contract_id = :contract_id AND bar_size_seconds = :bar_size_seconds"
    " AND price_kind = :price_kind AND basis = :basis"
)
_SPAN = sql(
    f"SELECT (SELECT start FROM bars WHERE {_SERIES} ORDER BY start LIMIT 1),"
    f" (SELECT end_time FROM bars WHERE {_SERIES} ORDER BY start DESC LIMIT 1)"
)
_NEXT_SIZE = sql(
    "SELECT min(bar_size_seconds) FROM bars WHERE contract_id = :contract_id AND bar_size_seconds > :bar_size_seconds"
    " AND price_kind = :price_kind AND basis = :basis"
)
_SIZES_MAX = 100
_COUNTS = sql(
    "SELECT width_bucket(start, CAST(:opens AS timestamptz[])) AS session, count(*) AS bars"
    f" FROM (SELECT DISTINCT start FROM bars WHERE {_SERIES} AND start >= :first AND start < :last) AS starts"
    " GROUP BY 1"
).bindparams(bindparam("opens", type_=ARRAY(DateTime(timezone=True))))
_LATEST = sql(
    "SELECT ids.contract_id, (SELECT start FROM bars WHERE bars.contract_id = ids.contract_id"
    " AND bar_size_seconds = :bar_size_seconds AND price_kind = :price_kind AND basis = :basis"
    " ORDER BY start DESC LIMIT 1) AS start"
    " FROM unnest(CAST(:contract_ids AS bigint[])) AS ids (contract_id)"
).bindparams(bindparam("contract_ids", type_=ARRAY(BigInteger)))


async def stored_span(connection: AsyncConnection, series: StoredSeries) -> tuple[datetime, datetime] | None:
    """Start of the first bar and end of the last one."""
    first, last = (await connection.execute(_SPAN, vars(series))).one()
    return None if first is None else (first, last)


async def stored_sizes(connection: AsyncConnection, contract_id: int) -> list[int]:
    """Of which sizes there are bars that would be counted, in seconds."""
    found: list[int] = []
    while len(found) < _SIZES_MAX:
        # the next greater size, again and again, by the index: reading all bars takes minutes
        series = StoredSeries(contract_id, found[-1] if found else 0)
        following = await connection.scalar(_NEXT_SIZE, vars(series))
        if following is None:
            break
        found.append(following)
    return found


async def bars_by_session(
    connection: AsyncConnection, series: StoredSeries, opens: Sequence[datetime], until: datetime
) -> dict[int, int]:
    """How many bars begin from each of `opens` to the next one, by its number from 0; the last one lasts to `until`."""
    if not opens:
        return {}
    values = {**vars(series), "opens": list(opens), "first": opens[0], "last": until}
    rows = await connection.execute(_COUNTS, values)
    return {row.session - 1: row.bars for row in rows}


async def latest_starts(
    connection: AsyncConnection, contract_ids: Sequence[int], bar_size_seconds: int
) -> dict[int, datetime]:
    """Start of the last bar of each contract that has any."""
    series = vars(StoredSeries(0, bar_size_seconds)) | {"contract_ids": list(contract_ids)}
    series.pop("contract_id")
    rows = await connection.execute(_LATEST, series)
    return {row.contract_id: row.start for row in rows if row.start is not None}
