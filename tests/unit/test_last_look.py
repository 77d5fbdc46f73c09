"""The executor's last look: each control refuses just beyond its limit, and lets pass what is at it."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.last_look import RefusalCode, Sent, last_look, look_at_change, sent_of
from engine.risk import Book, check
from schemas.account import RiskLimits
from schemas.orders import OrderIntent, RiskBasis, Side
from tests.builders import NOON, SEEN, an_intent

D = Decimal
LIMITS: dict[str, Any] = {
    "scope": "account:DU1234567",
    "version": 1,
    "quantity_max": D(100),
    "notional_max": D(44_050),
    "orders_per_minute_max": 3,
    "price_collar": D("0.05"),
    "event_time": NOON,
    "ingest_time": SEEN,
}


def a_basis(**changes: Any) -> RiskBasis:
    return check(an_intent(), Book(limits=RiskLimits(**(LIMITS | changes)), price=D(440)), SEEN).basis


def code_of(intent: OrderIntent, *sent: Sent, **limits: Any) -> RefusalCode | None:
    refusal = last_look(intent, a_basis(**limits), sent, SEEN)
    return refusal.code if refusal is not None else None


def limited(price: str, **changes: Any) -> OrderIntent:
    return an_intent(order_type="LMT", limit_price=D(price), **changes)


@pytest.mark.parametrize(
    ("intent", "limits", "code"),
    [
        (an_intent(), {}, None),
        (an_intent(quantity=D(101)), {}, RefusalCode.QUANTITY_CEILING),
        (an_intent(), {"notional_max": D(44_049)}, RefusalCode.NOTIONAL_CEILING),
        (an_intent(order_type="STP", stop_price=D(441)), {}, RefusalCode.NOTIONAL_CEILING),
        (limited("462.00", quantity=D(10)), {}, None),
        (limited("462.01", quantity=D(10)), {}, RefusalCode.PRICE_COLLAR),
        (limited("400.00"), {}, None),
        (limited("417.99", side=Side.SELL), {}, RefusalCode.PRICE_COLLAR),
        (limited("500.00", side=Side.SELL, quantity=D(10)), {}, None),
        (an_intent(quantity=D(200_000)), {"quantity_max": D(10**9), "notional_max": D(10**12)}, "quantity_ceiling"),
    ],
)
def test_an_order_may_reach_a_limit_but_not_pass_it(intent: OrderIntent, limits: dict[str, Any], code: Any) -> None:
    assert code_of(intent, **limits) == code


def test_what_went_out_within_a_minute_counts() -> None:
    old, fresh = (Sent(SEEN - timedelta(seconds=age), D(1)) for age in (61, 59))
    assert code_of(an_intent(), fresh, fresh, old) is None
    assert code_of(an_intent(), fresh, fresh, fresh) is RefusalCode.ORDER_RATE
    assert code_of(an_intent(), fresh, outflow_per_minute_max=D(44_051)) is None
    assert code_of(an_intent(), fresh, outflow_per_minute_max=D(44_050)) is RefusalCode.OUTFLOW
    assert code_of(an_intent(), Sent(fresh.at, D(10**9))) is None, "without a limit of its own"


def test_the_same_order_does_not_go_out_twice_in_a_moment() -> None:
    moment_ago, later = (sent_of(an_intent(), SEEN - timedelta(seconds=ago)) for ago in (0.4, 0.6))
    assert code_of(an_intent(), moment_ago) is RefusalCode.REPEATED
    assert code_of(an_intent(), later) is None
    assert code_of(an_intent(side=Side.SELL), moment_ago) is None


@pytest.mark.parametrize("other", [{"parent_id": "other"}, {"good_till": NOON + timedelta(days=1)}, {"peg_offset": 2}])
def test_an_order_on_any_other_terms_is_another_order(other: dict[str, Any]) -> None:
    moment_ago = sent_of(an_intent(), SEEN - timedelta(seconds=0.4))
    assert code_of(an_intent().model_copy(update=other), moment_ago) is None


def test_a_change_is_held_against_sizes_and_prices_alone() -> None:
    limits: dict[str, Any] = {"orders_per_minute_max": 0}
    assert look_at_change(an_intent(), a_basis(**limits)) is None
    larger = look_at_change(an_intent(quantity=D(101)), a_basis(**limits))
    assert larger is not None
    assert larger.code is RefusalCode.QUANTITY_CEILING


def test_who_turned_and_turns_again_repeats_nothing() -> None:
    often = {"orders_per_minute_max": 9}
    bought, sold, again = (
        sent_of(an_intent(side=side), SEEN - timedelta(seconds=ago))
        for side, ago in ((Side.BUY, 0.4), (Side.SELL, 0.3), (Side.BUY, 0.2))
    )
    assert code_of(an_intent(), bought, sold, **often) is None
    assert code_of(an_intent(), bought, sold, again, **often) is RefusalCode.REPEATED
    assert code_of(an_intent(side=Side.SELL), bought, sold, **often) is RefusalCode.REPEATED


def test_without_limits_nothing_goes_out() -> None:
    basis = a_basis().model_copy(update={"limits": None})
    refusal = last_look(an_intent(), basis, (), SEEN)
    assert refusal is not None
    assert str(refusal) == "without_limits: risk has approved it without limits"
