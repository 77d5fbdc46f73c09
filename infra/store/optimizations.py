"""Searches for parameters: kept from request to result, and listed."""

from collections.abc import Sequence

from sqlalchemy import RowMapping, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.newest import Row
from infra.store.queries import Slice
from infra.store.tables import optimizations
from schemas.research import (
    OptimizationCanceled,
    OptimizationContinued,
    OptimizationFinished,
    OptimizationRequested,
)

_RESULT = {"error", "code_hash", "data_digest", "trials_hash", "seconds", "result", "warnings"}
_SUMMARY = [column for column in optimizations.c if column.name not in {"request", "result"}]
SearchEvent = OptimizationRequested | OptimizationContinued | OptimizationCanceled | OptimizationFinished


async def put_optimizations(connection: AsyncConnection, events: Sequence[SearchEvent]) -> None:
    """Each event fills the fields it knows, in any order, and each as often as it likes."""
    for event in events:
        row = _known(event)
        statement = insert(optimizations).values(**row)
        changed = {name: statement.excluded[name] for name in row if name != "optimization_id"}
        await connection.execute(statement.on_conflict_do_update(index_elements=["optimization_id"], set_=changed))


def _known(event: SearchEvent) -> Row:
    if isinstance(event, OptimizationCanceled):
        return {"optimization_id": event.optimization_id, "canceled_by": event.by, "canceled_at": event.event_time}
    if isinstance(event, OptimizationContinued):
        return _known(event.request)
    if isinstance(event, OptimizationFinished):
        result = event.model_dump(mode="json", include=_RESULT)
        return {**_known(event.request), **result, "succeeded": event.succeeded, "finished_at": event.event_time}
    return {
        "optimization_id": event.optimization_id,
        "strategy": event.backtest.strategy,
        "symbols": list(event.backtest.symbols),
        "method": event.method,
        "request": event.model_dump(mode="json"),
        "requested_by": event.requested_by,
        "requested_at": event.event_time,
    }


async def optimization_page(
    connection: AsyncConnection, part: Slice, *, strategy: str | None = None, state: str | None = None
) -> Sequence[RowMapping]:
    """Searches without their results, the latest request first."""
    statement = select(*_SUMMARY).order_by(
        func.coalesce(optimizations.c.requested_at, optimizations.c.finished_at).desc(),
        optimizations.c.optimization_id,
    )
    if strategy is not None:
        statement = statement.where(optimizations.c.strategy == strategy)
    if state is not None:
        statement = statement.where(optimizations.c.state == state)
    rows: Sequence[RowMapping] = (await connection.execute(part.of(statement))).mappings().all()
    return rows


async def optimization(connection: AsyncConnection, optimization_id: str) -> RowMapping | None:
    """One search with everything that is known of it."""
    statement = select(optimizations).where(optimizations.c.optimization_id == optimization_id)
    row: RowMapping | None = (await connection.execute(statement)).mappings().one_or_none()
    return row
