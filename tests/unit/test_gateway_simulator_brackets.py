"""Orders that hang together: brackets with their transmit flags, and one-cancels-all groups."""

from decimal import Decimal

import pytest

from infra.gateway_simulator.accounts.opened import Opening
from tests.unit.an_order_floor import OrderFloor, Trader


@pytest.fixture
def floor() -> OrderFloor:
    """Apple at 440.00, 300 shares on each side."""
    floor = OrderFloor()
    floor.print(440.0)
    floor.display(bid=300, ask=300)
    return floor


async def a_bracket(trader: Trader, limit: float = 440.01, quantity: int = 100) -> tuple[int, int, int]:
    """A parent that buys, and its two exits; the last one transmits them all."""
    parent = await trader.place("BUY", quantity, limit=limit, transmit=False)
    profit = await trader.place("SELL", quantity, limit=442.0, parent=parent, transmit=False)
    loss = await trader.place("SELL", quantity, "STP", stop=438.0, parent=parent)
    return parent, profit, loss


async def test_an_order_that_is_not_transmitted_is_known_to_nobody(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=440.01, transmit=False)
    floor.print(430.0)
    await trader.ask("reqOpenOrders")

    assert [each[0] for each in trader.told] == [53]
    assert floor.held() == 0
    await trader.place("BUY", 100, limit=440.01, order_id=number)
    assert trader.statuses(number)[-1] == "Filled"


async def test_an_order_that_is_not_transmitted_can_be_cancelled(floor: OrderFloor) -> None:
    trader = floor.trader()
    number = await trader.place("BUY", 100, limit=440.01, transmit=False)
    await trader.cancel(number)

    assert (trader.statuses(number), trader.codes(number)) == (["ApiCancelled"], [202])


async def test_the_last_order_of_a_bracket_transmits_them_all(floor: OrderFloor) -> None:
    trader = floor.trader()
    parent, profit, loss = await a_bracket(trader, limit=439.0)

    assert [trader.statuses(each) for each in (parent, profit, loss)] == [
        ["Submitted"],
        ["PreSubmitted"],
        ["PreSubmitted"],
    ]
    assert (trader.why_held(profit), trader.why_held(loss)) == ("child", "child,trigger")


async def test_children_go_to_the_market_when_their_parent_has_filled(floor: OrderFloor) -> None:
    trader = floor.trader()
    parent, profit, loss = await a_bracket(trader)

    assert trader.statuses(parent)[-1] == "Filled"
    assert (trader.statuses(profit)[-1], trader.statuses(loss)[-1]) == ("Submitted", "PreSubmitted")
    assert trader.why_held(loss) == "trigger"
    floor.print(442.5)
    assert (trader.statuses(profit)[-1], trader.statuses(loss)[-1]) == ("Filled", "Cancelled")
    assert floor.held() == 0


async def test_an_account_without_margin_can_have_brackets_but_sells_nothing_short() -> None:
    floor = OrderFloor(accounts=(Opening("DU9", {"USD": Decimal(50_000)}, is_cash_account=True),))
    floor.print(440.0)
    trader = floor.trader()
    ids = await a_bracket(trader, limit=439.0)
    assert [trader.codes(each) for each in ids] == [[], [], []]
    assert trader.codes(await trader.place("SELL", 100, limit=450.0)) == [201]
    too_much = await trader.place("SELL", 101, limit=450.0, parent=ids[0])

    assert trader.codes(too_much) == [201]


async def test_the_stop_of_a_bracket_cancels_its_profit_taker(floor: OrderFloor) -> None:
    trader = floor.trader()
    _, profit, loss = await a_bracket(trader)
    floor.print(437.0)

    assert (trader.statuses(profit)[-1], trader.statuses(loss)[-1]) == ("Cancelled", "Filled")
    assert 202 in trader.codes(profit)


async def test_a_parent_that_has_filled_in_part_keeps_its_children_waiting(floor: OrderFloor) -> None:
    trader = floor.trader()
    parent, profit, _ = await a_bracket(trader, quantity=500)

    assert trader.statuses(parent)[-1] == "Submitted"
    assert floor.held() == 300
    assert trader.why_held(profit) == "child"


async def test_children_are_cancelled_with_their_parent(floor: OrderFloor) -> None:
    trader = floor.trader()
    parent, profit, loss = await a_bracket(trader, limit=439.0)
    await trader.cancel(parent)

    assert {trader.statuses(each)[-1] for each in (parent, profit, loss)} == {"Cancelled"}
    assert floor.book.live == {}


async def test_a_partial_fill_of_one_child_reduces_the_other(floor: OrderFloor) -> None:
    trader = floor.trader()
    _, profit, loss = await a_bracket(trader, quantity=200)
    floor.book.live[(1, profit)].ahead = 0
    floor.print(442.0, size=50)
    assert trader.fills(profit) == [(50, 442.0)]

    assert floor.order(loss).terms.quantity == 150
    assert floor.order(loss).terms.oca_group == str(floor.order(profit).parent_permanent_id)


async def test_a_child_may_come_when_its_parent_works_already(floor: OrderFloor) -> None:
    trader = floor.trader()
    parent = await trader.place("BUY", 100, limit=439.0)
    child = await trader.place("SELL", 100, limit=445.0, parent=parent)
    assert trader.why_held(child) == "child"
    floor.print(438.0)

    assert trader.statuses(child)[-1] == "Submitted"


async def test_a_market_child_trades_as_soon_as_its_parent_has_filled(floor: OrderFloor) -> None:
    trader = floor.trader()
    parent = await trader.place("BUY", 100, "MKT", transmit=False)
    child = await trader.place("SELL", 100, "MKT", parent=parent)

    assert (trader.fills(parent), trader.fills(child)) == ([(100, 440.01)], [(100, 439.99)])


@pytest.mark.parametrize(("kind", "others"), [(1, None), (2, 60), (3, 60)])
async def test_what_a_partial_fill_does_to_its_group(floor: OrderFloor, kind: int, others: int | None) -> None:
    trader = floor.trader()
    floor.display(ask=80)
    other = await trader.place("BUY", 100, limit=430.0, group="either", ocaType=kind)
    await trader.place("BUY", 200, limit=440.01, group="either", ocaType=kind)

    assert floor.held() == 80
    order = floor.order(other)
    assert (order.terms.quantity if order.is_live else None) == others


@pytest.mark.parametrize("kind", [1, 2, 3])
async def test_a_complete_fill_cancels_the_rest_of_the_group(floor: OrderFloor, kind: int) -> None:
    trader = floor.trader()
    other = await trader.place("BUY", 100, limit=430.0, group="either", ocaType=kind)
    await trader.place("BUY", 100, limit=440.01, group="either", ocaType=kind)

    assert trader.statuses(other) == ["Submitted", "Cancelled"]


@pytest.mark.parametrize(("kind", "held"), [(1, 100), (2, 100), (3, 200)])
async def test_only_without_block_can_one_print_fill_two_of_a_group(floor: OrderFloor, kind: int, held: int) -> None:
    trader = floor.trader()
    for _ in range(2):
        await trader.place("BUY", 100, limit=439.0, group="either", ocaType=kind)
    floor.print(438.0)

    assert floor.held() == held


async def test_a_group_reaches_across_clients_of_the_same_account(floor: OrderFloor) -> None:
    one, two = floor.trader(1), floor.trader(2)
    other = await two.place("SELL", 100, limit=450.0, group="exit", ocaType=1)
    await one.place("BUY", 100, "MKT", group="exit", ocaType=1)

    assert two.statuses(other)[-1] == "Cancelled"
