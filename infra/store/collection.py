"""Collection runs as the data farmer tells them, and what is stored of a series' sessions."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ARRAY, DateTime, RowMapping, bindparam, select
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.bar_replay import BarFilter
from infra.store.bars import moment_of
from infra.store.newest import put_newest
from infra.store.tables import collection_outcomes, collection_runs
from schemas.collection import ChunkCollected, CollectionRun, SymbolCollected

_ROWS_MAX = 10_000
_BY_SESSION = sql(
    "SELECT width_bucket(start, :opens) - 1 AS place, count(DISTINCT start) AS bars FROM bars"
    " WHERE contract_id = :contract_id AND bar_size_seconds = :size AND price_kind = :price_kind AND basis = :basis"
    " AND start >= :first AND start < :last AND (CAST(:since AS timestamptz) IS NULL OR ingest_time > :since)"
    " GROUP BY place"
).bindparams(
    bindparam("opens", type_=ARRAY(DateTime(timezone=True))),
    bindparam("since", type_=DateTime(timezone=True)),
)

_DAILY = sql(
    "SELECT count(DISTINCT start) FROM (SELECT start, max(start) OVER () AS newest FROM bars"
    " WHERE contract_id = :contract_id AND bar_size_seconds = 86400"
    " AND price_kind = 'trades' AND basis = 'split_adjusted') AS daily WHERE start >= newest - interval '1 year'"
)


async def put_runs(connection: AsyncConnection, events: Sequence[CollectionRun]) -> None:
    """The newest state of each run."""
    rows = [event.model_dump(exclude={"type"}) | {"kind": event.kind, "state": event.state.value} for event in events]
    await put_newest(connection, collection_runs, rows)


async def put_outcomes(connection: AsyncConnection, events: Sequence[SymbolCollected | ChunkCollected]) -> None:
    """What each run did about each symbol; the chunks before it are the data farmer's own memory."""
    rows = [
        event.model_dump(exclude={"type", "gaps"})
        | {"outcome": event.outcome.value, "gaps": [gap.model_dump(mode="json") for gap in event.gaps]}
        for event in events
        if isinstance(event, SymbolCollected)
    ]
    await put_newest(connection, collection_outcomes, rows)


async def bars_by_session(
    connection: AsyncConnection, wanted: BarFilter, opens: Sequence[datetime], *, since: datetime | None
) -> dict[int, int]:
    """How many bars of one series are stored from one of the moments to the next, by its place; seen after `since`."""
    assert wanted.contract_ids is not None
    (contract_id,) = wanted.contract_ids
    found = await connection.execute(
        _BY_SESSION,
        {
            "opens": list(opens),
            "contract_id": contract_id,
            "size": wanted.bar_size_seconds,
            "price_kind": wanted.price_kind,
            "basis": wanted.basis,
            "first": moment_of(wanted.start_us),
            "last": moment_of(wanted.end_us),
            "since": since,
        },
    )
    return {row.place: row.bars for row in found}


async def daily_bars(connection: AsyncConnection, contract_id: int) -> int:
    """How many sessions have a daily bar of trades, in the year up to the newest of them."""
    counted = await connection.scalar(_DAILY, {"contract_id": contract_id})
    return int(counted or 0)


async def outcomes_of(connection: AsyncConnection, run_id: str) -> Sequence[RowMapping]:
    """What a run did about each symbol, by name."""
    table = collection_outcomes
    rows = await connection.execute(
        select(table).where(table.c.run_id == run_id).order_by(table.c.symbol).limit(_ROWS_MAX)
    )
    return rows.mappings().all()
