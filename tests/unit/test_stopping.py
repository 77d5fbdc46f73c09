"""Which trading states are stops that a day's report tells of."""

from datetime import timedelta

import pytest

from consumers.risk.stopping import is_a_stop
from engine.trading_state import KILL_SWITCH, RECONCILER
from schemas.account import TradingMode, TradingState
from tests.builders import SEEN, a_trading_state

ACTIVE, REDUCING, HALTED = TradingMode


def state(mode: TradingMode, by: str = "ann", second: int = 0) -> TradingState:
    return a_trading_state(mode=mode, by=by, event_time=SEEN + timedelta(seconds=second))


@pytest.mark.parametrize("by", ["ann", KILL_SWITCH, RECONCILER])
def test_whoever_stops_what_traded_is_told_of(by: str) -> None:
    for current in (None, state(ACTIVE), state(REDUCING)):
        assert is_a_stop(current, state(HALTED, by, 1))


def test_a_kill_of_what_was_halted_is_told_of_too() -> None:
    assert is_a_stop(state(HALTED), state(HALTED, KILL_SWITCH, 1))


def test_what_only_says_why_again_or_loosens_is_no_stop() -> None:
    assert not is_a_stop(state(HALTED), state(HALTED, second=1))
    assert not is_a_stop(state(HALTED, KILL_SWITCH), state(REDUCING, second=1))
    assert not is_a_stop(state(HALTED), state(ACTIVE, second=1))
    assert not is_a_stop(None, state(ACTIVE))
