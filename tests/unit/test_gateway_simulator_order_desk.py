"""Changes, cancels, ids, binding of manual orders, and the lists of open and completed orders."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from ib_insync import Crypto, Forex, Stock

from infra.errors import UsageError
from infra.gateway_simulator.orders.manual import ManualOrder
from tests.unit.an_order_floor import OrderFloor, Trader

BY_HAND = ManualOrder(symbol="AAPL", action="BUY", quantity=Decimal(100), order_type="LMT", limit_price=Decimal(430))


@pytest.fixture
def floor() -> OrderFloor:
    floor = OrderFloor()
    floor.print(440.0)
    floor.display(bid=300, ask=300)
    return floor


@pytest.mark.parametrize(
    "changed",
    [
        {"limit": 431.0},
        {"quantity": 250},
        {"tif": "GTC"},
        {"kind": "MKT"},
        {"ref": "other"},
        {"kind": "STP", "stop": 450.0},
        {"outsideRth": True},
        {"displaySize": 50},
    ],
)
async def test_what_can_be_changed(floor: OrderFloor, changed: dict[str, Any]) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 200, limit=430.0)
    terms: dict[str, Any] = {"quantity": 200, "kind": "LMT", "limit": 430.0} | changed
    await trader.place("BUY", terms.pop("quantity"), terms.pop("kind"), order_id=number, **terms)

    assert trader.codes(number) == []
    order = floor.order(number)
    assert (float(order.terms.quantity), order.terms.kind) == (changed.get("quantity", 200), changed.get("kind", "LMT"))


@pytest.mark.parametrize(
    ("terms", "code"),
    [
        ({"action": "SELL"}, 105),
        ({"quantity": 50}, 105),  # less than has been filled
        ({"limit": 430.001}, 110),
        ({"quantity": 1_000_000}, 201),
        ({"parent": 7}, 105),
        ({"tif": "OPG", "kind": "STP", "stop": 1.0}, 111),
    ],
)
async def test_a_change_that_cannot_be_leaves_the_order_as_it_was(
    floor: OrderFloor, terms: dict[str, Any], code: int
) -> None:
    trader = floor.trader()
    floor.display(ask=100)
    number = await trader.place("BUY", 200, limit=440.01)
    wanted: dict[str, Any] = {"action": "BUY", "quantity": 200, "kind": "LMT", "limit": 440.01} | terms
    before = replace(floor.order(number).terms)
    await trader.place(wanted.pop("action"), wanted.pop("quantity"), wanted.pop("kind"), order_id=number, **wanted)

    assert trader.codes(number) == [code]
    assert floor.order(number).terms == before
    assert trader.statuses(number) == ["Submitted"]


async def test_a_filled_order_cannot_be_changed(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, "MKT")
    await trader.place("BUY", 200, "MKT", order_id=number)

    assert trader.codes(number) == [104]


async def test_a_change_of_price_costs_the_place_in_the_queue(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=439.99)
    floor.print(439.99, size=250)
    ahead = floor.order(number).ahead
    await trader.place("BUY", 80, limit=439.99, order_id=number)
    assert floor.order(number).ahead == ahead
    await trader.place("BUY", 80, limit=439.0, order_id=number)

    assert floor.order(number).ahead != ahead


async def test_an_id_is_used_up_by_a_refusal(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=430.001)
    await trader.place("BUY", 100, limit=430.0, order_id=number)

    assert trader.codes(number) == [110, 103]


async def test_cancels_that_come_too_late_or_miss(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, "MKT")
    await trader.cancel(number)
    await trader.cancel(999)
    await trader.cancel(0)

    assert trader.errors == [(number, 10148), (999, 10147), (0, 10147)]


async def test_a_global_cancel_takes_the_orders_of_all_clients(floor: OrderFloor) -> None:
    one, two = floor.trader(1), floor.trader(2)
    await one.place("BUY", 100, limit=430.0)
    parent = await two.place("BUY", 100, limit=430.0)
    await two.place("SELL", 100, limit=450.0, parent=parent)
    await one.ask("reqGlobalCancel")

    assert floor.book.live == {}


def open_ids(trader: Trader) -> list[int]:
    return [int(str(each[1])) for each in trader.told if each[0] == 5]


async def test_orders_of_tws_are_bound_to_client_zero_under_negative_ids(floor: OrderFloor) -> None:
    zero, other = floor.trader(0), floor.trader(3)
    await other.place("BUY", 100, limit=430.0)
    floor.gateway.orders.place_by_hand(BY_HAND)
    zero.told.clear()
    other.told.clear()
    await other.ask("reqAllOpenOrders")
    assert open_ids(other) == [1, 0]
    await zero.ask("reqOpenOrders")
    assert open_ids(zero) == [-1]
    await zero.cancel(-1)

    assert zero.statuses(-1)[-1] == "Cancelled"
    zero.told.clear()
    await zero.ask("reqCompletedOrders", True)
    assert [each[0] for each in zero.told] == [102]
    await zero.ask("reqCompletedOrders", False)
    assert [each[0] for each in zero.told] == [102, 101, 102]


async def test_client_zero_can_have_orders_of_tws_bound_as_they_come(floor: OrderFloor) -> None:
    zero, other = floor.trader(0), floor.trader(3)
    await other.ask("reqAutoOpenOrders", True)
    assert other.errors == [(-1, 327)]
    await zero.ask("reqAutoOpenOrders", True)
    floor.gateway.orders.place_by_hand(BY_HAND)

    assert open_ids(zero) == [-1]


async def test_clients_see_their_own_open_orders(floor: OrderFloor) -> None:
    one, two = floor.trader(1), floor.trader(2)
    await one.place("BUY", 100, limit=430.0)
    two.told.clear()
    await two.ask("reqOpenOrders")

    assert [each[0] for each in two.told] == [53]


async def test_a_person_at_tws_is_told_what_is_wrong_with_an_order(floor: OrderFloor) -> None:
    with pytest.raises(UsageError, match="110: The price does not conform"):
        floor.gateway.orders.place_by_hand(BY_HAND.model_copy(update={"limit_price": Decimal("430.001")}))
    with pytest.raises(UsageError, match="200: No security definition"):
        floor.gateway.orders.place_by_hand(BY_HAND.model_copy(update={"symbol": "NONE"}))
    with pytest.raises(UsageError, match="price: Extra inputs are not permitted"):
        ManualOrder.read({"symbol": "AAPL", "action": "BUY", "quantity": 1, "price": 3})
    with pytest.raises(UsageError, match="has no live order 5"):
        floor.gateway.orders.cancel_manually(1, 5)


async def test_a_person_at_tws_can_cancel_the_orders_of_clients(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=430.0)
    floor.gateway.orders.cancel_manually(1, number)

    assert trader.statuses(number)[-1] == "Cancelled"


@pytest.mark.parametrize(
    ("contract", "kind", "tif", "code"),
    [
        (Forex("EURUSD"), "LMT", "GTC", None),
        (Forex("EURUSD"), "MOC", "DAY", 387),
        (Forex("EURUSD"), "LMT", "OPG", 387),
        (Crypto("BTC", "PAXOS", "USD"), "STP", "DAY", 387),
        (Stock("BHP", "ASX", "AUD"), "MIDPRICE", "DAY", 387),
        (Stock("AAPL", "SMART", "USD"), "MIDPRICE", "DAY", None),
    ],
)
async def test_what_an_instrument_takes_is_in_its_details(
    floor: OrderFloor, contract: Any, kind: str, tif: str, code: int | None
) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 1, kind, contract=contract, limit=1.0, stop=2.0, tif=tif)
    await trader.ask("reqContractDetails", 7, contract)

    assert (code in trader.codes(number)) is (code is not None)
    told = str(next(each for each in trader.told if each[0] == 10)[15]).split(",")
    word = {"MIDPRICE": "MIDPX"}.get(kind, kind)
    assert ({word, tif} <= set(told)) is (code is None)
