"""Orders that a live strategy gives by itself: the words of a backtest become intents, and it hears the rest."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.facts import Bar
from engine.live import hosts
from engine.live.outputs import Output
from engine.live.running import RunningStrategy
from engine.live.snapshot import frozen, thawed
from engine.order_requests import OrderKind, OrderNews, OrderRequest, OrderState
from engine.orders import UNDER_WAY
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal
from schemas.orders import CancelIntent, DenialReason, ModifyIntent, OrderIntent, OrderStatus, OrderType, Side
from schemas.strategy import Pause, Promote, Reconfigure, Resume, RunningState, Signal, Start, Stop
from tests.builders import APPLE, NOON, a_bar, a_contract, a_fill
from tests.unit.test_running_strategy import COMMAND, Desk, a_deployment, an_update, decided

HEARD: list[OrderNews] = []


class Trader(BaseStrategy):
    """Enters by a bracket on its first bar, moves the stop on its second, cancels the target on its third."""

    def on_start(self) -> None:
        self.bars = 0
        HEARD.clear()

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        if self.bars == 1:
            self.ids = self.bracket(10, stop=430.004, target=460.0, kind="LMT", limit=440.0)
        elif self.bars == 2:
            self.modify(self.ids.stop, stop=435.0)
        elif self.bars == 3:
            self.cancel(self.ids.target)

    def on_order(self, news: OrderNews) -> None:
        HEARD.append(news)


class Flooding(BaseStrategy):
    """Never has enough."""

    def on_bar(self, bar: Bar) -> None:
        for _ in range(100):
            self.buy(1)


class Asking(BaseStrategy):
    """Returns an order, and looks at its cash."""

    def on_bar(self, bar: Bar) -> OrderRequest:
        return OrderRequest(contract_id=bar.contract_id, quantity=self.cash // 1000, kind=OrderKind.MARKET)


class Smaller(BaseStrategy):
    """Buys ten by a limit, and wants seven of them, then six."""

    def on_start(self) -> None:
        self.bars = 0
        HEARD.clear()

    def on_bar(self, bar: Bar) -> None:
        self.bars += 1
        if self.bars == 1:
            self.order_id = self.buy(10, kind="LMT", limit=440.0)
        else:
            self.modify(self.order_id, quantity=9 - self.bars if self.bars > 2 else 7)

    def on_order(self, news: OrderNews) -> None:
        HEARD.append(news)


class Halfway(BaseStrategy):
    """Asks for an order that can be, and for one of a quantity too small to be written."""

    def on_bar(self, bar: Bar) -> StrategySignal:
        self.sell(5)
        self.sell(1e-12)
        return StrategySignal.long(bar.contract_id)


class Once(BaseStrategy):
    """Buys when nothing of it works, of the contract in hand or of another."""

    class Config(StrategyConfig):
        contract_id: int | None = None

    config: Config

    def on_start(self) -> None:
        HEARD.clear()

    def on_bar(self, bar: Bar) -> None:
        if not self.working():
            self.buy(10, contract_id=self.config.contract_id)

    def on_order(self, news: OrderNews) -> None:
        HEARD.append(news)


class Aiming(BaseStrategy):
    """Aims with every bar."""

    def on_bar(self, bar: Bar) -> None:
        self.aim(1.0)


class Stubborn(BaseStrategy):
    """Asks again whenever it is denied."""

    def on_bar(self, bar: Bar) -> None:
        if not self.working():
            self.buy(1)

    def on_order(self, news: OrderNews) -> None:
        if news.state is OrderState.DENIED:
            self.buy(1, contract_id=news.contract_id)


class Keen(BaseStrategy):
    """Wants to be long."""

    def on_bar(self, bar: Bar) -> StrategySignal:
        return StrategySignal.long(bar.contract_id)


@pytest.fixture(autouse=True)
def _own_strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    own = {
        each.__name__.lower(): each
        for each in (Trader, Flooding, Asking, Smaller, Halfway, Keen, Once, Aiming, Stubborn)
    }
    monkeypatch.setattr(hosts, "strategy_class", own.__getitem__)


def running(name: str, **changes: Any) -> Desk:
    desk = Desk(strategy=name, **changes)
    desk.give(Start(**COMMAND))
    return desk


def orders(outputs: list[Output]) -> list[OrderIntent]:
    return [each for each in outputs if isinstance(each, OrderIntent)]


def test_a_bracket_becomes_three_intents_that_know_each_other_with_prices_on_ticks() -> None:
    entry, stop, target = orders(running("trader").bar())
    legs = (entry.intent_id, stop.intent_id, target.intent_id)
    assert [each.legs for each in (entry, stop, target)] == [legs] * 3
    assert [each.parent_id for each in (entry, stop, target)] == [None, legs[0], legs[0]]
    assert stop.oca_group == target.oca_group != ""
    assert stop.oca_reduces
    assert (entry.order_type, entry.limit_price, entry.side) == (OrderType.LIMIT, Decimal("440.00"), Side.BUY)
    assert (stop.order_type, stop.stop_price, stop.side) == (OrderType.STOP, Decimal("430.00"), Side.SELL)
    assert (target.order_type, target.limit_price, target.quantity) == (OrderType.LIMIT, Decimal(460), Decimal(10))


def test_changes_and_cancels_speak_of_the_intents_they_change() -> None:
    desk = running("trader")
    _, stop, target = orders(desk.bar())
    (change,) = desk.bar()
    (cancel,) = desk.bar()
    assert isinstance(change, ModifyIntent)
    assert change.wanted == stop.revised(
        stop_price=Decimal(435), event_time=change.event_time, reference_time=change.wanted.reference_time
    )
    assert isinstance(cancel, CancelIntent)
    assert (change.order_id, cancel.order_id) == (stop.intent_id, target.intent_id)


def test_the_strategy_hears_what_became_of_its_orders() -> None:
    desk = running("trader")
    entry, stop, target = orders(desk.bar())
    desk.give(an_update(entry, OrderStatus.NEW, 0))
    desk.give(an_update(entry, OrderStatus.FILLED, 10, sequence=2))
    desk.give(decided(stop, DenialReason.TICK_SIZE))
    desk.give(an_update(target, OrderStatus.CANCELED, 0))
    told = [(each.order_id, each.state) for each in HEARD]
    assert told == [
        (1, OrderState.NEW),
        (1, OrderState.FILLED),
        (2, OrderState.DENIED),
        (3, OrderState.CANCELED),
    ]
    assert desk.strategy.orders.pending(APPLE) == 10, "what was told to have filled is on its way until the fill comes"


@pytest.mark.parametrize(("reason", "quantity"), [("", 7.0), ("Order rejected - reason:margin", 10.0)])
def test_a_change_that_the_broker_refuses_leaves_the_strategy_with_the_order_as_it_is(
    reason: str, quantity: float
) -> None:
    desk = running("smaller")
    (order,) = orders(desk.bar())
    (change,) = desk.bar()
    assert isinstance(change, ModifyIntent)
    answer = an_update(order, OrderStatus.NEW, 0)
    desk.give(answer.revised(last_change=change.intent_id, reason=reason))
    assert HEARD[-1].quantity == quantity


def test_of_two_changes_the_one_that_is_taken_stands_whatever_became_of_the_other() -> None:
    desk = running("smaller")
    (order,) = orders(desk.bar())
    first, second = desk.bar() + desk.bar()
    assert isinstance(first, ModifyIntent)
    assert isinstance(second, ModifyIntent)
    denied = decided(order, DenialReason.TICK_SIZE)
    desk.give(denied.revised(intent_id=second.intent_id, intent=second.model_dump()))
    desk.give(an_update(order, OrderStatus.NEW, 0).revised(last_change=first.intent_id))
    assert HEARD[-1].quantity == 7.0


@pytest.mark.parametrize(("worked", "left"), [(7, 7.0), (10, 10.0)])
def test_a_change_that_is_answered_while_another_is_on_its_way_was_taken_if_the_order_works_by_its_terms(
    worked: int, left: float
) -> None:
    desk = running("smaller")
    (order,) = orders(desk.bar())
    first, second = desk.bar() + desk.bar()
    assert isinstance(first, ModifyIntent)
    assert isinstance(second, ModifyIntent)
    answer = an_update(order, OrderStatus.NEW, 0).revised(quantity=Decimal(worked))
    desk.give(answer.revised(last_change=first.intent_id, reason=UNDER_WAY))
    assert HEARD[-1].quantity == 6.0, "that is what it asked for"
    desk.give(answer.revised(last_change=second.intent_id, reason="Order rejected - reason:margin", sequence=2))
    assert HEARD[-1].quantity == left


def test_a_paused_strategy_asks_in_vain_and_ids_are_the_same_again() -> None:
    first, again = running("trader"), running("trader")
    assert [each.intent_id for each in orders(first.bar())] == [each.intent_id for each in orders(again.bar())]


@pytest.mark.parametrize("symbols", [("AAPL",), ("AAPL", "MSFT")])
def test_a_flood_of_orders_stops_the_strategy_however_many_symbols_it_trades(symbols: tuple[str, ...]) -> None:
    desk = running("flooding")
    contracts = [a_contract(), a_contract(contract_id=2, symbol="MSFT")]
    desk.strategy = RunningStrategy(a_deployment(strategy="flooding", symbols=symbols), contracts[: len(symbols)])
    desk.give(Start(**COMMAND))
    for _ in range(7):
        desk.bar()
    assert desk.strategy.state is RunningState.FAILED
    assert "more than 600 orders within a minute" in desk.strategy.error


@pytest.mark.parametrize("name", ["flooding", "halfway"])
def test_orders_that_were_never_sent_are_not_in_flight_when_the_strategy_fails(name: str) -> None:
    desk = running(name)
    told = [order for _ in range(7) for order in orders(desk.bar())]
    assert desk.strategy.state is RunningState.FAILED
    for order in told:
        desk.give(an_update(order, OrderStatus.CANCELED, 0))
    assert desk.strategy.why_not(a_deployment(command_id="c-2")) == ""
    assert desk.strategy.report(NOON).intents == len(told)


def test_an_order_that_a_pause_holds_back_is_denied_and_asked_for_again_behind_it() -> None:
    desk = running("once")
    desk.give(Pause(**COMMAND))
    assert desk.bar() == []
    desk.give(Resume(**COMMAND))
    (order,) = orders(desk.bar())
    assert order.quantity == Decimal(10)
    (told,) = HEARD
    assert (told.order_id, told.state, told.quantity, told.filled) == (1, OrderState.DENIED, 10.0, 0.0)
    assert "paused" in told.reason
    assert desk.bar() == [], "its order works"


@pytest.mark.parametrize("name", ["aiming", "stubborn"])
def test_a_long_pause_fails_nobody_who_asks_again_and_again(name: str) -> None:
    desk = running(name)
    desk.give(Pause(**COMMAND))
    assert [each for _ in range(150) for each in desk.bar()] == []
    desk.give(Resume(**COMMAND))
    assert (desk.strategy.state, desk.strategy.error) == (RunningState.RUNNING, "")
    assert len(orders(desk.bar())) == 1


def test_an_order_for_a_contract_without_a_price_is_denied_and_asked_for_again_when_it_has_one() -> None:
    deployment = a_deployment(strategy="once", symbols=("AAPL", "MSFT"), parameters={"contract_id": 2})
    desk = running("once")
    desk.strategy = RunningStrategy(deployment, [a_contract(), a_contract(contract_id=2, symbol="MSFT")])
    desk.give(Start(**COMMAND))
    assert desk.bar() == desk.bar() == []
    (order,) = orders(desk.give(a_bar(contract_id=2)))
    assert order.contract_id == 2
    assert {(each.contract_id, each.state) for each in HEARD} == {(2, OrderState.DENIED)}
    assert "no price" in HEARD[0].reason


def test_what_worked_in_a_shadow_alone_is_denied_when_it_is_promoted() -> None:
    desk = running("trader", shadow=True)
    desk.bar()
    desk.give(Promote(**COMMAND))
    desk.bar()
    assert [(each.order_id, each.state) for each in HEARD] == [(number, OrderState.DENIED) for number in (1, 2, 3)]
    assert "shadow" in HEARD[0].reason


def test_what_was_held_back_is_not_told_to_a_fresh_start_which_never_asked_for_it() -> None:
    desk = running("once")
    desk.give(Pause(**COMMAND))
    desk.bar()
    desk.give(Reconfigure(parameters={"contract_id": APPLE}, **COMMAND))
    desk.give(Resume(**COMMAND))
    assert orders(desk.bar())
    assert HEARD == []


def test_after_other_parameters_news_of_an_earlier_order_does_not_pass_for_news_of_one_with_the_same_number() -> None:
    desk = running("once")
    (earlier,) = orders(desk.bar())
    desk.give(Reconfigure(parameters={"contract_id": APPLE}, **COMMAND))
    (own,) = orders(desk.bar())
    assert own.intent_id != earlier.intent_id

    desk.give(an_update(earlier, OrderStatus.CANCELED, 0))
    assert HEARD == []
    assert orders(desk.bar()) == [], "its own order works still"

    desk.give(an_update(own, OrderStatus.CANCELED, 0))
    assert [(each.order_id, each.state) for each in HEARD] == [(1, OrderState.CANCELED)]
    assert len(orders(desk.bar())) == 1


def test_what_was_held_back_outlives_the_process() -> None:
    desk = running("once")
    desk.give(Pause(**COMMAND))
    desk.bar()
    desk.strategy = thawed(frozen(desk.strategy, hosts.shipped), hosts.shipped)
    desk.give(Resume(**COMMAND))
    assert orders(desk.bar())


def test_cash_is_of_the_capital_that_the_deployment_names() -> None:
    (order,) = orders(running("asking", capital=Decimal(50_000)).bar())
    assert order.quantity == Decimal(50)
    unnamed = running("asking")
    unnamed.bar()
    assert "names none" in unnamed.strategy.error


def test_a_shadow_fills_at_the_next_open_and_sends_nothing() -> None:
    desk = running("keen", shadow=True)
    told = desk.bar() + desk.bar() + desk.bar()
    assert {type(each) for each in told} == {Signal}
    assert all(each.shadow for each in told if isinstance(each, Signal))
    state = desk.strategy.report(NOON)
    assert (state.positions, state.shadow, state.intents) == ({"AAPL": "100"}, True, 1)
    assert not desk.strategy.subscribes
    assert desk.strategy.watches


def test_a_promoted_shadow_begins_from_what_is_really_held() -> None:
    desk = running("keen", shadow=True)
    desk.bar()
    desk.bar()
    desk.give(Promote(**COMMAND))
    assert desk.strategy.report(NOON).positions == {}
    (intent,) = orders(desk.bar())
    assert (intent.quantity, desk.strategy.subscribes) == (Decimal(100), True)


def test_a_stop_with_liquidation_sells_first_and_ends_when_it_is_flat() -> None:
    desk = running("keen")
    (bought,) = orders(desk.bar())
    desk.give(a_fill(execution_id="e1", order_id=bought.intent_id, strategy_id="holder"))
    desk.give(an_update(bought, OrderStatus.FILLED, 100))
    (sold,) = orders(desk.give(Stop(**COMMAND, liquidate=True)))
    assert (sold.side, sold.quantity) == (Side.SELL, Decimal(100))
    assert desk.strategy.state is RunningState.STOPPING
    assert orders(desk.bar()) == []
    desk.give(a_fill(execution_id="e2", order_id=sold.intent_id, strategy_id="holder", side=Side.SELL))
    desk.give(an_update(sold, OrderStatus.FILLED, 100))
    assert (desk.strategy.state, desk.strategy.report(NOON).positions) == (RunningState.STOPPED, {})


def test_a_liquidation_that_is_hindered_is_tried_again() -> None:
    desk = running("keen")
    (bought,) = orders(desk.bar())
    desk.give(a_fill(execution_id="e1", order_id=bought.intent_id, strategy_id="holder"))
    desk.give(an_update(bought, OrderStatus.FILLED, 100))
    (sold,) = orders(desk.give(Stop(**COMMAND, liquidate=True)))
    desk.give(decided(sold, DenialReason.PRICE_STALE))
    (again,) = orders(desk.bar())
    assert again.quantity == sold.quantity
    assert again.event_time == NOON + timedelta(seconds=5 * (desk.bars + 1))
