"""Whatever a broker does to orders, and however late it tells: no limit is passed."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.account_figures import exposures
from schemas.orders import DenialReason, OrderType, Side
from tests.unit.a_broker_of_sorts import PRICE, World
from tests.unit.test_risk import limits

D = Decimal
POSITION, GROSS, OPEN = D(500), D(70_000), 8
TIGHT = limits(position_max=POSITION, gross_exposure_max=GROSS, open_orders_max=OPEN)
APART = {
    Side.BUY: {"order_type": OrderType.LIMIT, "limit_price": D(99)},
    Side.SELL: {"order_type": OrderType.LIMIT, "limit_price": D(101)},
}
"""Prices at which own orders of both sides may stand beside each other."""
OTHER_SIDE = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


def one_step(world: World, data: st.DataObject, *, groups: bool) -> None:
    """Somebody wants something, or the broker does something."""
    live = world.pick(lambda each: bool(world.may_fill(each)))
    going = world.pick(lambda each: not world.orders[each].done)
    asked = [each for each, changes in world.asked.items() if changes]
    kinds = ["order", "bracket", *(["group"] if groups else [])]
    kinds += ["fill"] * 2 * bool(live) + ["change", "end", "told"] * bool(going) + ["answer"] * bool(asked)
    match data.draw(st.sampled_from(kinds)):
        case "order":
            contract, side, quantity = _what(data)
            world.propose(world.intent(contract, side, quantity, **APART[side]))
        case "bracket":
            _bracket(world, data, grouped=groups)
        case "group":
            contract, side, quantity = _what(data)
            name = world.new_id()
            for _ in range(2):
                world.propose(world.intent(contract, side, quantity, oca_group=name, **APART[side]))
        case "fill":
            order_id = data.draw(st.sampled_from(live))
            world.fill(order_id, D(data.draw(st.integers(1, int(world.may_fill(order_id))))))
        case "change":
            world.propose(world.change_of(data.draw(st.sampled_from(going)), data.draw(st.integers(1, 600))))
        case "end":
            world.end(data.draw(st.sampled_from(going)))
        case "told":
            world.acknowledge(data.draw(st.sampled_from(going)))
        case "answer":
            world.answer(data.draw(st.sampled_from(asked)), data.draw(st.booleans()))


def _what(data: st.DataObject) -> tuple[int, Side, int]:
    return data.draw(st.sampled_from([1, 2])), data.draw(st.sampled_from(Side)), data.draw(st.integers(1, 500))


def _bracket(world: World, data: st.DataObject, *, grouped: bool) -> None:
    contract, side, quantity = _what(data)
    entry = world.intent(contract, side, quantity, **APART[side])
    if not world.propose(entry).approved:
        return
    group = world.new_id() if grouped else ""
    for number in range(data.draw(st.integers(1, 2))):
        way = {"order_type": OrderType.STOP, "stop_price": D(90 + 20 * number), "parent_id": entry.intent_id}
        size = data.draw(st.one_of(st.just(quantity), st.integers(1, 600)))
        world.propose(world.intent(contract, OTHER_SIDE[side], size, oca_group=group, **way))


@settings(max_examples=60)
@given(data=st.data())
def test_with_orders_changes_and_exits_the_worst_case_stays_within_every_limit(data: st.DataObject) -> None:
    world = World(TIGHT)
    for _ in range(data.draw(st.integers(10, 25))):
        one_step(world, data, groups=False)

        assert all(world.worst(contract) <= POSITION for contract in world.held)
        # an exit counts at its stop, 90: below the price, so the price counts
        assert sum((world.worst(contract) * PRICE for contract in world.held), D(0)) <= GROSS
        assert sum(each.works for each in world.book.in_flight.values()) <= OPEN


@settings(max_examples=40)
@given(data=st.data())
def test_orders_and_changes_at_any_price_pass_no_limit_in_money(data: st.DataObject) -> None:
    """What the book itself says that it may come to be worth, at the prices of the orders."""
    net = D(40_000)
    world = World(limits(gross_exposure_max=GROSS, net_exposure_max=net))
    for _ in range(data.draw(st.integers(10, 25))):
        live = world.pick(lambda each: bool(world.may_fill(each)))
        match data.draw(st.sampled_from(["order", *["fill", "change"] * bool(live)])):
            case "order":
                contract, side, quantity = _what(data)
                group = data.draw(st.sampled_from(["", "g", "h"])) and f"{contract}-{side}"
                world.propose(world.intent(contract, side, quantity, oca_group=group, **_stop(data)))
            case "fill":
                order_id = data.draw(st.sampled_from(live))
                world.fill(order_id, D(data.draw(st.integers(1, int(world.may_fill(order_id))))))
            case "change":
                way = _stop(data)
                size = data.draw(st.integers(1, 600))
                world.propose(world.change_of(data.draw(st.sampled_from(live)), size, stop_price=way["stop_price"]))

        found = exposures(world.book)
        assert sum((each.worst for each in found), D(0)) <= GROSS
        assert abs(sum(world.held.values(), D(0))) * PRICE <= net


def _stop(data: st.DataObject) -> dict[str, Any]:
    return {"order_type": OrderType.STOP, "stop_price": D(data.draw(st.integers(50, 300)))}


@settings(max_examples=60)
@given(data=st.data())
def test_with_groups_too_no_position_passes_its_limit(data: st.DataObject) -> None:
    world = World(TIGHT)
    for _ in range(data.draw(st.integers(10, 25))):
        one_step(world, data, groups=True)

        assert all(abs(held) <= POSITION for held in world.held.values())
        assert sum((abs(held) * PRICE for held in world.held.values()), D(0)) <= GROSS


@pytest.mark.parametrize(("size", "approved"), [(100, True), (101, False)])
def test_an_exit_is_no_larger_than_what_it_leaves(size: int, approved: bool) -> None:
    world = World(TIGHT)
    entry = world.intent(1, Side.BUY, 100)
    world.propose(entry)
    exit_ = world.intent(1, Side.SELL, size, order_type=OrderType.STOP, stop_price=D(90), parent_id=entry.intent_id)
    assert world.propose(exit_).approved is approved


def test_neither_an_exit_nor_its_entry_is_changed_so_that_the_exit_is_larger() -> None:
    world = World(TIGHT)
    entry = world.intent(1, Side.BUY, 100)
    world.propose(entry)
    exit_ = world.intent(1, Side.SELL, 80, order_type=OrderType.STOP, stop_price=D(90), parent_id=entry.intent_id)
    world.propose(exit_)
    assert world.propose(world.change_of(exit_.intent_id, 101)).reason is DenialReason.QUANTITY_MAX
    assert world.propose(world.change_of(entry.intent_id, 79)).reason is DenialReason.QUANTITY_MAX
    assert world.propose(world.change_of(entry.intent_id, 80)).approved
    raised = world.propose(world.change_of(exit_.intent_id, 81))
    assert raised.reason is DenialReason.QUANTITY_MAX, "the entry may come to eighty by now"
    world.fill(entry.intent_id, D(80))
    world.answer(entry.intent_id, taken=True)
    assert not world.propose(world.change_of(exit_.intent_id, 81)).approved, "nor when it has filled"


def test_two_exits_of_one_order_are_in_one_group() -> None:
    world = World(TIGHT)
    entry = world.intent(1, Side.BUY, 100)
    world.propose(entry)
    terms = {"order_type": OrderType.STOP, "parent_id": entry.intent_id}
    assert world.propose(world.intent(1, Side.SELL, 100, stop_price=D(90), **terms)).approved
    for group in ("", "other"):
        another = world.intent(1, Side.SELL, 99, stop_price=D(95), oca_group=group, **terms)
        assert world.propose(another).reason is DenialReason.UNSUPPORTED


def test_an_order_of_another_contract_counts_whole_whatever_it_waits_for() -> None:
    world = World(TIGHT)
    entry = world.intent(1, Side.BUY, 100)
    world.propose(entry)
    world.propose(world.intent(2, Side.SELL, 90, parent_id=entry.intent_id, **APART[Side.SELL]))
    assert world.worst(2) == 90


def test_a_change_counts_at_the_more_of_before_and_after_until_it_is_answered() -> None:
    world = World(TIGHT)
    order = world.intent(1, Side.BUY, 200)
    world.propose(order)
    assert world.propose(world.change_of(order.intent_id, 500)).approved
    assert world.worst(1) == 500
    world.acknowledge(order.intent_id)
    assert world.worst(1) == 500, "what is told of before the change settles nothing"

    world.answer(order.intent_id, taken=False)
    assert world.worst(1) == 200
    assert world.propose(world.change_of(order.intent_id, 501)).reason is DenialReason.POSITION_MAX


def test_a_change_to_less_frees_room_only_when_the_broker_has_taken_it() -> None:
    world = World(TIGHT)
    order = world.intent(1, Side.BUY, 500)
    world.propose(order)
    world.propose(world.change_of(order.intent_id, 100))
    assert not world.propose(world.intent(1, Side.BUY, 1)).approved

    world.answer(order.intent_id, taken=True)
    assert world.propose(world.intent(1, Side.BUY, 400)).approved


def test_the_exits_of_a_bracket_take_no_room_of_their_own() -> None:
    world = World(TIGHT)
    entry = world.intent(1, Side.BUY, 500)
    terms = {"parent_id": entry.intent_id, "oca_group": "exits"}
    assert world.propose(entry).approved
    for stop in (90, 95):
        exit_ = world.intent(1, Side.SELL, 500, order_type=OrderType.STOP, stop_price=D(stop), **terms)
        assert world.propose(exit_).approved
    assert world.worst(1) == 500
    world.fill(entry.intent_id, D(300))
    assert world.worst(1) == 500, "three hundred held and two hundred to come, of which exits can only take away"


@pytest.mark.parametrize("told_first", [True, False])
def test_a_fill_after_a_cancel_finds_its_room_kept(told_first: bool) -> None:
    world = World(TIGHT)
    order = world.intent(1, Side.BUY, 500)
    world.propose(order)
    world.orders[order.intent_id].filled = D(40)
    if told_first:
        world.end(order.intent_id)
        assert world.worst(1) == 40, "filled before the cancel, and not yet heard of"
    world.orders[order.intent_id].filled = D(0)
    world.fill(order.intent_id, D(40))
    assert world.worst(1) == (40 if told_first else 500)
