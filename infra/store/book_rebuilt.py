"""Decisions of before, written into risk's books again, with what was reserved by them."""

from typing import Any

from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.book import Decided
from infra.store.tables import decisions, intents, reservations, risk_events
from schemas.orders import CancelIntent, ModifyIntent, OrderIntent

_CHANGE = sql(
    "UPDATE reservations SET remaining = greatest(remaining, :quantity - filled), price = greatest(price, :price),"
    " value = greatest(value, :value),"
    " changes = changes || jsonb_build_array(jsonb_build_array(CAST(:change_id AS text), CAST(:shown_quantity AS text),"
    " CAST(:shown_price AS text))) WHERE order_id = :order_id"
)


async def add_decision(connection: AsyncConnection, made: Decided) -> None:
    """Write a decision with its intent and what it reserved or denied; one that is known changes nothing."""
    decision, intent = made.decision, made.decision.intent
    await connection.execute(insert(intents).values(_intent(made)).on_conflict_do_nothing())
    statement = insert(decisions).values(_decision(made)).on_conflict_do_nothing().returning(decisions.c.decision_id)
    if (await connection.execute(statement)).first() is None:
        return
    if not decision.approved:
        await connection.execute(insert(risk_events).values(_denial(made)).on_conflict_do_nothing())
    elif isinstance(intent, OrderIntent):
        await connection.execute(insert(reservations).values(_reservation(made, intent)).on_conflict_do_nothing())
    elif isinstance(intent, ModifyIntent):
        change = {"change_id": intent.intent_id, "order_id": intent.order_id}
        change |= {"shown_quantity": str(intent.wanted.quantity), "shown_price": str(made.price)}
        amounts = {"quantity": intent.wanted.quantity, "price": made.price, "value": made.value}
        await connection.execute(_CHANGE, change | amounts)


def _intent(made: Decided) -> dict[str, Any]:
    intent, basis = made.decision.intent, made.decision.basis
    order = None if isinstance(intent, CancelIntent) else intent if isinstance(intent, OrderIntent) else intent.wanted
    return {
        "intent_id": intent.intent_id,
        "type": intent.type,
        "account_id": intent.account_id,
        "strategy_id": intent.strategy_id,
        "contract_id": order.contract_id if order else None,
        "order_id": None if isinstance(intent, OrderIntent) else intent.order_id,
        "side": order.side.value if order else None,
        "quantity": order.quantity if order else None,
        "limit_price": order.limit_price if order else None,
        "body": intent.model_dump(mode="json"),
        "event_time": intent.event_time,
        "received_at": basis.decided_at,
    }


def _decision(made: Decided) -> dict[str, Any]:
    decision, decided_at = made.decision, made.decision.basis.decided_at
    return {
        "decision_id": decision.decision_id,
        "intent_id": decision.intent_id,
        "account_id": decision.account_id,
        "strategy_id": decision.strategy_id,
        "approved": decision.approved,
        "reason": decision.reason.value if decision.reason else None,
        "detail": decision.detail,
        "approved_fields": made.fingerprint if decision.approved else None,
        "body": decision.model_dump(mode="json"),
        "decided_at": decided_at,
        "expires_at": decided_at + decision.expires_after,
    }


def _denial(made: Decided) -> dict[str, Any]:
    decision = made.decision
    return {
        "breach_id": decision.decision_id,
        "scope": f"account:{decision.account_id}",
        "account_id": decision.account_id,
        "strategy_id": decision.strategy_id,
        "rule": decision.reason.value if decision.reason else "",
        "detail": decision.detail,
        "event_time": decision.event_time,
        "ingest_time": decision.basis.decided_at,
    }


def _reservation(made: Decided, intent: OrderIntent) -> dict[str, Any]:
    return {
        "order_id": intent.intent_id,
        "account_id": intent.account_id,
        "strategy_id": intent.strategy_id,
        "contract_id": intent.contract_id,
        "symbol": intent.symbol,
        "currency": intent.currency,
        "side": intent.side.value,
        "quantity": intent.quantity,
        "told": 0,
        "filled": 0,
        "remaining": intent.quantity,
        "price": made.price,
        "value": made.value,
        "order_type": intent.order_type.value,
        "limit_price": intent.limit_price,
        "stop_price": intent.stop_price,
        "parent_id": intent.parent_id,
        "oca_group": intent.oca_group,
        "changes": [],
        "rejected": False,
        "sequence": 0,
        "state": "open",
        "opened_at": made.decision.basis.decided_at,
    }
