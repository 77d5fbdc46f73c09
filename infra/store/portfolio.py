"""Positions and round trips, as the portfolio writes them."""

from collections.abc import Collection, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Table, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store import tables
from schemas.account import Position

Essence = tuple[Decimal, Decimal, Decimal, Decimal, int]


def essence(position: Position) -> Essence:
    """What two positions are compared by: all but when they were told."""
    return (
        position.quantity,
        position.average_price,
        position.realised_pnl,
        position.commission,
        position.fills,
    )


async def positions(connection: AsyncConnection) -> dict[tuple[str, int], Essence]:
    """What is stored of every account and contract."""
    table = tables.positions.c
    query = select(
        table.account_id,
        table.contract_id,
        table.quantity,
        table.average_price,
        table.realised_pnl,
        table.commission,
        table.fills,
    )
    return {(row[0], row[1]): (row[2], row[3], row[4], row[5], row[6]) for row in await connection.execute(query)}


async def save_position(connection: AsyncConnection, position: Position) -> None:
    values = position.model_dump(exclude={"type", "account_id", "contract_id"})
    statement = insert(tables.positions).values(
        account_id=position.account_id, contract_id=position.contract_id, **values
    )
    key = [tables.positions.c.account_id, tables.positions.c.contract_id]
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


async def steps_known(connection: AsyncConnection) -> dict[tuple[str, int], int]:
    """How many executions of every account and contract the history has."""
    table = tables.position_history.c
    query = select(table.account_id, table.contract_id, func.count()).group_by(table.account_id, table.contract_id)
    return {(row[0], row[1]): row[2] for row in await connection.execute(query)}


async def save_trades(connection: AsyncConnection, changed: Sequence[dict[str, Any]], gone: Collection[str]) -> None:
    """Write round trips that are new or different, and remove those that a correction has undone."""
    table = tables.trades
    if gone:
        await connection.execute(table.delete().where(table.c.trade_id.in_(gone)))
    await _put(connection, table, changed)


async def save_steps(
    connection: AsyncConnection, account_id: str, changed: Sequence[dict[str, Any]], gone: Collection[str]
) -> None:
    """The same for the history of a position."""
    table = tables.position_history
    if gone:
        condition = table.c.account_id == account_id, table.c.execution_id.in_(gone)
        await connection.execute(table.delete().where(*condition))
    await _put(connection, table, changed)


async def _put(connection: AsyncConnection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    if not rows:
        return
    statement = insert(table)
    key = list(table.primary_key.columns)
    newer = {column.name: statement.excluded[column.name] for column in table.c if column not in key}
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=newer), rows)
