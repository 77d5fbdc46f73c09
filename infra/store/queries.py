"""What the HTTP services read. Nothing here writes; every list has an end, every value is a bound parameter."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.tables import (
    account_states,
    backtest_jobs,
    bars,
    collection_runs,
    decisions,
    intents,
    order_events,
    orders,
    risk_limits,
    trading_state,
)

_MEANINGS_MAX = 20
_ROWS_MAX = 1000
FINAL_STATUSES = ("FILLED", "CANCELED", "REJECTED", "EXPIRED")


@dataclass(frozen=True)
class Slice:
    """Which rows of a list: one more than `limit` is read, to tell whether there is a next page."""

    limit: int
    offset: int = 0

    @property
    def values(self) -> dict[str, int]:
        """For the places of a statement that is `paged`."""
        return {"limit": self.limit + 1, "offset": self.offset}

    def of(self, statement: Select[Any]) -> Select[Any]:
        return statement.limit(self.limit + 1).offset(self.offset)


async def _rows(connection: AsyncConnection, statement: Select[Any]) -> Sequence[RowMapping]:
    rows: Sequence[RowMapping] = (await connection.execute(statement)).mappings().all()
    return rows


async def _row(connection: AsyncConnection, statement: Select[Any]) -> RowMapping | None:
    row: RowMapping | None = (await connection.execute(statement)).mappings().first()
    return row


# bars


async def bar_sizes(connection: AsyncConnection, contract_id: int) -> Sequence[int]:
    """Which sizes of bars there are of a contract, in seconds."""
    # a loose index scan: the next greater size, again and again, instead of reading all bars
    size = bars.c.bar_size_seconds
    found: list[int] = []
    while len(found) < _MEANINGS_MAX:
        statement = select(func.min(size)).where(bars.c.contract_id == contract_id, size > (found[-1] if found else 0))
        following = await connection.scalar(statement)
        if following is None:
            break
        found.append(following)
    return found


# collection


async def collection_page(connection: AsyncConnection, part: Slice) -> Sequence[RowMapping]:
    """Collection runs, the latest first."""
    latest = (collection_runs.c.ingest_time.desc(), collection_runs.c.run_id)
    return await _rows(connection, part.of(select(collection_runs).order_by(*latest)))


async def collection_run(connection: AsyncConnection, run_id: str) -> RowMapping | None:
    return await _row(connection, select(collection_runs).where(collection_runs.c.run_id == run_id))


# backtests

_JOB_SUMMARY = [
    column
    for column in backtest_jobs.c
    if column.name not in {"fills", "round_trips", "equity", "benchmark", "prices", "request"}
]


async def backtest(connection: AsyncConnection, backtest_id: str) -> RowMapping | None:
    """One backtest with everything that is known of it."""
    return await _row(connection, select(backtest_jobs).where(backtest_jobs.c.backtest_id == backtest_id))


async def backtest_summaries(connection: AsyncConnection, backtest_ids: Sequence[str]) -> Sequence[RowMapping]:
    return await _rows(connection, select(*_JOB_SUMMARY).where(backtest_jobs.c.backtest_id.in_(backtest_ids)))


# trading


async def order(connection: AsyncConnection, order_id: str) -> RowMapping | None:
    return await _row(connection, select(orders).where(orders.c.order_id == order_id))


async def own_working_orders(connection: AsyncConnection, most: int, **wanted: str) -> Sequence[RowMapping]:
    """Orders that SCIZOR has placed and that may still fill, the oldest first; `wanted`: values of columns."""
    mine = orders.c.decision_id.is_not(None) & orders.c.status.not_in(FINAL_STATUSES)
    statement = select(orders).where(mine, *(orders.c[name] == value for name, value in wanted.items()))
    return await _rows(connection, statement.order_by(orders.c.created_at).limit(most))


async def events_of_order(
    connection: AsyncConnection, order_id: str, part: Slice | None = None
) -> Sequence[RowMapping]:
    """Every update of an order, the first one first."""
    statement = select(order_events).where(order_events.c.order_id == order_id).order_by(order_events.c.sequence)
    return await _rows(connection, part.of(statement) if part is not None else statement.limit(_ROWS_MAX))


async def intent(connection: AsyncConnection, intent_id: str) -> RowMapping | None:
    return await _row(connection, select(intents).where(intents.c.intent_id == intent_id))


async def decision_of(connection: AsyncConnection, intent_id: str) -> RowMapping | None:
    return await _row(connection, select(decisions).where(decisions.c.intent_id == intent_id))


async def decision_page(
    connection: AsyncConnection, part: Slice, *, approved: bool | None = None, account_id: str | None = None
) -> Sequence[RowMapping]:
    """What risk decided, the newest first."""
    statement = select(decisions).order_by(decisions.c.decided_at.desc(), decisions.c.decision_id)
    if approved is not None:
        statement = statement.where(decisions.c.approved.is_(approved))
    if account_id is not None:
        statement = statement.where(decisions.c.account_id == account_id)
    return await _rows(connection, part.of(statement))


async def accounts(connection: AsyncConnection) -> Sequence[RowMapping]:
    """What the broker last said about each account."""
    return await _rows(connection, select(account_states).order_by(account_states.c.account_id).limit(_ROWS_MAX))


async def limits_in_force(connection: AsyncConnection, scope: str | None = None) -> Sequence[RowMapping]:
    """The highest version of the limits of each scope, or of one."""
    statement = select(risk_limits).ext(distinct_on(risk_limits.c.scope))
    if scope is not None:
        statement = statement.where(risk_limits.c.scope == scope)
    return await _rows(
        connection, statement.order_by(risk_limits.c.scope, risk_limits.c.version.desc()).limit(_ROWS_MAX)
    )


async def trading_states(connection: AsyncConnection, scope: str | None = None) -> Sequence[RowMapping]:
    """The state that risk holds for each scope, or for one."""
    statement = select(trading_state).order_by(trading_state.c.scope)
    if scope is not None:
        statement = statement.where(trading_state.c.scope == scope)
    return await _rows(connection, statement.limit(_ROWS_MAX))
