"""An order as the executor follows it: what the broker works it as, what it shall be, and when its time is over."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from consumers.executor.expiry import last_moment
from consumers.executor.terms import Terms, as_written, terms_of, unchangeable
from consumers.executor.tracking import Tracked, of_intent
from engine.order_facts import Acknowledged
from infra.gateway import BrokerOpenOrder
from schemas.orders import OrderIntent, OrderStatus, Side
from tests.builders import SEEN, a_change, a_contract, an_intent

D = Decimal


def an_order(intent: OrderIntent) -> Tracked:
    order = replace(of_intent(intent, "d-1", 10, SEEN), broker_order_id=7)
    return order.with_([Acknowledged(99)])


def limited(**changes: Any) -> OrderIntent:
    return an_intent(**({"order_type": "LMT", "limit_price": D(440), "time_in_force": "GTC"} | changes))


def told(quantity: int, limit: str | None = None, stop: str | None = None, distance: str | None = None) -> Terms:
    limit_price, stop_price, behind = (D(each) if each is not None else None for each in (limit, stop, distance))
    return Terms("", D(quantity), limit_price, stop_price, behind)


def test_an_order_that_the_broker_adjusts_for_a_split_is_followed_on_its_new_terms() -> None:
    before = an_order(limited())
    after = before.worked_as(told(400, "110"))
    assert (after.quantity, after.limit_price, after.sequence) == (D(400), D(110), before.sequence + 1)
    assert after.worked_as(told(400, "110")) is after


def test_a_change_is_answered_by_the_terms_that_were_asked_for_and_by_no_others() -> None:
    order = an_order(limited())
    asked = order.asked_to_become(a_change(limited(quantity=D(70), limit_price=D(441))))
    on_the_way = asked.worked_as(told(100, "440"))
    assert (on_the_way.wanted, on_the_way.update(SEEN).last_change) == (asked.wanted, "")
    taken = on_the_way.worked_as(told(70, "441"))
    assert (taken.quantity, taken.limit_price, taken.wanted) == (D(70), D(441), None)
    assert taken.update(SEEN).last_change == "change-1"
    assert taken.intent is not None
    assert taken.intent.event_time == limited().event_time, "it was placed when it was placed"


def test_a_refused_change_leaves_the_order_on_its_terms() -> None:
    order = an_order(limited())
    refused = order.asked_to_become(a_change(limited(quantity=D(70)))).refused(104, "filled")
    update = refused.update(SEEN)
    assert (update.quantity, update.status, update.code, update.last_change) == (
        D(100),
        OrderStatus.NEW,
        104,
        "change-1",
    )


def test_a_trailing_order_is_changed_by_how_far_it_stays_behind() -> None:
    trail = an_intent(order_type="TRAIL", trail_amount=D(5), side=Side.SELL)
    order = an_order(trail).asked_to_become(a_change(trail.revised(trail_amount=D(3))))
    assert order.worked_as(told(100, distance="5")).wanted is not None
    assert order.worked_as(told(100, distance="3")).wanted is None


def an_open_order(**told: Any) -> BrokerOpenOrder:
    fields: dict[str, Any] = {
        "order_id": 7, "client_id": 10, "permanent_id": 99, "order_ref": "intent-1", "account_id": "DU1234567",
        "contract_id": 1, "symbol": "AAPL", "side": Side.BUY, "quantity": D(100), "order_type": "LMT",
        "limit_price": None, "time_in_force": "DAY", "status": "Submitted",
    }  # fmt: skip
    return BrokerOpenOrder(**(fields | told))


TODAY = datetime(2013, 2, 28, 20, 0, tzinfo=UTC)
TOMORROW = TODAY + timedelta(days=1)
ALL_BUT_SIZE: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"order_type": "LMT", "limit_price": D(440), "time_in_force": "GTD", "good_till": TODAY},
     {"good_till": TOMORROW}, {"limit_price": D(440), "good_till": TODAY}),
    ({"order_type": "TRAIL LIMIT", "trail_amount": D(5), "limit_offset": D(1)},
     {"limit_offset": D(2)}, {"auxiliary_price": D(5), "limit_offset": D(1)}),
    ({"order_type": "REL", "peg_offset": D(1), "limit_price": D(441)},
     {"limit_price": D(445)}, {"auxiliary_price": D(1), "limit_price": D(441)}),
    ({"order_type": "TRAIL", "trail_amount": D(5), "stop_price": D(430), "side": Side.SELL},
     {"stop_price": D(437)}, {"auxiliary_price": D(5), "trail_stop": D(435), "side": Side.SELL}),
]  # fmt: skip


@pytest.mark.parametrize(("placed", "change", "told"), ALL_BUT_SIZE)
def test_a_change_of_any_field_waits_for_an_order_that_shows_it(
    placed: dict[str, Any], change: dict[str, Any], told: dict[str, Any]
) -> None:
    order = an_order(an_intent(**placed))
    asked = order.asked_to_become(a_change(an_intent(**(placed | change))))
    kind = {"order_type": placed["order_type"]}
    before = asked.worked_as(terms_of(an_open_order(**kind, **told)))
    assert before.wanted is not None, "it still works on its old terms"
    renamed = {"trail_stop" if name == "stop_price" else name: value for name, value in change.items()}
    assert before.worked_as(terms_of(an_open_order(**kind, **(told | renamed)))).wanted is None


def test_the_rest_of_a_market_to_limit_order_is_changed_though_the_broker_works_it_as_another_type() -> None:
    order = an_order(an_intent(order_type="MTL"))
    asked = order.asked_to_become(a_change(an_intent(order_type="MTL", quantity=D(70))))
    assert asked.worked_as(terms_of(an_open_order(limit_price=D(440)))).wanted is not None
    assert asked.worked_as(terms_of(an_open_order(limit_price=D(440), quantity=D(70)))).wanted is None


def test_where_a_trailing_stop_began_is_said_once() -> None:
    trail = an_intent(order_type="TRAIL", trail_amount=D(5), stop_price=D(430), side=Side.SELL)
    assert as_written(trail, trail.revised(trail_amount=D(3))).stop_price is None
    assert as_written(trail, trail.revised(stop_price=D(433))).stop_price == 433
    stop = an_intent(order_type="STP", stop_price=D(430))
    assert as_written(stop, stop.revised(quantity=D(5))).stop_price == 430


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"quantity": D(5), "limit_price": D(1), "reference_price": D(7)}, ""),
        ({"side": Side.SELL}, "side"),
        ({"time_in_force": "DAY"}, "time_in_force"),
        ({"outside_hours": True}, "outside_hours"),
        ({"oca_group": "other"}, "oca_group"),
    ],
)
def test_only_size_prices_and_date_of_an_order_can_change(change: dict[str, Any], field: str) -> None:
    assert unchangeable(limited(), limited().revised(**change)) == field


THURSDAY = datetime(2013, 2, 28, 17, 0, tzinfo=UTC)
SYDNEY = {"exchange": "ASX", "primary_exchange": "ASX", "time_zone": "Australia/Sydney", "currency": "AUD"}


@pytest.mark.parametrize(
    ("contract", "terms", "last"),
    [
        ({}, {"time_in_force": "DAY"}, datetime(2013, 2, 28, 21, 0, tzinfo=UTC)),
        ({}, {"time_in_force": "DAY", "outside_hours": True}, datetime(2013, 3, 1, 5, 0, tzinfo=UTC)),
        ({}, {"time_in_force": "GTC"}, None),
        ({}, {"time_in_force": "GTD", "good_till": THURSDAY + timedelta(days=3)}, THURSDAY + timedelta(days=3)),
        (SYDNEY, {"time_in_force": "DAY"}, datetime(2013, 3, 1, 5, 0, tzinfo=UTC)),  # four in the afternoon there
    ],
)
def test_a_day_ends_when_the_exchange_closes(
    contract: dict[str, Any], terms: dict[str, Any], last: datetime | None
) -> None:
    order = an_order(limited(event_time=THURSDAY, **terms))
    assert last_moment(order, a_contract(**contract)) == last


def test_an_order_placed_after_the_close_is_of_the_next_session() -> None:
    order = an_order(limited(event_time=THURSDAY + timedelta(hours=6), time_in_force="DAY"))
    assert last_moment(order, a_contract()) == datetime(2013, 3, 1, 21, 0, tzinfo=UTC)
