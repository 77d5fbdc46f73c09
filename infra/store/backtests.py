"""Backtests from request to result, and every trial."""

from collections.abc import Sequence

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.newest import Row, put_once
from infra.store.strategies import put_code
from infra.store.tables import backtest_jobs, trials
from schemas.backtest import BacktestCanceled, BacktestFinished, BacktestRequested, Trial

_SUBJECT = {"type", "event_time", "ingest_time", "backtest_id", "request", "succeeded"}
JobEvent = BacktestRequested | BacktestCanceled | BacktestFinished


async def put_jobs(connection: AsyncConnection, events: Sequence[JobEvent]) -> None:
    """Each event fills the fields it knows: requests and results come in any order, and each as often as it likes."""
    for event in events:
        row = _known(event)
        statement = insert(backtest_jobs).values(**row)
        changed = {name: statement.excluded[name] for name in row if name != "backtest_id"}
        await connection.execute(statement.on_conflict_do_update(index_elements=["backtest_id"], set_=changed))
        if isinstance(event, BacktestFinished) and event.code_hash:
            await put_code(connection, event.code_hash, event.request.strategy, event.event_time)


def _known(event: JobEvent) -> Row:
    if isinstance(event, BacktestCanceled):
        return {"backtest_id": event.backtest_id, "canceled_by": event.by, "canceled_at": event.event_time}
    if isinstance(event, BacktestFinished):
        result = event.model_dump(mode="json", exclude=_SUBJECT)
        return {**_known(event.request), **result, "succeeded": event.succeeded, "finished_at": event.event_time}
    return {
        "backtest_id": event.backtest_id,
        "strategy": event.strategy,
        "parameters": event.parameters,
        "symbols": list(event.symbols),
        "request": event.model_dump(mode="json"),
        "requested_by": event.requested_by,
        "requested_at": event.event_time,
    }


async def put_trials(connection: AsyncConnection, events: Sequence[Trial]) -> None:
    rows = [_trial(event) for event in events]
    await put_once(connection, trials, rows)
    firsts = {event.code_hash: event for event in sorted(events, key=lambda event: event.event_time, reverse=True)}
    for event in firsts.values():
        await put_code(connection, event.code_hash, event.strategy, event.event_time)


def _trial(event: Trial) -> Row:
    row = event.model_dump(exclude={"type", "start", "end", "returns_days", "returns_first", "returns_ppm"})
    returns = {"days": event.returns_days, "first": event.returns_first, "ppm": list(event.returns_ppm)}
    bars = {"first_bar": event.start, "last_bar": event.end}
    return {**row, **bars, "symbols": list(event.symbols), "returns": returns}
