"""What a person asks for over HTTP, as orders: what a repetition is, and what a change leaves as it stands."""

from decimal import Decimal
from typing import Any

from consumers.api.order_bodies import ChangeIn, ExitsIn, OrderIn, OrderOut
from consumers.api.placing import _changed, _legs
from schemas.order_terms import flaw_of
from schemas.orders import OrderIntent
from tests.builders import NOON, an_intent

D = Decimal


def a_body(**terms: Any) -> OrderIn:
    return OrderIn(**({"symbol": "AAPL", "side": "BUY", "quantity": 100} | terms))


def asked(body: OrderIn) -> list[OrderIntent]:
    return [an_intent(intent_id=leg.intent_id, **leg.terms) for leg in _legs("key", body)]


def test_an_entry_alone_is_not_the_bracket_that_was_asked_for_under_the_same_key() -> None:
    bracket = a_body(exits=ExitsIn(stop_price=D(430)))
    (entry, _), (alone,) = _legs("key", bracket), _legs("key", a_body())
    assert alone.intent_id == entry.intent_id
    assert entry.is_that_of(asked(bracket)[0])
    assert not alone.is_that_of(asked(bracket)[0])
    assert not entry.is_that_of(asked(a_body())[0])
    assert alone.is_that_of(asked(a_body())[0])


def test_a_group_that_reduces_needs_a_name_and_says_so_of_its_field() -> None:
    flaw = flaw_of(a_body(oca_reduces=True))
    assert flaw is not None
    assert flaw.field == "oca_group"


def as_it_stands(intent: OrderIntent, **told: Any) -> OrderOut:
    """The broker works it on other terms than it was asked for on: a split has come between."""
    same = {name: getattr(intent, name) for name in OrderOut.model_fields if hasattr(intent, name)}
    fields = {
        "order_id": intent.intent_id, "broker_order_id": 7, "permanent_id": 1, "status": "NEW", "reason": "",
        "cumulative_quantity": D(0), "average_price": D(0), "code": 0, "created_at": NOON, "updated_at": NOON,
    }  # fmt: skip
    return OrderOut(**(same | fields | told))


def test_a_change_keeps_stop_and_limit_where_the_broker_has_them_now() -> None:
    intent = an_intent(order_type="STP LMT", stop_price=D(430), limit_price=D(431))
    now = as_it_stands(intent, quantity=D(400), stop_price=D("107.50"), limit_price=D("107.75"))
    wanted = _changed(intent, now, ChangeIn(quantity=D(300)))
    assert (wanted.quantity, wanted.stop_price, wanted.limit_price) == (D(300), D("107.50"), D("107.75"))
    assert _changed(intent, now, ChangeIn(stop_price=D(105))).stop_price == 105


def test_a_change_of_a_trailing_order_says_nothing_new_of_where_it_began() -> None:
    intent = an_intent(order_type="TRAIL", trail_amount=D(5), stop_price=D(430))
    wanted = _changed(intent, as_it_stands(intent, stop_price=None), ChangeIn(trail_amount=D(3)))
    assert (wanted.trail_amount, wanted.stop_price) == (D(3), D(430))
