"""What orders have reserved in risk's books, and how their updates change that."""

from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.book_moves import ZERO
from infra.store.tables import reservations
from schemas.orders import OrderUpdate


async def reservation(connection: AsyncConnection, order_id: str) -> Any | None:
    """The row of an order's reservation, or None."""
    return (await connection.execute(select(reservations).where(reservations.c.order_id == order_id))).first()


async def save_reservation(connection: AsyncConnection, order_id: str, changes: dict[str, Any], now: datetime) -> None:
    released = now if changes["state"] == "released" else None
    statement = reservations.update().where(reservations.c.order_id == order_id)
    await connection.execute(statement.values(**changes, released_at=released))


# an update names none; of a contract that nobody knows the account's own is the best guess
_CURRENCY = sql(
    "SELECT coalesce((SELECT currency FROM book_positions WHERE account_id = :account AND contract_id = :contract),"
    " (SELECT currency FROM symbols WHERE contract_id = :contract ORDER BY symbol_id LIMIT 1),"
    " (SELECT currency FROM book_accounts WHERE account_id = :account), '')"
)


async def adopt_reservation(connection: AsyncConnection, told: OrderUpdate, price: Decimal, now: datetime) -> None:
    """Count an order in that was not placed by us."""
    values = {
        "order_id": told.order_id,
        "account_id": told.account_id,
        "strategy_id": told.strategy_id,
        "contract_id": told.contract_id,
        "symbol": told.symbol,
        "currency": await connection.scalar(_CURRENCY, {"account": told.account_id, "contract": told.contract_id}),
        "side": told.side.value,
        "quantity": told.quantity,
        "told": ZERO,
        "filled": ZERO,
        "remaining": told.quantity,
        "price": price,
        "order_type": told.order_type.value,
        "limit_price": told.limit_price,
        "stop_price": told.stop_price,
        "parent_id": told.parent_id,
        "oca_group": told.oca_group,
        "changes": [],
        "rejected": False,
        "sequence": 0,
        "state": "open",
        "opened_at": now,
    }
    await connection.execute(insert(reservations).values(values).on_conflict_do_nothing())


async def filled_of(connection: AsyncConnection, order_id: str) -> Decimal:
    """Quantity, without sign, of the executions of an order that moved the books."""
    query = sql("SELECT coalesce(sum(abs(quantity)), 0) FROM book_executions WHERE order_id = :order_id")
    return Decimal(await connection.scalar(query, {"order_id": order_id}) or 0)
