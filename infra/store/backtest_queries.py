"""Backtests as callers ask about them: pages, what of one key is open, and one strategy over all of its runs."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache

from sqlalchemy import JSON, RowMapping, Text, any_, cast, func, or_, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.queries import Slice
from infra.store.questions import Compiled, Question, as_json, paged, place
from infra.store.tables import backtest_jobs, trials

JOBS_MAX = 10_000
_STANDING = ("backtest_id", "state")


@dataclass(frozen=True)
class Wanted:
    """Which backtests; None means all."""

    strategy: str | None = None
    state: str | None = None
    symbol: str | None = None
    requested_by: str | None = None


def backtest_page(part: Slice, wanted: Wanted, fields: tuple[str, ...]) -> Question:
    """Backtests without their fills and equity, the latest request first; `backtest_id` and `state` beside."""
    given = {name: value for name, value in vars(wanted).items() if value is not None}
    return _backtests(fields, tuple(given)).ask(**part.values, **given)


@cache
def _backtests(fields: tuple[str, ...], given: tuple[str, ...]) -> Compiled:
    jobs = backtest_jobs.c
    latest = (func.coalesce(jobs.requested_at, jobs.finished_at).desc(), jobs.backtest_id)
    conditions = (
        place("symbol") == any_(jobs.symbols) if name == "symbol" else jobs[name] == place(name) for name in given
    )
    return as_json(paged(select(backtest_jobs).where(*conditions).order_by(*latest)), fields, _STANDING)


def backtest(backtest_id: str, fields: tuple[str, ...]) -> Question:
    """One backtest with everything that is known of it; `backtest_id` and `state` beside."""
    return _backtest(fields).ask(backtest_id=backtest_id)


@cache
def _backtest(fields: tuple[str, ...]) -> Compiled:
    jobs = backtest_jobs.c
    zulu = func.replace(cast(func.nullif(jobs.equity, cast("[]", JSONB)), Text), "+00:00", "Z")  # moments and numbers
    others = [column for column in jobs if column.name != "equity"]
    statement = select(*others, cast(zulu, JSON).label("equity")).where(jobs.backtest_id == place("backtest_id"))
    return as_json(statement, fields, _STANDING)


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
