"""Orders one after another on one book: what each may add in money, and how often a strategy may ask."""

from decimal import Decimal
from typing import Any

import pytest

from engine.account_book import Held
from engine.account_figures import exposures
from schemas.account import RiskLimits
from schemas.orders import DenialReason, OrderType, Side
from tests.unit.a_broker_of_sorts import PRICE, World
from tests.unit.test_risk import limits

D = Decimal


def at_most(gross: int) -> RiskLimits:
    return limits(gross_exposure_max=D(gross), price_collar=D("0.2"))


GROSS = at_most(98_000)


def stop(price: int) -> dict[str, Any]:
    return {"order_type": OrderType.STOP, "stop_price": D(price)}


def limit(price: int) -> dict[str, Any]:
    return {"order_type": OrderType.LIMIT, "limit_price": D(price)}


def gross(world: World) -> Decimal:
    """As the book says it."""
    return sum((each.worst for each in exposures(world.book)), D(0))


@pytest.mark.parametrize(
    ("first", "after"), [(stop(100), {"stop_price": D(101)}), (limit(100), {"limit_price": D(101)})]
)
def test_a_change_of_price_alone_passes_no_gross_limit(first: dict[str, Any], after: dict[str, Any]) -> None:
    world = World(GROSS)
    order = world.intent(1, Side.BUY, 980, **first)
    assert world.propose(order).approved
    assert world.propose(world.change_of(order.intent_id, 980, **after)).reason is DenialReason.GROSS_EXPOSURE_MAX
    assert gross(world) == 98_000


def test_a_change_to_a_better_price_or_to_less_passes_in_a_book_that_is_over_its_limit() -> None:
    world = World(GROSS)
    order = world.intent(1, Side.BUY, 980, **limit(100))
    assert world.propose(order).approved
    world.book.limits = {scope: at_most(50_000) for scope in world.book.limits}
    assert world.propose(world.change_of(order.intent_id, 980, limit_price=D(99))).approved
    assert world.propose(world.change_of(order.intent_id, 900)).approved
    assert not world.propose(world.change_of(order.intent_id, 900, limit_price=D(101))).approved


def test_an_order_in_the_group_of_another_counts_at_its_own_price() -> None:
    world = World(GROSS)
    assert world.propose(world.intent(1, Side.BUY, 980, oca_group="g", **stop(100))).approved
    dearer = world.intent(1, Side.BUY, 980, oca_group="g", **stop(300))
    assert world.propose(dearer).reason is DenialReason.GROSS_EXPOSURE_MAX
    assert world.propose(world.intent(1, Side.BUY, 980, oca_group="g", **stop(90))).approved
    assert gross(world) == 98_000


def test_a_dear_sale_in_flight_hides_no_change_of_a_purchase() -> None:
    world = World(GROSS)
    order = world.intent(1, Side.BUY, 980, **limit(100))
    assert world.propose(order).approved
    assert world.propose(world.intent(1, Side.SELL, 10, **limit(120))).approved, "ten at 120 are little"
    raised = world.propose(world.change_of(order.intent_id, 980, limit_price=D(119)))
    assert raised.reason is DenialReason.GROSS_EXPOSURE_MAX
    assert gross(world) == 98_000


@pytest.mark.parametrize("held", [500, -500])
def test_what_closes_a_position_may_wait_at_any_price(held: int) -> None:
    world = a_holder(held, at_most(50_000))
    side = Side.SELL if held > 0 else Side.BUY
    closing = world.intent(1, side, 500, **stop(150))
    assert world.propose(closing).approved
    assert world.propose(world.change_of(closing.intent_id, 500, stop_price=D(200))).approved
    assert gross(world) == 50_000


def test_exits_far_away_leave_the_worth_of_their_entry_as_it_is() -> None:
    world = World(GROSS)
    entry = world.intent(1, Side.BUY, 980, **limit(100))
    assert world.propose(entry).approved
    exit_ = world.intent(1, Side.SELL, 980, parent_id=entry.intent_id, **limit(190))
    assert world.propose(exit_).approved
    assert world.propose(world.change_of(exit_.intent_id, 980, limit_price=D(200))).approved
    assert gross(world) == 98_000


@pytest.mark.parametrize(("beside", "passes"), [(980, True), (1080, False)])
def test_an_exit_far_away_is_refused_for_what_it_adds_and_not_for_its_price(beside: int, passes: bool) -> None:
    world = World(GROSS)
    entry = world.intent(1, Side.SELL, 100, **limit(100))
    assert world.propose(entry).approved
    world.fill(entry.intent_id, D(100))
    assert world.propose(world.intent(1, Side.BUY, beside, **limit(100))).approved
    exit_ = world.intent(1, Side.BUY, 100, parent_id=entry.intent_id, **stop(140))
    assert world.propose(exit_).approved is passes


def test_what_turns_a_position_round_counts_with_what_is_left() -> None:
    world = a_holder(500, at_most(50_000))
    assert world.propose(world.intent(1, Side.SELL, 1000)).approved
    assert not world.propose(world.intent(1, Side.SELL, 1)).approved
    assert gross(world) == 50_000


def test_a_far_stop_against_a_short_position_makes_no_room_for_purchases_elsewhere() -> None:
    world = a_holder(-400, limits(net_exposure_max=D(50_000)))
    assert world.propose(world.intent(1, Side.BUY, 1, **stop(1000))).approved
    assert world.propose(world.intent(2, Side.BUY, 4000)).reason is DenialReason.NET_EXPOSURE_MAX
    assert world.propose(world.intent(2, Side.BUY, 890)).approved, "40,000 short, 1,000 and 89,000 to be bought"
    assert not world.propose(world.intent(2, Side.BUY, 1)).approved


def test_a_change_of_price_alone_passes_no_net_limit() -> None:
    world = World(limits(net_exposure_max=D(10_000)))
    order = world.intent(1, Side.BUY, 100, **stop(100))
    assert world.propose(order).approved
    assert world.propose(world.change_of(order.intent_id, 100, stop_price=D(101))).reason is (
        DenialReason.NET_EXPOSURE_MAX
    )


def a_holder(quantity: int, rules: RiskLimits) -> World:
    world = World(rules)
    world.held[1] = D(quantity)
    world.book.positions[1] = Held(1, "X", "USD", D(quantity), PRICE, PRICE)
    return world


def test_orders_per_fill_may_be_reached_by_the_order_that_is_looked_at() -> None:
    world = World(limits(orders_per_fill_max=1))
    first = world.propose(world.intent(1, Side.BUY, 1))
    assert (first.approved, first.basis.messages_lately) == (True, 0)
    second = world.propose(world.intent(1, Side.BUY, 2))
    assert second.reason is DenialReason.ORDERS_PER_FILL_MAX
    assert second.basis.messages_lately == 1

    world.book.fills["crossover"] = 3
    assert world.propose(world.intent(1, Side.BUY, 3)).approved, "two messages and this one, for three fills"
    assert not world.propose(world.intent(1, Side.BUY, 4)).approved


@pytest.mark.parametrize(("side", "far", "near", "between"), [(Side.BUY, 90, 99, 98), (Side.SELL, 110, 101, 102)])
def test_an_order_whose_limit_is_being_changed_stands_in_the_way_at_both(
    side: Side, far: int, near: int, between: int
) -> None:
    other = Side.SELL if side is Side.BUY else Side.BUY
    world = World(limits(price_collar=D("0.2")))
    order = world.intent(1, side, 10, **limit(far))
    assert world.propose(order).approved
    assert world.propose(world.change_of(order.intent_id, 10, limit_price=D(near))).approved
    denied = world.propose(world.intent(1, other, 10, **limit(between)))
    assert denied.reason is DenialReason.SELF_MATCH
    assert world.propose(world.change_of(order.intent_id, 10, limit_price=D(far))).approved
    again = world.propose(world.intent(1, other, 10, **limit(between)))
    assert again.reason is DenialReason.SELF_MATCH, "the broker may not have heard of the way back yet"
