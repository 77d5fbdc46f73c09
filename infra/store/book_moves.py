"""What moves risk's books: updates of orders, executions, limits and trading states, each folded once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select, tuple_
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.tables import book_executions, book_positions, reservations, risk_events, risk_limits, trading_state
from schemas.account import LimitBreached, RiskLimits, TradingMode, TradingState
from schemas.orders import OrderUpdate

ZERO = Decimal(0)


@dataclass(frozen=True)
class KnownExecution:
    """The newest revision of an execution in the books; revision 0 when only its commission has come."""

    revision: int = 0
    order_id: str = ""
    contract_id: int | None = None
    quantity: Decimal = ZERO
    price: Decimal = ZERO
    executed_at: datetime | None = None
    commission_revision: int = 0
    commission: Decimal = ZERO

    @property
    def charged(self) -> Decimal:
        """What it cost; an execution that was busted, or has not come, costs nothing."""
        return self.commission if self.quantity else ZERO


@dataclass(frozen=True)
class HeldPosition:
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    realised_pnl: Decimal = ZERO


async def reservation(connection: AsyncConnection, order_id: str) -> Any | None:
    """The row of an order's reservation, or None."""
    return (await connection.execute(select(reservations).where(reservations.c.order_id == order_id))).first()


async def save_reservation(connection: AsyncConnection, order_id: str, changes: dict[str, Any], now: datetime) -> None:
    released = now if changes["state"] == "released" else None
    statement = reservations.update().where(reservations.c.order_id == order_id)
    await connection.execute(statement.values(**changes, released_at=released))


async def adopt_reservation(connection: AsyncConnection, told: OrderUpdate, price: Decimal, now: datetime) -> None:
    """Count an order in that was not placed by us."""
    values = {
        "order_id": told.order_id,
        "account_id": told.account_id,
        "strategy_id": told.strategy_id,
        "contract_id": told.contract_id,
        "side": told.side.value,
        "quantity": told.quantity,
        "told": ZERO,
        "filled": ZERO,
        "remaining": told.quantity,
        "price": price,
        "sequence": 0,
        "state": "open",
        "opened_at": now,
    }
    await connection.execute(insert(reservations).values(values).on_conflict_do_nothing())
    position = {"account_id": told.account_id, "contract_id": told.contract_id, "price": price or None}
    statement = insert(book_positions).values(**position, quantity=ZERO, average_price=ZERO, realised_pnl=ZERO)
    await connection.execute(statement.on_conflict_do_nothing())


async def filled_of(connection: AsyncConnection, order_id: str) -> Decimal:
    """Quantity, without sign, of the executions of an order that moved the books."""
    query = sql("SELECT coalesce(sum(abs(quantity)), 0) FROM book_executions WHERE order_id = :order_id")
    return Decimal(await connection.scalar(query, {"order_id": order_id}) or 0)


async def execution(connection: AsyncConnection, account_id: str, execution_id: str) -> KnownExecution:
    """What the books know of an execution."""
    query = select(book_executions).where(
        book_executions.c.account_id == account_id, book_executions.c.execution_id == execution_id
    )
    row = (await connection.execute(query)).first()
    if row is None:
        return KnownExecution()
    return KnownExecution(
        row.revision,
        row.order_id,
        row.contract_id,
        row.quantity,
        row.price,
        row.executed_at,
        row.commission_revision,
        row.commission,
    )


async def save_execution(
    connection: AsyncConnection, account_id: str, execution_id: str, known: KnownExecution
) -> None:
    values = {
        "revision": known.revision,
        "order_id": known.order_id,
        "contract_id": known.contract_id,
        "quantity": known.quantity,
        "price": known.price,
        "executed_at": known.executed_at,
        "commission_revision": known.commission_revision,
        "commission": known.commission,
    }
    statement = insert(book_executions).values(account_id=account_id, execution_id=execution_id, **values)
    key = [book_executions.c.account_id, book_executions.c.execution_id]
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


async def is_last(connection: AsyncConnection, account_id: str, contract_id: int, place: tuple[datetime, str]) -> bool:
    """Whether no execution of the contract happened after `place`."""
    table = book_executions.c
    query = select(table.execution_id).where(
        table.account_id == account_id,
        table.contract_id == contract_id,
        tuple_(table.executed_at, table.execution_id) > tuple_(*place),
    )
    return (await connection.execute(query.limit(1))).first() is None


async def executions_of(connection: AsyncConnection, account_id: str, contract_id: int) -> Sequence[Any]:
    """All executions of a contract in the books."""
    table = book_executions.c
    query = select(book_executions).where(
        table.account_id == account_id, table.contract_id == contract_id, table.revision > 0
    )
    return (await connection.execute(query)).all()


async def position(connection: AsyncConnection, account_id: str, contract_id: int) -> HeldPosition:
    table = book_positions.c
    query = select(table.quantity, table.average_price, table.realised_pnl).where(
        table.account_id == account_id, table.contract_id == contract_id
    )
    row = (await connection.execute(query)).first()
    return HeldPosition(*row) if row is not None else HeldPosition()


async def save_position(
    connection: AsyncConnection, account_id: str, contract_id: int, held: HeldPosition, price: Decimal | None
) -> None:
    """Write what is held; a `price` becomes the one that the contract is valued at."""
    values: dict[str, Any] = {
        "quantity": held.quantity,
        "average_price": held.average_price,
        "realised_pnl": held.realised_pnl,
    }
    if price is not None:
        values["price"] = price
    statement = insert(book_positions).values(account_id=account_id, contract_id=contract_id, **values)
    key = [book_positions.c.account_id, book_positions.c.contract_id]
    await connection.execute(statement.on_conflict_do_update(index_elements=key, set_=values))


async def save_limits(connection: AsyncConnection, limits: RiskLimits) -> None:
    """Keep a version of a scope's limits; a version that is known is never changed."""
    values = {
        "scope": limits.scope,
        "version": limits.version,
        "limits": limits.model_dump(mode="json"),
        "event_time": limits.event_time,
        "ingest_time": limits.ingest_time,
    }
    await connection.execute(insert(risk_limits).values(values).on_conflict_do_nothing())


async def state_of(connection: AsyncConnection, scope: str) -> TradingState | None:
    row = (await connection.execute(select(trading_state).where(trading_state.c.scope == scope))).first()
    if row is None:
        return None
    return TradingState(
        scope=row.scope,
        mode=TradingMode(row.mode),
        reason=row.reason,
        by=row.by,
        event_time=row.event_time,
        ingest_time=row.ingest_time,
    )


async def save_state(connection: AsyncConnection, state: TradingState) -> None:
    values = {
        "mode": state.mode.value,
        "reason": state.reason,
        "by": state.by,
        "event_time": state.event_time,
        "ingest_time": state.ingest_time,
    }
    statement = insert(trading_state).values(scope=state.scope, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=[trading_state.c.scope], set_=values))


async def save_breach(connection: AsyncConnection, breach: LimitBreached) -> None:
    values = breach.model_dump(exclude={"type"})
    await connection.execute(insert(risk_events).values(values).on_conflict_do_nothing())
