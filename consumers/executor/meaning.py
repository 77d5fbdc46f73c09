"""What the gateway's words mean for an order: reports become facts, executions become fills."""

from datetime import datetime
from decimal import Decimal

from consumers.executor.tracking import Tracked
from engine.order_facts import (
    Acknowledged,
    CancelRequested,
    Ended,
    Executed,
    Fact,
    NeverArrived,
    Reported,
    Unanswered,
)
from infra.gateway import (
    BrokerCompletedOrder,
    BrokerError,
    BrokerExecution,
    BrokerOpenOrder,
    BrokerOrderStatus,
    ErrorMeaning,
)
from schemas.orders import Fill, FillBusted, FillCorrected, OrderStatus
from schemas.resolution import Finding, OrderResolved

_CANCELLED = ("Cancelled", "ApiCancelled")
_OF_CANCELS = frozenset({161, 202, 10147, 10148})
_STILL_PROCESSED = 2102
_FOUND = {
    Finding.NEVER_ARRIVED: "had never arrived",
    Finding.ENDED: "works no more",
    Finding.WORKING: "works",
}
_OVER = ("expired", "could not be filled")
"""In the text of an end: the order's time was over, nobody cancelled it."""


def facts_of_status(told: BrokerOrderStatus) -> list[Fact]:
    facts = _facts_of_word(told.status, told.permanent_id)
    if told.filled > 0:
        facts.append(Reported(told.filled))
    return facts


def facts_of_open_order(told: BrokerOpenOrder) -> list[Fact]:
    return _facts_of_word(told.status, told.permanent_id)


def _facts_of_word(word: str, permanent_id: int) -> list[Fact]:
    """`Inactive` says nothing certain: refused, held, or asleep until its session; the error beside it tells."""
    facts: list[Fact] = [Acknowledged(permanent_id)]
    if word in _CANCELLED:
        facts.append(Ended(OrderStatus.CANCELED))
    elif word == "PendingCancel":
        facts.append(CancelRequested())
    return facts


def facts_of_completed_order(told: BrokerCompletedOrder) -> list[Fact]:
    facts: list[Fact] = [Acknowledged(told.permanent_id)]
    if told.filled_quantity > 0:
        facts.append(Reported(told.filled_quantity))
    if told.status in _CANCELLED:
        facts.append(_end(0, told.completed_status))
    elif told.status == "Inactive":
        facts.append(Ended(OrderStatus.REJECTED, 0, told.completed_status))
    elif told.status == "Filled" and told.filled_quantity < told.quantity:
        # it was done, and is short of what it was done with: an execution was corrected or taken back afterwards
        facts.append(Ended(OrderStatus.EXPIRED, 0, "it was filled, and its executions have changed since"))
    return facts


def answers_change(told: BrokerError) -> bool:
    """Whether an error about an order that was asked to change refuses the change: the order itself lives on."""
    if told.code == _STILL_PROCESSED:
        return True
    return told.code not in _OF_CANCELS and told.meaning is not ErrorMeaning.WARNING


def lives_on(order: Tracked) -> bool:
    """Whether what refuses the order may be a late word about a change of it: then the comparison tells."""
    return order.facts.acknowledged and bool(order.facts.change or order.facts.last_change)


def _end(code: int, text: str) -> Ended:
    """The broker cancels orders whose time is over; that is told as what it is."""
    over = any(word in text.lower() for word in _OVER)
    return Ended(OrderStatus.EXPIRED if over else OrderStatus.CANCELED, code, text)


def facts_of_error(told: BrokerError, order: Tracked) -> list[Fact]:
    """None for warnings, and none for errors after which the order may well live: these ask for a look."""
    match told.meaning:
        case ErrorMeaning.REJECTED if lives_on(order):
            return []
        case ErrorMeaning.REJECTED:
            return [Ended(OrderStatus.REJECTED, told.code, told.text)]
        case ErrorMeaning.CANCELED:
            return [_end(told.code, told.text)]
        case _:
            return []


def facts_of_execution(told: BrokerExecution) -> list[Fact]:
    return [Acknowledged(told.permanent_id), Executed(told.root, told.revision, told.quantity, told.price)]


def facts_of_resolution(told: OrderResolved, order: Tracked) -> list[Fact]:
    """What a person's finding makes of an order; none when it contradicts what the broker has said of it."""
    why = f"{told.by} found that it {_FOUND[told.finding]}: {told.reason}"
    match told.finding:
        case Finding.WORKING:
            return [Acknowledged(told.permanent_id), Unanswered("")]
        case Finding.ENDED:
            return [Ended(OrderStatus.CANCELED, 0, why)]
        case Finding.NEVER_ARRIVED:
            return [] if order.facts.acknowledged else [NeverArrived(OrderStatus.EXPIRED, why)]


def fill_of(told: BrokerExecution, order_id: str, strategy_id: str, now: datetime) -> Fill | FillCorrected | FillBusted:
    """The event of an execution: its first revision, a correction, or the end of one that never was."""
    if told.quantity == Decimal(0):
        return FillBusted(
            execution_id=told.root,
            revision=told.revision,
            account_id=told.account_id,
            contract_id=told.contract_id,
            event_time=told.executed_at,
            ingest_time=now,
        )
    kind = Fill if told.revision <= 1 else FillCorrected
    return kind(
        execution_id=told.root,
        revision=max(told.revision, 1),
        order_id=order_id,
        broker_order_id=told.order_id,
        permanent_id=told.permanent_id,
        account_id=told.account_id,
        strategy_id=strategy_id,
        contract_id=told.contract_id,
        symbol=told.symbol,
        currency=told.currency,
        side=told.side,
        last_quantity=told.quantity,
        last_price=told.price,
        exchange=told.exchange,
        event_time=told.executed_at,
        ingest_time=now,
    )
