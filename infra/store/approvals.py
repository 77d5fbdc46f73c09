"""Approvals as the executor spends them: each once, alive, by whoever leads, for the fields that were approved."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.publish import Origin
from infra.store.database import Store, Transaction, at_once
from infra.store.tables import decisions, order_events
from schemas.orders import OrderIntent, OrderUpdate, RiskDecision

# one statement, one winner: the approval has to be there, unspent, alive and for these fields, and the lease ours
_SPENDING = """
unspent AS (
    SELECT d.intent_id, d.decision_id, l.epoch FROM decisions d, leases l
    WHERE d.decision_id = :decision_id AND d.approved AND d.approved_fields = :approved_fields AND d.expires_at > :now
      AND l.name = :lease AND l.epoch = :epoch
), done AS (
    INSERT INTO orders (order_id, decision_id, client_id, broker_order_id, permanent_id, account_id, strategy_id,
                        contract_id, symbol, side, quantity, order_type, limit_price, stop_price, time_in_force,
                        parent_id, oca_group, status, cumulative_quantity, average_price, sequence, reason, code,
                        lease_epoch, intent, facts, created_at, updated_at)
    SELECT u.intent_id, u.decision_id, :client_id, :broker_order_id, 0, :account_id, :strategy_id,
           :contract_id, :symbol, :side, :quantity, :order_type, :limit_price, :stop_price, :time_in_force,
           :parent_id, :oca_group, 'SENDING', 0, 0, 1, '', 0,
           u.epoch, CAST(:intent AS jsonb), CAST(:facts AS jsonb), :now, :now
    FROM unspent u
    ON CONFLICT (order_id) DO NOTHING
    RETURNING order_id
), told AS (
    INSERT INTO order_events (order_id, sequence, status, body, event_time, ingest_time)
    SELECT order_id, 1, 'SENDING', CAST(:update AS jsonb), :event_time, :now FROM done
)"""
_SPEND = at_once(_SPENDING)
_SPEND_ONE_OF_SEVERAL = sql(f"WITH {_SPENDING} SELECT order_id FROM done")
_EXPIRED = sql("""
SELECT d.body FROM decisions d WHERE d.account_id = :account AND d.approved AND d.expires_at < :before
   AND d.decided_at > :since AND d.body -> 'intent' ->> 'type' = 'OrderIntent'
   AND NOT EXISTS (SELECT FROM orders o WHERE o.order_id = d.intent_id)
ORDER BY d.decided_at LIMIT 100
""")
_SENT_LATELY = sql(
    "SELECT created_at, quantity, intent ->> 'reference_price' AS price FROM orders"
    " WHERE account_id = :account AND broker_order_id IS NOT NULL AND decision_id IS NOT NULL AND created_at > :since"
)


@dataclass(frozen=True)
class Approval:
    """What risk wrote about an intent."""

    intent_id: str
    approved: bool
    approved_fields: str | None
    expires_at: datetime


@dataclass(frozen=True)
class Spending:
    """An approval about to be spent by an order that has its id at the broker."""

    decision_id: str
    approved_fields: str
    client_id: int
    broker_order_id: int
    lease: str
    epoch: int
    facts: str


async def approval(connection: AsyncConnection, decision_id: str) -> Approval | None:
    table = decisions.c
    query = select(table.intent_id, table.approved, table.approved_fields, table.expires_at)
    row = (await connection.execute(query.where(table.decision_id == decision_id))).first()
    return Approval(*row) if row is not None else None


async def spend(store: Store, intent: OrderIntent, spending: Spending, told: OrderUpdate, cause: Origin) -> bool:
    """Write the order in SENDING and tell of it; False when the approval does not let us."""
    return await store.at_once(_SPEND, _spent(intent, spending, told), [store.record_of(told, cause)])


async def spend_all(tx: Transaction, orders: Sequence[tuple[OrderIntent, Spending, OrderUpdate]]) -> bool:
    """`spend` for orders that belong together. When it is False, undo the transaction: some may be written."""
    for intent, spending, told in orders:
        done = await tx.connection.scalar(_SPEND_ONE_OF_SEVERAL, _spent(intent, spending, told))
        if done is None:
            return False
        await tx.publish(told)
    return True


def _spent(intent: OrderIntent, spending: Spending, told: OrderUpdate) -> dict[str, Any]:
    return {
        "client_id": spending.client_id,
        "broker_order_id": spending.broker_order_id,
        "account_id": intent.account_id,
        "strategy_id": intent.strategy_id,
        "contract_id": intent.contract_id,
        "symbol": intent.symbol,
        "side": intent.side.value,
        "quantity": intent.quantity,
        "order_type": intent.order_type.value,
        "limit_price": intent.limit_price,
        "stop_price": intent.stop_price,
        "time_in_force": intent.time_in_force.value,
        "parent_id": intent.parent_id,
        "oca_group": intent.oca_group,
        "intent": intent.to_json().decode(),
        "facts": spending.facts,
        "now": told.ingest_time,
        "decision_id": spending.decision_id,
        "approved_fields": spending.approved_fields,
        "lease": spending.lease,
        "epoch": spending.epoch,
        "update": told.to_json().decode(),
        "event_time": told.event_time,
    }


async def decisions_of(connection: AsyncConnection, intent_ids: Sequence[str]) -> dict[str, RiskDecision]:
    """What risk has written about intents, by their ids."""
    rows = await connection.execute(select(decisions.c.body).where(decisions.c.intent_id.in_(list(intent_ids))))
    found = (RiskDecision.model_validate(row.body) for row in rows)
    return {decision.intent_id: decision for decision in found}


async def expired_approvals(
    connection: AsyncConnection, account_id: str, before: datetime, since: datetime
) -> list[RiskDecision]:
    """Approvals of orders that were never spent, and cannot be any more."""
    rows = await connection.execute(_EXPIRED, {"account": account_id, "before": before, "since": since})
    return [RiskDecision.model_validate(row.body) for row in rows]


async def is_spent(connection: AsyncConnection, decision_id: str) -> bool:
    """Whether a cancel or a change has used this approval."""
    query = select(order_events.c.sequence).where(order_events.c.decision_id == decision_id)
    return await connection.scalar(query) is not None


async def sent_since(connection: AsyncConnection, account_id: str, since: datetime) -> list[tuple[datetime, Decimal]]:
    """When orders were sent since then, and what each was worth."""
    rows = await connection.execute(_SENT_LATELY, {"account": account_id, "since": since})
    return [(row.created_at, Decimal(row.quantity) * Decimal(row.price)) for row in rows]
