"""Orders as the executor keeps them: spent approvals, what became of each order, executions, broker events."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, or_, select
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.columns_of_tables import plain
from infra.store.tables import (
    account_states,
    broker_events,
    commissions,
    fills,
    order_events,
    orders,
    symbols,
)
from schemas.account import AccountState
from schemas.orders import Commission, Fill, FillBusted, FillCorrected, OrderUpdate
from schemas.validation import Contract

_FINAL = ("FILLED", "CANCELED", "REJECTED", "EXPIRED")

_RESERVE_IDS = sql(
    "INSERT INTO order_ids (client_id, next_id, accepted_id) VALUES (:client_id, greatest(:known_id, 1) + :count, 0)"
    " ON CONFLICT (client_id) DO UPDATE SET next_id = greatest(order_ids.next_id, :known_id) + :count"
    " RETURNING next_id"
)
_USED_IDS = sql(
    "SELECT (SELECT coalesce(max(broker_order_id), 0) FROM orders WHERE client_id = :client_id AND permanent_id > 0),"
    " coalesce((SELECT accepted_id FROM order_ids WHERE client_id = :client_id), 0)"
)
_ACCEPT_IDS = sql(
    "INSERT INTO order_ids (client_id, next_id, accepted_id) VALUES (:client_id, :highest + 1, :highest)"
    " ON CONFLICT (client_id) DO UPDATE SET accepted_id = greatest(order_ids.accepted_id, :highest)"
)
_POSITIONS = sql("""
SELECT contract_id, sum(CASE WHEN side = 'SELL' THEN -last_quantity ELSE coalesce(last_quantity, 0) END) AS quantity
FROM (SELECT DISTINCT ON (execution_id) * FROM fills WHERE account_id = :account
      ORDER BY execution_id, revision DESC) newest
GROUP BY contract_id
""")


async def reserve_ids(connection: AsyncConnection, client_id: int, known_id: int, count: int) -> range:
    """Order ids that were never used and never will be by anybody else; at least `known_id`."""
    values = {"client_id": client_id, "known_id": known_id, "count": count}
    next_id = await connection.scalar(_RESERVE_IDS, values)
    assert next_id is not None, "the statement returns the id"
    return range(next_id - count, next_id)


async def used_ids(connection: AsyncConnection, client_id: int) -> tuple[int, int]:
    """The highest order id under which the broker had an order of the client, and up to which a reset was accepted."""
    highest, accepted = (await connection.execute(_USED_IDS, {"client_id": client_id})).one()
    return int(highest), int(accepted)


async def accept_ids(connection: AsyncConnection, client_id: int, highest: int) -> None:
    """Remember that the gateway may count less than this."""
    await connection.execute(_ACCEPT_IDS, {"client_id": client_id, "highest": highest})


async def add(connection: AsyncConnection, values: Mapping[str, Any]) -> bool:
    """Write an order that is not sent by us, or not sent at all; False when it is known."""
    result = await connection.execute(
        upsert(orders).values(**values).on_conflict_do_nothing().returning(orders.c.order_id)
    )
    return result.first() is not None


async def save(connection: AsyncConnection, order_id: str, changes: Mapping[str, Any]) -> bool:
    """Write what moves; False when somebody else has told more of the order than these changes know."""
    known = orders.c.sequence <= changes["sequence"]
    result = await connection.execute(orders.update().where(orders.c.order_id == order_id, known).values(**changes))
    return bool(result.rowcount)


async def save_update(connection: AsyncConnection, told: OrderUpdate, decision_id: str | None = None) -> bool:
    """Append an update; False when `decision_id` was spent before."""
    values = {
        "order_id": told.order_id,
        "sequence": told.sequence,
        "status": told.status.value,
        "decision_id": decision_id,
        "body": told.model_dump(mode="json"),
        "event_time": told.event_time,
        "ingest_time": told.ingest_time,
    }
    statement = upsert(order_events).values(values).on_conflict_do_nothing().returning(order_events.c.sequence)
    return (await connection.execute(statement)).first() is not None


async def working(connection: AsyncConnection, account_id: str) -> Sequence[Any]:
    """Rows of all orders that are not done."""
    query = select(orders).where(orders.c.account_id == account_id, orders.c.status.not_in(_FINAL))
    return (await connection.execute(query)).all()


async def find(
    connection: AsyncConnection, *, order_id: str = "", broker: tuple[int, int] | None = None, permanent_id: int = 0
) -> Any | None:
    """The row of an order by our id, by (client id, broker's order id), or by the broker's permanent id."""
    conditions = [orders.c.order_id == order_id] if order_id else []
    if broker is not None:
        conditions.append((orders.c.client_id == broker[0]) & (orders.c.broker_order_id == broker[1]))
    if permanent_id:
        conditions.append(orders.c.permanent_id == permanent_id)
    if not conditions:
        return None
    query = (
        select(orders)
        .where(or_(*conditions))
        .order_by((orders.c.order_id == order_id).desc(), orders.c.created_at.desc())
    )
    return (await connection.execute(query.limit(1))).first()


async def save_fill(connection: AsyncConnection, told: Fill | FillCorrected | FillBusted) -> bool:
    """Write one revision of an execution; False when it is known."""
    values = {**told.model_dump(exclude={"type"}), "type": told.type}
    values.setdefault("order_id", "")
    values.setdefault("strategy_id", "")
    statement = upsert(fills).values(values).on_conflict_do_nothing().returning(fills.c.revision)
    return (await connection.execute(statement)).first() is not None


async def save_commission(connection: AsyncConnection, told: Commission) -> bool:
    values = told.model_dump(exclude={"type"})
    statement = upsert(commissions).values(values).on_conflict_do_nothing().returning(commissions.c.revision)
    return (await connection.execute(statement)).first() is not None


async def executed_at(connection: AsyncConnection, execution_id: str) -> datetime | None:
    query = select(fills.c.event_time).where(fills.c.execution_id == execution_id).order_by(fills.c.revision.desc())
    found: datetime | None = await connection.scalar(query.limit(1))
    return found


async def positions(connection: AsyncConnection, account_id: str) -> dict[int, Decimal]:
    """Signed quantity by contract id, from the newest revisions of all executions; flat ones are left out."""
    rows = await connection.execute(_POSITIONS, {"account": account_id})
    return {row.contract_id: plain(row.quantity) for row in rows if row.quantity}


async def contract(connection: AsyncConnection, contract_id: int) -> Contract | None:
    """What the gateway has told of a contract, its hours among it."""
    query = select(symbols.c.contract).where(symbols.c.contract_id == contract_id, symbols.c.contract.is_not(None))
    found = await connection.scalar(query.order_by(symbols.c.ingest_time.desc()).limit(1))
    return Contract.model_validate(found) if found is not None else None


async def last_price(connection: AsyncConnection, contract_id: int) -> tuple[str, Decimal] | None:
    """Symbol and price of the contract's last execution."""
    query = select(fills.c.symbol, fills.c.last_price).where(
        fills.c.contract_id == contract_id, fills.c.symbol.is_not(None), fills.c.last_price.is_not(None)
    )
    row = (await connection.execute(query.order_by(fills.c.event_time.desc()).limit(1))).first()
    return (row.symbol, plain(row.last_price)) if row is not None else None


async def save_broker_events(
    connection: AsyncConnection,
    account_id: str,
    events: Sequence[tuple[str, int | None, dict[str, Any]]],
    now: datetime,
) -> None:
    """Append what the gateway said: kind, its order id, all of it."""
    rows = [
        {"account_id": account_id, "kind": kind, "broker_order_id": number, "body": body, "received_at": now}
        for kind, number, body in events
    ]
    if rows:
        await connection.execute(insert(broker_events).values(rows))


async def save_account(connection: AsyncConnection, told: AccountState) -> None:
    values = told.model_dump(mode="python", include={*account_states.c.keys()} - {"account_id", "positions"})
    values["positions"] = {contract: str(quantity) for contract, quantity in told.positions.items()}
    statement = upsert(account_states).values(account_id=told.account_id, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=[account_states.c.account_id], set_=values))
