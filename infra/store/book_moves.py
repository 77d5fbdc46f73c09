"""What moves risk's books: updates of orders, executions, limits and trading states, each folded once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.tables import book_executions, book_positions, reservations, risk_events, risk_limits, trading_state
from schemas.account import LimitBreached, RiskLimits, TradingMode, TradingState
from schemas.orders import OrderUpdate

ZERO = Decimal(0)


_AFFECTED = sql("""
SELECT r.*, e.revision AS e_revision, e.order_id AS e_order_id, e.contract_id AS e_contract_id,
       e.quantity AS e_quantity, e.price AS e_price, e.executed_at AS e_executed_at,
       e.commission_revision AS e_commission_revision, e.commission AS e_commission,
       p.quantity AS p_quantity, p.average_price AS p_average, p.realised_pnl AS p_realised,
       NOT EXISTS (
           SELECT FROM book_executions later WHERE later.account_id = :account AND later.contract_id = :contract
              AND (later.executed_at, later.execution_id) > (:time, :execution)
       ) AS last
FROM (SELECT) one
LEFT JOIN book_executions e ON e.account_id = :account AND e.execution_id = :execution
LEFT JOIN book_positions p ON p.account_id = :account AND p.contract_id = :contract
LEFT JOIN reservations r ON r.order_id = coalesce(nullif(:order, ''), e.order_id)
""")
_FOLD_EXECUTION = """executed AS (
    INSERT INTO book_executions (account_id, execution_id, revision, order_id, contract_id, quantity, price,
                                 commission_revision, commission, executed_at)
    VALUES (:account, :execution, :revision, :order, :contract, :quantity, :price, :commission_revision, :commission,
            :executed_at)
    ON CONFLICT (account_id, execution_id) DO UPDATE SET
        revision = excluded.revision, order_id = excluded.order_id, contract_id = excluded.contract_id,
        quantity = excluded.quantity, price = excluded.price, commission_revision = excluded.commission_revision,
        commission = excluded.commission, executed_at = excluded.executed_at
)"""
_FOLD_POSITION = """held AS (
    INSERT INTO book_positions (account_id, contract_id, quantity, average_price, realised_pnl, price)
    VALUES (:account, :contract, :p_quantity, :p_average, :p_realised, :mark)
    ON CONFLICT (account_id, contract_id) DO UPDATE SET
        quantity = excluded.quantity, average_price = excluded.average_price, realised_pnl = excluded.realised_pnl,
        price = coalesce(excluded.price, book_positions.price)
)"""
_FOLD_RESERVATION = """kept AS (
    UPDATE reservations SET told = :r_told, filled = :r_filled, remaining = :r_remaining, sequence = :r_sequence,
        state = :r_state, released_at = CASE WHEN :r_state = 'released' THEN CAST(:now AS timestamptz) END
    WHERE order_id = :order
)"""
_FOLD_BOOK = """
UPDATE books SET realised_pnl_today = :pnl, trading_day = :day, updated_at = :now
WHERE account_id = :account"""


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


@dataclass(frozen=True)
class Affected:
    """What the books know of all that an execution touches."""

    execution: KnownExecution
    position: HeldPosition
    reservation: Any | None
    """Row of the reservation of its order."""
    last: bool
    """No execution of the contract happened after it."""


async def affected(
    connection: AsyncConnection,
    account_id: str,
    contract_id: int | None,
    order_id: str,
    place: tuple[datetime, str],
) -> Affected:
    """Everything that the execution at `place` (its time and id) touches, in one look."""
    row = (
        await connection.execute(
            _AFFECTED,
            {
                "account": account_id,
                "contract": contract_id,
                "order": order_id,
                "time": place[0],
                "execution": place[1],
            },
        )
    ).one()
    known = KnownExecution()
    if row.e_revision is not None:
        known = KnownExecution(
            row.e_revision,
            row.e_order_id,
            row.e_contract_id,
            row.e_quantity,
            row.e_price,
            row.e_executed_at,
            row.e_commission_revision,
            row.e_commission,
        )
    held = HeldPosition(row.p_quantity, row.p_average, row.p_realised) if row.p_quantity is not None else HeldPosition()
    return Affected(known, held, row if row.order_id is not None else None, row.last)


async def save_fold(
    connection: AsyncConnection,
    key: tuple[str, str],
    known: KnownExecution,
    held: HeldPosition | None,
    reservation: dict[str, Any] | None,
    day: tuple[Decimal, Any],
    now: datetime,
) -> None:
    """Write what an execution (account, id) or its commission has moved, in one statement."""
    values: dict[str, Any] = {
        "account": key[0],
        "execution": key[1],
        "revision": known.revision,
        "order": known.order_id,
        "contract": known.contract_id,
        "quantity": known.quantity,
        "price": known.price,
        "executed_at": known.executed_at,
        "commission_revision": known.commission_revision,
        "commission": known.commission,
        "pnl": day[0],
        "day": day[1],
        "now": now,
    }
    parts = [_FOLD_EXECUTION]
    if held is not None:
        parts.append(_FOLD_POSITION)
        values |= {"p_quantity": held.quantity, "p_average": held.average_price, "p_realised": held.realised_pnl}
        values["mark"] = known.price or None
    if reservation is not None:
        parts.append(_FOLD_RESERVATION)
        values |= {f"r_{name}": value for name, value in reservation.items()}
    await connection.execute(sql("WITH " + ", ".join(parts) + _FOLD_BOOK), values)


async def executions_of(connection: AsyncConnection, account_id: str, contract_id: int) -> Sequence[Any]:
    """All executions of a contract in the books."""
    table = book_executions.c
    query = select(book_executions).where(
        table.account_id == account_id, table.contract_id == contract_id, table.revision > 0
    )
    return (await connection.execute(query)).all()


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
