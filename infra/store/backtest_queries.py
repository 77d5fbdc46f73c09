"""Backtests as callers ask about them: pages, what of one key is open, and one strategy over all of its runs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, any_, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.queries import Slice
from infra.store.tables import backtest_jobs, trials

JOBS_MAX = 10_000
_SERIES = {"fills", "round_trips", "equity", "benchmark", "prices", "request"}
_SUMMARY = [column for column in backtest_jobs.c if column.name not in _SERIES]


@dataclass(frozen=True)
class Wanted:
    """Which backtests; None means all."""

    strategy: str | None = None
    state: str | None = None
    symbol: str | None = None
    requested_by: str | None = None


async def backtest_page(connection: AsyncConnection, part: Slice, wanted: Wanted) -> Sequence[RowMapping]:
    """Backtests without their fills and equity, the latest request first."""
    jobs = backtest_jobs.c
    statement = select(*_SUMMARY).order_by(func.coalesce(jobs.requested_at, jobs.finished_at).desc(), jobs.backtest_id)
    for column, value in (
        (jobs.strategy, wanted.strategy),
        (jobs.state, wanted.state),
        (jobs.requested_by, wanted.requested_by),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.symbol is not None:
        statement = statement.where(literal(wanted.symbol) == any_(jobs.symbols))
    rows: Sequence[RowMapping] = (await connection.execute(part.of(statement))).mappings().all()
    return rows


async def states_of(connection: AsyncConnection, requested_by: str, named: Collection[str]) -> dict[str, str]:
    """The state of each backtest that somebody's request waits for, and of those that are named, as far as known."""
    jobs = backtest_jobs.c
    open_ones = (jobs.requested_by == requested_by) & (jobs.state == "requested")
    statement = select(jobs.backtest_id, jobs.state).where(or_(open_ones, jobs.backtest_id.in_(list(named))))
    rows = (await connection.execute(statement.limit(JOBS_MAX))).all()
    return {row.backtest_id: row.state for row in rows}


async def jobs_of(connection: AsyncConnection, strategy: str) -> Sequence[RowMapping]:
    """The newest backtests of a strategy: when, over what, how they ended, and their figures."""
    jobs = backtest_jobs.c
    columns = (jobs.backtest_id, jobs.symbols, jobs.state, jobs.finished_at, jobs.bars, jobs.metrics)
    statement = select(*columns).where(jobs.strategy == strategy).order_by(jobs.finished_at.desc().nulls_last())
    return (await connection.execute(statement.limit(JOBS_MAX))).mappings().all()


async def trials_of(connection: AsyncConnection, strategy: str) -> int:
    """How often it was ever run, searches and their folds among it."""
    statement = select(func.count()).select_from(trials).where(trials.c.strategy == strategy)
    return int((await connection.execute(statement)).scalar_one())
