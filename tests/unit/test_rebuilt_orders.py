"""An order made from what was told of it looks and stands as the order did of which it was told."""

from datetime import timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from consumers.executor.rebuilding import order_of
from consumers.executor.tracking import of_intent
from engine.order_facts import (
    Acknowledged,
    CancelRequested,
    Ended,
    Executed,
    Fact,
    Lost,
    NeverArrived,
    Reported,
    Unanswered,
)
from schemas.orders import OrderStatus, OrderUpdate
from tests.builders import SEEN, an_intent

D = Decimal
LIVES: list[list[Fact]] = [
    [],
    [Acknowledged(7)],
    [Acknowledged(7), CancelRequested(), Unanswered("nobody knows")],
    [Acknowledged(7), CancelRequested(), Ended(OrderStatus.CANCELED, 202, "cancelled")],
    [Ended(OrderStatus.REJECTED, 201, "refused")],
    [NeverArrived(OrderStatus.EXPIRED, "not sent: killed")],
    [Lost("order id 3 was used")],
    [Lost("order id 3 was used"), Acknowledged(7)],
    [Acknowledged(7), Ended(OrderStatus.EXPIRED, 0, "its time is over")],
]


@given(
    life=st.sampled_from(LIVES),
    executions=st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 3), st.integers(0, 30), st.integers(1, 20)), max_size=4
    ),
    reported=st.integers(0, 60),
)
def test_what_was_told_of_an_order_makes_the_order(
    life: list[Fact], executions: list[tuple[str, int, int, int]], reported: int
) -> None:
    order = of_intent(an_intent(quantity=D(100)), "decision", 3, SEEN)
    fills = [Executed(root, revision, D(size), D(price)) for root, revision, size, price in executions]
    revisions = {(each.execution_id, each.revision): each for each in reversed(fills)}
    updates: list[OrderUpdate] = [order.update(SEEN)]
    told = [*life, *reversed(revisions.values())] + ([Reported(D(reported))] if reported else [])
    for number, fact in enumerate(told, 1):
        after = order.with_([fact])
        if after.sequence != order.sequence:
            updates.append(after.update(SEEN + timedelta(seconds=number)))
        order = after

    made = order_of(updates, revisions.values(), order.intent, ())

    assert made.sequence == order.sequence
    assert made.status == order.status
    assert made.look[1:5] == order.look[1:5]
    assert (made.client_id, made.intent, made.created_at) == (3, order.intent, SEEN)
    if not order.status.final:  # it goes on as the other would have
        ended = Ended(OrderStatus.CANCELED, 0, "gone")
        assert made.with_([ended]).status == order.with_([ended]).status
