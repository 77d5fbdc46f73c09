"""What the executor says again, and what of it holds when it comes back."""

from datetime import timedelta
from pathlib import Path

import pytest

from consumers.executor.states import States
from engine.trading_state import KILL_SWITCH, RECONCILER, account_scope
from schemas.account import TradingMode, TradingState
from tests.builders import SEEN, a_trading_state
from tests.unit.an_executor_by_hand import Hand

SCOPE = "global"


def state(mode: TradingMode, second: int, by: str = "ann") -> TradingState:
    return a_trading_state(scope=SCOPE, mode=mode, by=by, event_time=SEEN + timedelta(seconds=second))


HALT, STALE = state(TradingMode.HALTED, 5), state(TradingMode.ACTIVE, 1)
ARMED = state(TradingMode.ACTIVE, 9)


@pytest.fixture
def states(tmp_path: Path) -> States:
    return States(Hand(tmp_path).gate)


def test_what_others_follow_already_is_past_also_when_it_comes_once_more(states: States) -> None:
    states.fold(state(TradingMode.HALTED, 1), 0)
    states.fold(state(TradingMode.HALTED, 2), 1)

    assert states.is_past(state(TradingMode.HALTED, 1), 0)
    assert not states.is_past(state(TradingMode.HALTED, 2), 1)
    assert not states.is_past(ARMED, 2)


def test_a_record_that_does_not_hold_and_is_the_newest_has_what_holds_told_again(states: States) -> None:
    states.fold(HALT, 0)
    assert states.fold(STALE, 1) == HALT
    states.echo(HALT)

    assert states.fold(HALT, 2) == HALT, "the echo is the newest record, and holds"


def test_an_echo_behind_an_arming_does_not_undo_it(states: States) -> None:
    states.fold(HALT, 0)
    states.echo(states.fold(STALE, 1))
    assert states.fold(ARMED, 2) == ARMED

    assert states.fold(HALT, 3) == ARMED, "it is the echo; what holds is told again"
    states.echo(ARMED)
    assert states.fold(ARMED, 4) == ARMED


def test_a_halt_behind_an_arming_that_is_no_echo_holds(states: States) -> None:
    states.fold(HALT, 0)
    states.echo(states.fold(STALE, 1))
    states.fold(ARMED, 2)

    newer = state(TradingMode.HALTED, 12)
    assert states.fold(newer, 3) == newer
    by_another_clock = state(TradingMode.HALTED, 6, by="bob")
    states.fold(state(TradingMode.ACTIVE, 13), 4)
    assert states.fold(by_another_clock, 5) == by_another_clock


def test_a_halt_of_an_executor_whose_clock_was_ahead_is_lifted_with_one_word(tmp_path: Path) -> None:
    hand = Hand(tmp_path)
    states, account = States(hand.gate), hand.ledger.account_id
    told = hand.clock.now() + timedelta(hours=1)
    halt = a_trading_state(
        scope=account_scope(account), mode=TradingMode.HALTED, by=RECONCILER, reason="the books differ", event_time=told
    )
    states.fold(halt, 0)

    wanted = hand.gate.wanted_state(account)

    assert wanted is not None
    assert (wanted.mode, states.fold(wanted, 1)) == (TradingMode.ACTIVE, wanted)
    assert hand.gate.wanted_state(account) is None, "it is said once, not for ever"


def test_a_kill_over_a_reduced_mode_is_told_again_with_what_it_has_taken_the_place_of(states: States) -> None:
    states.fold(state(TradingMode.REDUCING, 1), 0)
    kill, lifted = state(TradingMode.HALTED, 2, KILL_SWITCH), state(TradingMode.ACTIVE, 3, KILL_SWITCH)
    remembering = states.fold(kill, 1)
    assert (remembering != kill, remembering.reduced_by) == (True, "ann")
    states.echo(remembering)

    reduced = states.fold(lifted, 2)
    assert (reduced.mode, reduced.by) == (TradingMode.REDUCING, "ann")
    assert states.fold(remembering, 3) == reduced, "its own echo, behind the arming, does not bring the kill back"
