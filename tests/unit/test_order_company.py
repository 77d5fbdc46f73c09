"""An own order on the other side: which orders it stops, and what the denial says."""

from decimal import Decimal

import pytest

from engine.risk import book_of, check
from schemas.order_words import OrderType, Side
from schemas.orders import DenialReason, RiskDecision
from tests.builders import SEEN
from tests.unit.a_broker_of_sorts import World
from tests.unit.test_risk import limits

D = Decimal


@pytest.mark.parametrize(
    ("price", "told"), [(D("98.50"), "BUY 10 asked for at 98.5"), (None, "BUY 10 asked for at any price")]
)
def test_a_denial_names_what_is_in_the_way_and_what_frees_it_and_is_proven_word_for_word(
    price: Decimal | None, told: str
) -> None:
    world = World(limits())
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    order = world.intent(1, Side.BUY, 10, order_type=kind, limit_price=price)
    assert world.propose(order).approved

    decision = world.propose(world.intent(1, Side.SELL, 100))

    assert decision.reason is DenialReason.SELF_MATCH
    assert decision.detail == (
        f"it could trade with the account's own order {order.intent_id}, {told}, on the other side: "
        f"cancel that (`DELETE /orders/{order.intent_id}`) or wait until it is done"
    )
    read = RiskDecision.model_validate_json(decision.to_json())
    assert check(read.intent, book_of(read.basis), read.basis.decided_at) == read

    world.end(order.intent_id)
    assert world.propose(world.intent(1, Side.SELL, 100)).approved


def test_a_denial_of_before_is_proven_in_its_own_words() -> None:
    world = World(limits())
    order = world.intent(1, Side.BUY, 1)
    assert world.propose(order).approved
    decision = world.propose(world.intent(1, Side.SELL, 1))

    of_before = decision.basis.model_copy(update={"crossing_terms": ""})
    again = check(decision.intent, book_of(of_before), SEEN)
    assert again.detail == f"it could trade with the account's own order {order.intent_id}"
