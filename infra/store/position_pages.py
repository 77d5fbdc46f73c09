"""What the routes about positions read: what was ever held of a symbol, its round trips, what executions made of it."""

from collections.abc import Collection, Sequence
from functools import cache
from typing import Any

from sqlalchemy import RowMapping, Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.queries import Slice
from infra.store.questions import Compiled, Question, as_json, paged, place
from infra.store.tables import decisions, intents, position_history, positions, trades

_ROWS_MAX = 10_000


async def positions_of(connection: AsyncConnection, account_id: str, symbol: str | None = None) -> Sequence[RowMapping]:
    """Everything that an account holds or has held, or what goes by one name in it."""
    statement = select(positions).where(positions.c.account_id == account_id)
    if symbol is not None:
        statement = statement.where(positions.c.symbol == symbol)
    ordered = statement.order_by(positions.c.symbol, positions.c.contract_id).limit(_ROWS_MAX)
    rows: Sequence[RowMapping] = (await connection.execute(ordered)).mappings().all()
    return rows


def trade_page(part: Slice, fields: tuple[str, ...], account_id: str, contract_id: int) -> Question:
    """Round trips of one contract, the latest first."""
    return _of_contract(trades, "closed_at", "trade_id", fields).ask(
        **part.values, account_id=account_id, contract_id=contract_id
    )


def step_page(part: Slice, fields: tuple[str, ...], account_id: str, contract_id: int) -> Question:
    """The position after each execution that counts, the latest first."""
    return _of_contract(position_history, "event_time", "execution_id", fields).ask(
        **part.values, account_id=account_id, contract_id=contract_id
    )


@cache
def _of_contract(table: Table, moment: str, name: str, fields: tuple[str, ...]) -> Compiled:
    columns = table.c
    latest = select(table).order_by(columns[moment].desc(), columns[name].desc())
    narrowed = latest.where(columns.account_id == place("account_id"), columns.contract_id == place("contract_id"))
    return as_json(paged(narrowed), fields)


async def known_intents(connection: AsyncConnection, intent_ids: Sequence[str]) -> dict[str, Any]:
    """What was proposed under these ids, as it was published."""
    statement = select(intents.c.intent_id, intents.c.body).where(intents.c.intent_id.in_(intent_ids))
    return {row.intent_id: row.body for row in await connection.execute(statement)}


async def decided(connection: AsyncConnection, intent_ids: Collection[str]) -> set[str]:
    """Those on which risk has decided."""
    statement = select(decisions.c.intent_id).where(decisions.c.intent_id.in_(intent_ids))
    return set((await connection.execute(statement)).scalars())
