"""A strategy that is to stop with nothing: it cancels first, sells once, tries again for a day, and says what stays."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import pytest

from engine.facts import Bar
from engine.live import hosts
from engine.live.outputs import Output
from engine.strategy import BaseStrategy, StrategySignal
from schemas.orders import CancelIntent, DenialReason, OrderIntent, OrderStatus, Side
from schemas.strategy import Allocate, RunningState, Start, Stop
from tests.builders import NOON, a_bar, a_fill
from tests.unit.test_running_strategy import COMMAND, Desk, an_update, decided

LIQUIDATE = Stop(**COMMAND, liquidate=True)


class Keen(BaseStrategy):
    """Wants to be long."""

    def on_bar(self, bar: Bar) -> StrategySignal:
        return StrategySignal.long(bar.contract_id)


class Bracketed(BaseStrategy):
    """Enters once, by a bracket."""

    def on_start(self) -> None:
        self.entered = False

    def on_bar(self, bar: Bar) -> None:
        if not self.entered:
            self.entered = True
            self.bracket(10, stop=430.0, target=460.0, kind="LMT", limit=440.0)


@pytest.fixture(autouse=True)
def _own_strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "strategy_class", {"keen": Keen, "bracketed": Bracketed}.__getitem__)


def orders(outputs: list[Output]) -> list[OrderIntent]:
    return [each for each in outputs if isinstance(each, OrderIntent)]


def cancelled(outputs: list[Output]) -> list[str]:
    return [each.order_id for each in outputs if isinstance(each, CancelIntent)]


def fill(desk: Desk, order: OrderIntent) -> list[Output]:
    """All of it, told by the broker and by the execution."""
    said = {"order_id": order.intent_id, "strategy_id": "holder", "side": order.side}
    told = desk.give(a_fill(execution_id=f"of {order.intent_id}", last_quantity=order.quantity, **said))
    return told + desk.give(an_update(order, OrderStatus.FILLED, int(order.quantity)))


def selling() -> tuple[Desk, OrderIntent]:
    """It holds a hundred, and has just asked to sell them."""
    desk = Desk(strategy="keen")
    desk.give(Start(**COMMAND))
    (bought,) = orders(desk.bar())
    fill(desk, bought)
    (sold,) = orders(desk.give(LIQUIDATE))
    return desk, sold


def bars_until(desk: Desk, most: int) -> Iterator[list[Output]]:
    for _ in range(most):
        yield desk.bar()


def test_what_a_limit_denies_is_tried_again_by_itself_ever_later() -> None:
    desk, order = selling()
    waited: list[float] = []
    for _ in range(9):
        before = order.event_time
        desk.give(decided(order, DenialReason.NOTIONAL_MAX))
        (order,) = next(found for outputs in bars_until(desk, 100) if (found := orders(outputs)))
        waited.append((order.event_time - before).total_seconds())
        assert (order.side, order.quantity) == (Side.SELL, Decimal(100))

    assert waited == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    fill(desk, order)
    assert (desk.strategy.state, desk.strategy.report(NOON).error) == (RunningState.STOPPED, "")


def test_after_a_day_it_is_given_up_with_a_word_until_a_person_asks_once_more() -> None:
    desk, order = selling()
    desk.give(decided(order, DenialReason.NOTIONAL_MAX))
    tomorrow = NOON + timedelta(days=1, minutes=1)
    (late,) = orders(desk.give(a_bar(start=tomorrow)))
    assert desk.strategy.report(NOON).error == "", "it has a last try"
    desk.give(decided(late, DenialReason.NOTIONAL_MAX))

    assert orders(desk.give(a_bar(start=tomorrow + timedelta(hours=1)))) == []
    told = desk.strategy.report(NOON)
    assert told.state is RunningState.STOPPING
    assert told.error.startswith("AAPL is not sold: notional_max: ")
    assert "(2 tries); `scizor live stop holder --liquidate` tries again" in told.error

    (again,) = orders(desk.give(LIQUIDATE))
    assert desk.strategy.report(NOON).error == ""
    fill(desk, again)
    assert desk.strategy.state is RunningState.STOPPED


def test_a_denial_that_lies_in_the_order_itself_is_given_up_at_once() -> None:
    desk, order = selling()
    desk.give(decided(order, DenialReason.LOT_SIZE))
    assert orders(desk.bar()) == []
    assert desk.strategy.report(NOON).error.startswith("AAPL is not sold: lot_size")


def test_it_goes_on_by_itself_when_the_order_on_the_other_side_is_gone() -> None:
    desk, order = selling()
    for _ in range(3):
        desk.give(decided(order, DenialReason.SELF_MATCH))
        (order,) = next(found for outputs in bars_until(desk, 100) if (found := orders(outputs)))
        assert (order.side, order.quantity) == (Side.SELL, Decimal(100))
    fill(desk, order)
    assert (desk.strategy.state, desk.strategy.report(NOON).error) == (RunningState.STOPPED, "")


def test_what_would_meet_an_own_order_is_asked_for_again_by_itself_ever_later() -> None:
    desk = Desk(strategy="keen")
    desk.give(Start(**COMMAND))
    (order,) = orders(desk.bar())
    waited: list[float] = []
    for _ in range(8):
        before = order.event_time
        desk.give(decided(order, DenialReason.SELF_MATCH))
        (order,) = next(found for outputs in bars_until(desk, 100) if (found := orders(outputs)))
        waited.append((order.event_time - before).total_seconds())
    assert waited == [5, 10, 20, 40, 80, 160, 300, 300]

    desk.give(decided(order, None))
    desk.give(an_update(order, OrderStatus.CANCELED, 0))
    (order,) = orders(desk.bar())
    before = order.event_time
    desk.give(decided(order, DenialReason.SELF_MATCH))
    (order,) = orders(desk.bar())
    assert (order.event_time - before).total_seconds() == 5, "one that passed has ended the row"


def test_a_denial_of_an_order_from_before_says_nothing_of_the_sale() -> None:
    desk = Desk(strategy="keen")
    desk.give(Start(**COMMAND))
    (bought,) = orders(desk.bar())
    fill(desk, bought)
    desk.give(Allocate(**COMMAND, quantity=150))
    (more,) = orders(desk.bar())
    assert cancelled(desk.give(LIQUIDATE)) == [more.intent_id]

    (sold,) = orders(desk.give(decided(more, DenialReason.LOT_SIZE)))
    assert (sold.side, sold.quantity) == (Side.SELL, Decimal(100))
    assert desk.strategy.report(NOON).error == ""


def test_a_strategy_of_daily_bars_does_not_wait_a_day_to_try_again() -> None:
    desk = Desk(strategy="keen", bar_size_seconds=3600)
    desk.give(Start(**COMMAND))
    bought = next(found[0] for outputs in bars_until(desk, 1500) if (found := orders(outputs)))
    fill(desk, bought)
    (sold,) = orders(desk.give(LIQUIDATE))
    desk.give(decided(sold, DenialReason.PRICE_STALE))
    assert any(orders(outputs) for outputs in bars_until(desk, 3))


def test_an_order_that_fills_in_part_begins_the_day_anew() -> None:
    desk, order = selling()
    said = {"order_id": order.intent_id, "strategy_id": "holder", "side": Side.SELL}
    desk.give(a_fill(execution_id="part", last_quantity=Decimal(40), **said))
    desk.give(an_update(order, OrderStatus.CANCELED, 40))
    (rest,) = orders(desk.give(a_bar(start=NOON + timedelta(days=2))))
    assert rest.quantity == Decimal(60)
    desk.give(decided(rest, DenialReason.NOTIONAL_MAX))
    assert len(orders(desk.give(a_bar(start=NOON + timedelta(days=2, minutes=1))))) == 1
    assert desk.strategy.report(NOON).error == ""


def test_what_protects_a_position_is_cancelled_before_it_is_sold_and_nothing_is_bought() -> None:
    desk = Desk(strategy="bracketed")
    desk.give(Start(**COMMAND))
    entry, stop, target = orders(desk.bar())
    fill(desk, entry)

    asked = desk.give(LIQUIDATE)
    assert (orders(asked), cancelled(asked)) == ([], [stop.intent_id, target.intent_id])
    assert desk.bar() == []
    assert desk.give(an_update(stop, OrderStatus.CANCELED, 0)) == []
    (sold,) = orders(desk.give(an_update(target, OrderStatus.CANCELED, 0)))
    assert (sold.side, sold.quantity) == (Side.SELL, Decimal(10))
    assert desk.bar() == []
    fill(desk, sold)
    assert desk.strategy.state is RunningState.STOPPED


def test_an_exit_that_fills_while_it_is_cancelled_leaves_nothing_to_sell() -> None:
    desk = Desk(strategy="bracketed")
    desk.give(Start(**COMMAND))
    entry, stop, target = orders(desk.bar())
    fill(desk, entry)
    desk.give(LIQUIDATE)

    assert orders(fill(desk, stop)) == []
    assert desk.give(an_update(target, OrderStatus.CANCELED, 0)) == []
    assert (desk.strategy.state, desk.strategy.report(NOON).positions) == (RunningState.STOPPED, {})


def test_orders_that_wait_to_enter_are_cancelled_and_it_stops() -> None:
    desk = Desk(strategy="bracketed")
    desk.give(Start(**COMMAND))
    family = orders(desk.bar())
    asked = desk.give(LIQUIDATE)
    assert (orders(asked), len(cancelled(asked))) == ([], 3)
    for each in family:
        assert desk.give(an_update(each, OrderStatus.CANCELED, 0)) == []
    assert desk.strategy.state is RunningState.STOPPED


def test_a_shadow_is_liquidated_on_its_own_exchange() -> None:
    desk = Desk(strategy="bracketed", shadow=True)
    desk.give(Start(**COMMAND))
    for _ in range(3):
        desk.bar()
    assert desk.give(LIQUIDATE) == []
    for _ in range(3):
        assert desk.bar() == []
    assert (desk.strategy.state, desk.strategy.report(NOON).positions) == (RunningState.STOPPED, {})
