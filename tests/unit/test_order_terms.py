"""Which terms of an order fit together, and what an order counts at worst."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from engine.order_requests import OrderKind
from schemas.orders import ModifyIntent, OrderIntent, OrderType, TimeInForce
from tests.builders import NOON, a_change, an_intent

D = Decimal
LEGS = ("entry", "stop", "target")


def an_order(kind: str, **terms: Any) -> OrderIntent:
    return an_intent(order_type=kind, **terms)


GOOD: dict[str, dict[str, Any]] = {
    "MKT": {},
    "LMT": {"limit_price": D(440)},
    "STP": {"stop_price": D(430)},
    "STP LMT": {"stop_price": D(430), "limit_price": D(429)},
    "TRAIL": {"trail_amount": D(5)},
    "TRAIL LIMIT": {"trail_percent": D(1), "limit_offset": D("0.1"), "stop_price": D(430)},
    "MIT": {"stop_price": D(430)},
    "LIT": {"stop_price": D(430), "limit_price": D(431)},
    "MOC": {},
    "LOC": {"limit_price": D(440)},
    "MTL": {},
    "REL": {"limit_price": D(441), "peg_offset": D("0.02")},
}


@pytest.mark.parametrize("kind", OrderType)
def test_every_type_is_told_as_it_was_meant(kind: OrderType) -> None:
    order = an_order(kind, **GOOD[kind])
    assert OrderIntent.model_validate_json(order.to_json()) == order
    assert OrderKind(order.order_type) is kind  # a backtest's word is the same


@pytest.mark.parametrize(
    ("kind", "terms", "said"),
    [
        ("LMT", {}, "a LMT order needs limit_price"),
        ("MKT", {"stop_price": D(1)}, "a MKT order has no stop_price"),
        ("STP LMT", {"limit_price": D(1)}, "a STP LMT order needs stop_price"),
        ("TRAIL", {}, "needs trail_amount or trail_percent"),
        ("TRAIL", {"trail_amount": D(1), "trail_percent": D(1)}, "and not both"),
        ("TRAIL", {"trail_amount": D(0)}, "greater than 0"),
        ("TRAIL LIMIT", {"trail_amount": D(1)}, "a TRAIL LIMIT order needs limit_offset"),
        ("MOC", {"time_in_force": "GTC"}, "a MOC order is DAY, not GTC"),
        ("STP", {"stop_price": D(1), "time_in_force": "IOC"}, "it cannot be IOC"),
        ("STP", {"stop_price": D(1), "time_in_force": "OPG"}, "only MKT and LMT orders take part in the opening"),
        ("MKT", {"time_in_force": "GTD"}, "a GTD order, and no other, needs good_till"),
        ("MKT", {"good_till": NOON}, "a GTD order, and no other, needs good_till"),
        ("MKT", {"outside_hours": True}, "cannot trade outside of regular hours"),
        ("MKT", {"oca_reduces": True}, "needs oca_group"),
        ("MKT", {"parent_id": "intent-1"}, "cannot be its own parent"),
        ("MKT", {"legs": ("intent-1",)}, "legs are the ids of all orders"),
        ("MKT", {"legs": ("intent-1", "x", "x")}, "legs are the ids of all orders"),
        ("MKT", {"legs": ("x", "y")}, "legs are the ids of all orders"),
        ("MKT", {"legs": ("x", "intent-1")}, "the first leg is the parent"),
        ("MKT", {"legs": ("intent-1", "x"), "parent_id": "x"}, "the first leg is the parent"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_the_field(kind: str, terms: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        an_order(kind, **terms)


def test_records_of_before_are_understood() -> None:
    told = an_order("LMT", limit_price=D(440)).to_json().replace(b'"LMT"', b'"LIMIT"')
    assert OrderIntent.model_validate_json(told).order_type is OrderType.LIMIT
    assert OrderType("MARKET") is OrderType.MARKET
    with pytest.raises(ValueError):
        OrderType("CURIOUS")


@pytest.mark.parametrize(
    ("kind", "terms", "worst"),
    [
        ("MKT", {}, "440"),
        ("LMT", {"limit_price": D(441)}, "441"),
        ("LMT", {"limit_price": D(430)}, "440"),
        ("STP LMT", {"limit_price": D(451), "stop_price": D(450)}, "451"),
        ("TRAIL", {"trail_amount": D(5)}, "445"),
        ("TRAIL LIMIT", {"trail_percent": D(10), "limit_offset": D(1)}, "485"),
        ("REL", {"peg_offset": D(1)}, "440"),
    ],
)
def test_an_order_counts_at_the_highest_price_it_names(kind: str, terms: dict[str, Any], worst: str) -> None:
    assert an_order(kind, **terms).worst_price(D(440)) == D(worst)


def test_a_bracket_names_all_its_legs_in_each() -> None:
    entry = an_intent(intent_id="entry", legs=LEGS)
    stop = an_order("STP", intent_id="stop", legs=LEGS, parent_id="entry", stop_price=D(430), time_in_force="GTC")
    assert (entry.parent_id, stop.parent_id, stop.time_in_force) == (None, "entry", TimeInForce.GTC)


def test_a_good_till_date_needs_a_date() -> None:
    order = an_intent(time_in_force="GTD", good_till=NOON + timedelta(days=1))
    assert OrderIntent.model_validate_json(order.to_json()).good_till == order.good_till


def test_a_change_carries_the_order_as_it_shall_be_and_no_other() -> None:
    change = a_change(an_order("LMT", limit_price=D(439)))
    assert ModifyIntent.model_validate_json(change.to_json()) == change
    with pytest.raises(ValidationError, match="the order's own intent"):
        a_change(an_intent(), order_id="another")
