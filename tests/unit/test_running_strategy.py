"""A live strategy as a fold: targets become orders once, denials and fills are heard, the same inputs give the same."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from engine.live.outputs import Output
from engine.live.running import RunningStrategy
from engine.risk import Book, check
from schemas.account import RiskLimits, TradingMode
from schemas.event import Event
from schemas.orders import DenialReason, FillBusted, OrderIntent, OrderStatus, OrderType, OrderUpdate, Side
from schemas.place import At
from schemas.strategy import Allocate, Deploy, Pause, Promote, Reconfigure, Resume, RunningState, Signal, Start, Stop
from tests.builders import APPLE, NOON, SEEN, a_bar, a_contract, a_fill, a_tick, as_seen

WHEN = {"event_time": NOON, "ingest_time": SEEN}
COMMAND = {"command_id": "c-1", "strategy_id": "holder", "by": "test", **WHEN}


def a_deployment(**changes: Any) -> Deploy:
    fields: dict[str, Any] = {
        "strategy": "buy_and_hold",
        "symbols": ("AAPL",),
        "account_id": "DU1234567",
        "quantity": 100.0,
        "bar_size_seconds": 5,
    }
    return Deploy(**(COMMAND | fields | changes))


class Desk:
    """Feeds a strategy as the topics would, with growing offsets."""

    def __init__(self, **changes: Any) -> None:
        self.strategy = RunningStrategy(a_deployment(**changes), [a_contract()])
        self.offset = 0
        self.bars = 0

    def give(self, event: Event) -> list[Output]:
        self.offset += 1
        at = At("market.bars.v1", 0, self.offset)
        return self.strategy.take(event, at) if self.strategy.wants(event) else []

    def bar(self) -> list[Output]:
        self.bars += 1
        return self.give(a_bar(start=NOON + timedelta(seconds=5 * self.bars)))

    def intent(self) -> OrderIntent:
        (found,) = [each for each in self.bar() if isinstance(each, OrderIntent)]
        return found


def started(**changes: Any) -> Desk:
    desk = Desk(**changes)
    desk.give(Start(**COMMAND))
    return desk


def decided(intent: OrderIntent, reason: DenialReason | None) -> Event:
    limits = RiskLimits(scope="account:DU1234567", version=1, notional_max=Decimal(10**9), **WHEN)
    approved = check(intent, Book(trading_mode=TradingMode.ACTIVE, limits=limits, **as_seen(intent)), SEEN)
    assert approved.approved
    return approved if reason is None else approved.revised(approved=False, reason=reason)


def an_update(intent: OrderIntent, status: OrderStatus, filled: int, sequence: int = 1) -> OrderUpdate:
    return OrderUpdate(
        order_id=intent.intent_id,
        broker_order_id=1,
        account_id=intent.account_id,
        strategy_id=intent.strategy_id,
        contract_id=APPLE,
        symbol="AAPL",
        side=intent.side,
        quantity=intent.quantity,
        order_type=OrderType.MARKET,
        status=status,
        cumulative_quantity=Decimal(filled),
        sequence=sequence,
        **WHEN,
    )


def test_a_target_becomes_one_order_while_it_is_in_flight() -> None:
    desk = started()
    intent = desk.intent()
    assert (intent.side, intent.quantity, intent.strategy_id) == (Side.BUY, Decimal(100), "holder")
    assert intent.reference_price == Decimal("441.00000000")
    assert intent.reference_time == SEEN
    assert not [each for _ in range(3) for each in desk.bar() if isinstance(each, OrderIntent)]


def test_nothing_is_decided_before_the_start_and_after_the_stop() -> None:
    desk = Desk()
    assert desk.bar() == []
    desk.give(Start(**COMMAND))
    desk.give(Stop(**COMMAND))
    assert desk.bar() == []
    assert desk.strategy.state is RunningState.STOPPED


def test_a_paused_strategy_says_what_it_wants_but_sends_no_intent() -> None:
    desk = started()
    desk.give(Pause(**COMMAND))
    assert {type(each) for each in desk.bar()} <= {Signal}
    desk.give(Resume(**COMMAND))
    assert desk.strategy.state is RunningState.RUNNING


def test_a_denied_wish_is_not_repeated_but_one_that_met_a_passing_hindrance_is() -> None:
    refused, hindered = started(), started()
    refused.give(decided(refused.intent(), DenialReason.NOTIONAL_MAX))
    hindered.give(decided(hindered.intent(), DenialReason.PRICE_STALE))
    assert not [each for each in refused.bar() if isinstance(each, OrderIntent)]
    assert [each for each in hindered.bar() if isinstance(each, OrderIntent)]
    assert refused.strategy.report(NOON).denied == 1


def test_fills_move_the_position_and_a_bust_takes_it_back() -> None:
    desk = started()
    intent = desk.intent()
    mine = {"order_id": intent.intent_id, "strategy_id": "holder"}
    desk.give(an_update(intent, OrderStatus.FILLED, 100))
    desk.give(a_fill(execution_id="e1", last_quantity=Decimal(60), **mine))
    desk.give(a_fill(execution_id="e1", last_quantity=Decimal(60), **mine))
    desk.give(a_fill(execution_id="e2", last_quantity=Decimal(40), **mine))
    assert desk.strategy.report(NOON).positions == {"AAPL": "100"}
    desk.give(FillBusted(execution_id="e2", revision=2, account_id="DU1234567", contract_id=APPLE, **WHEN))
    assert desk.strategy.report(NOON).positions == {"AAPL": "60"}


def test_a_canceled_rest_is_asked_for_again() -> None:
    desk = started()
    intent = desk.intent()
    desk.give(a_fill(last_quantity=Decimal(30), order_id=intent.intent_id, strategy_id="holder"))
    desk.give(an_update(intent, OrderStatus.CANCELED, 30))
    assert desk.intent().quantity == Decimal(70)


def test_the_same_inputs_give_the_same_bytes() -> None:
    def told() -> list[bytes]:
        desk = started()
        outputs = desk.bar() + desk.bar()
        return [each.to_json() for each in outputs]

    assert told() == told()
    assert told()


def test_what_cannot_run_is_failed_with_the_reason() -> None:
    misnamed = Desk(strategy="buy_and_hodl").strategy
    misfed = Desk(strategy="moving_average_crossover", parameters={"fast": 10, "slo": 30}).strategy
    assert (misnamed.state, misfed.state) == (RunningState.FAILED, RunningState.FAILED)
    assert "buy_and_hold" in misnamed.error
    assert misfed.error == "unknown parameter slo (did you mean slow?): it takes fast, slow, short"
    unknown = RunningStrategy(a_deployment(symbols=("AAPL", "NOPE")), [a_contract()])
    assert unknown.error == "not validated: NOPE; `scizor symbols add NOPE` asks the gateway about them"


def test_ticks_are_for_those_who_asked_for_them() -> None:
    by_bars, by_ticks = started(strategy="tick_momentum"), started(strategy="tick_momentum", trigger="ticks")
    prices = (10.0, 10.5)
    assert [each for price in prices for each in by_bars.give(a_tick(price=price))] == []
    assert [type(each) for price in prices for each in by_ticks.give(a_tick(price=price))] == [Signal, OrderIntent]


def test_a_contract_is_watched_by_its_own_bars_alone() -> None:
    """However far another contract's partition is ahead: no bar closes early, none comes too late."""
    both = [a_contract(), a_contract(contract_id=2, symbol="MSFT")]
    changes = {"symbols": ("AAPL", "MSFT"), "bar_size_seconds": 60}
    bars = [[a_bar(contract_id=key, start=NOON + timedelta(seconds=5 * n)) for n in range(36)] for key in (APPLE, 2)]
    for order in (bars[0] + bars[1], [bar for pair in zip(*bars, strict=True) for bar in pair]):
        strategy = RunningStrategy(a_deployment(**changes), both)
        strategy.take(Start(**COMMAND), At("strategy.commands.v1", 0, 0))
        for offset, bar in enumerate(order):
            strategy.take(bar, At("market.bars.v1", 0, offset))
        assert strategy.report(NOON).bars_seen == 6


def test_late_bars_bring_the_indicators_up_to_date_and_make_no_signals() -> None:
    """They tell what was: nobody can trade at their prices any more."""
    desk = started(strategy="buy_and_hold")
    for number in range(3):
        assert desk.give(a_bar(start=NOON + timedelta(seconds=5 * number), late=True)) == []
    assert desk.strategy.report(NOON).bars_seen == 3
    desk.bars = 3
    assert [type(each) for each in desk.bar()] == [Signal, OrderIntent]


def test_larger_live_bars_of_others_are_no_input() -> None:
    desk = started()
    assert desk.give(a_bar(bar_size=timedelta(minutes=1))) == []
    assert desk.strategy.report(NOON).bars_seen == 0


def test_a_refusal_is_forgotten_when_somebody_changes_what_was_refused() -> None:
    desk = started()
    desk.give(decided(desk.intent(), DenialReason.NOTIONAL_MAX))
    assert desk.bar() == []
    desk.give(Allocate(quantity=10.0, **COMMAND))
    assert desk.intent().quantity == Decimal(10)
    assert desk.strategy.report(NOON).deployment.quantity == 10.0


def test_parameters_that_cannot_be_change_nothing_but_what_is_told() -> None:
    desk = started()
    desk.give(Reconfigure(parameters={"strength": 7}, **COMMAND))
    told = desk.strategy.report(NOON)
    assert (told.state, told.deployment.parameters) == (RunningState.RUNNING, {})
    assert told.error == told.refused == "parameter strength=7: input should be less than or equal to 1"
    desk.give(Reconfigure(parameters={"strength": 0.5}, **COMMAND))
    assert (desk.strategy.report(NOON).error, desk.intent().quantity) == ("", Decimal(50))


def test_what_was_held_is_still_held_by_the_next_deployment() -> None:
    desk = started()
    intent = desk.intent()
    desk.give(a_fill(order_id=intent.intent_id, strategy_id="holder"))
    desk.give(Stop(**COMMAND))
    again = RunningStrategy(a_deployment(), [a_contract()], desk.strategy.orders)
    assert again.report(NOON).positions == {"AAPL": "100"}


@pytest.mark.parametrize(
    ("before", "command", "why"),
    [
        ([], Pause(**COMMAND), "not started"),
        ([], Resume(**COMMAND), "not started"),
        ([Start(**COMMAND), Stop(**COMMAND)], Start(**COMMAND), "`scizor live start NAME --symbols ... --id holder`"),
        ([Start(**COMMAND)], a_deployment(command_id="c-2"), "deployed already"),
        ([Start(**COMMAND)], Promote(**COMMAND), "no shadow"),
    ],
)
def test_a_command_that_makes_no_sense_changes_nothing_and_is_told(
    before: list[Event], command: Event, why: str
) -> None:
    desk = Desk()
    for each in before:
        desk.give(each)
    state = desk.strategy.state
    desk.give(command)
    told = desk.strategy.report(NOON)
    assert why in told.refused
    assert (told.state, told.last_command) == (state, getattr(command, "command_id", ""))
    desk.give(Stop(**COMMAND | {"command_id": "c-3"}))
    assert desk.strategy.report(NOON).refused == ""


@pytest.mark.parametrize("end", [Stop(**COMMAND), None])
def test_one_that_has_ended_refuses_to_sell_what_it_holds_and_takes_a_plain_stop(end: Stop | None) -> None:
    desk = started()
    intent = desk.intent()
    desk.give(a_fill(order_id=intent.intent_id, strategy_id="holder"))
    desk.give(an_update(intent, OrderStatus.FILLED, 100))
    if end is None:
        desk.strategy.fail("its code has a fault")
    else:
        desk.give(end)
    state = desk.strategy.state
    assert desk.give(Stop(**COMMAND, liquidate=True)) == []
    told = desk.strategy.report(NOON)
    assert (told.state, told.positions) == (state, {"AAPL": "100"})
    assert told.refused.startswith("it has ended, it sells nothing: close its positions with POST /positions/SYMBOL/")
    assert "`scizor live start NAME --symbols ... --id holder`" in told.refused
    desk.give(Stop(**COMMAND))
    assert desk.strategy.report(NOON).refused == ""


def test_one_that_has_ended_and_holds_nothing_has_nothing_to_refuse() -> None:
    desk, shadow = started(), started(shadow=True)
    for each in (desk, shadow):
        for event in (Stop(**COMMAND), Stop(**COMMAND, liquidate=True)):
            each.give(event)
        assert (each.strategy.state, each.strategy.refusal) == (RunningState.STOPPED, "")


def test_a_deployment_is_refused_while_orders_of_the_one_before_are_in_flight() -> None:
    desk = started()
    intent = desk.intent()
    desk.give(Stop(**COMMAND))
    desk.give(a_deployment(command_id="c-2"))
    assert "in flight" in desk.strategy.report(NOON).refused
    desk.give(an_update(intent, OrderStatus.CANCELED, 0))
    assert desk.strategy.why_not(a_deployment(command_id="c-3")) == ""


def test_a_strategy_that_was_stopped_from_outside_keeps_its_books() -> None:
    desk = started()
    intent = desk.intent()
    fill = a_fill(order_id=intent.intent_id, strategy_id="holder")
    desk.strategy.stopped_at(fill, "it took longer than 1 s")
    told = desk.strategy.report(NOON)
    assert (told.state, told.positions) == (RunningState.FAILED, {"AAPL": "100"})
    assert "longer than 1 s" in told.error
