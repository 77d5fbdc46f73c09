"""Who may stop trading, and who may start it again."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.trading_state import KILL_SWITCH, RECONCILER, follow, mode_of
from schemas.account import TradingMode, TradingState
from tests.builders import SEEN, a_trading_state

ACTIVE, REDUCING, HALTED = TradingMode


def state(mode: TradingMode, by: str = "ann", second: int = 0, **changes: Any) -> TradingState:
    return a_trading_state(mode=mode, by=by, event_time=SEEN + timedelta(seconds=second), **changes)


@pytest.mark.parametrize(
    ("current", "told", "holds"),
    [
        (None, state(HALTED), HALTED),
        (state(ACTIVE), state(HALTED, second=1), HALTED),
        (state(ACTIVE, second=5), state(HALTED, second=1), HALTED),
        (state(HALTED), state(ACTIVE, second=1), ACTIVE),
        (state(HALTED, second=5), state(ACTIVE, second=1), HALTED),
        (state(HALTED), state(ACTIVE, RECONCILER, second=1), HALTED),
        (state(HALTED, "risk"), state(ACTIVE, RECONCILER, second=1), HALTED),
        (state(HALTED, RECONCILER), state(ACTIVE, RECONCILER, second=1), ACTIVE),
        (state(HALTED, RECONCILER), state(ACTIVE, second=1), ACTIVE),
        (state(REDUCING), state(ACTIVE, RECONCILER, second=1), REDUCING),
    ],
)
def test_stopping_always_works_and_starting_needs_the_right(
    current: TradingState | None, told: TradingState, holds: TradingMode
) -> None:
    assert follow(current, told).mode is holds


@pytest.mark.parametrize(
    ("told", "holds"),
    [
        ([state(HALTED), state(HALTED, RECONCILER, 1), state(ACTIVE, RECONCILER, 2)], (HALTED, "ann")),
        ([state(HALTED, "risk"), state(HALTED, RECONCILER, 1), state(ACTIVE, RECONCILER, 2)], (HALTED, "risk")),
        ([state(HALTED, RECONCILER), state(HALTED, second=1), state(ACTIVE, RECONCILER, 2)], (HALTED, "ann")),
        ([state(HALTED, RECONCILER, 1), state(HALTED), state(ACTIVE, RECONCILER, 2)], (HALTED, "ann")),
        ([state(REDUCING), state(HALTED, RECONCILER, 1), state(ACTIVE, RECONCILER, 2)], (REDUCING, "ann")),
        ([state(REDUCING), state(REDUCING, RECONCILER, 1), state(ACTIVE, RECONCILER, 2)], (REDUCING, "ann")),
        ([state(HALTED, RECONCILER), state(REDUCING, second=1), state(ACTIVE, RECONCILER, 2)], (REDUCING, "ann")),
        ([state(HALTED), state(HALTED, RECONCILER, 1), state(ACTIVE, second=2)], (ACTIVE, "ann")),
    ],
)
def test_the_reconciler_takes_over_nothing_that_somebody_else_has_stopped(
    told: list[TradingState], holds: tuple[TradingMode, str]
) -> None:
    current = state(ACTIVE, RECONCILER, -1)
    for each in told:
        current = follow(current, each)
    assert (current.mode, current.by) == holds


@pytest.mark.parametrize(
    ("told", "holds"),
    [
        ([state(HALTED), state(HALTED, KILL_SWITCH, 1), state(ACTIVE, KILL_SWITCH, 2)], (HALTED, "ann")),
        ([state(HALTED, "risk"), state(HALTED, KILL_SWITCH, 1), state(ACTIVE, KILL_SWITCH, 2)], (HALTED, "risk")),
        ([state(HALTED, KILL_SWITCH, 1), state(HALTED, "risk"), state(ACTIVE, KILL_SWITCH, 2)], (HALTED, "risk")),
        (
            [state(HALTED, KILL_SWITCH), state(HALTED, RECONCILER, 1), state(ACTIVE, RECONCILER, 2)],
            (HALTED, KILL_SWITCH),
        ),
        (
            [state(HALTED, RECONCILER), state(HALTED, KILL_SWITCH, 1), state(ACTIVE, RECONCILER, 2)],
            (HALTED, KILL_SWITCH),
        ),
        ([state(HALTED, KILL_SWITCH), state(ACTIVE, KILL_SWITCH, 1)], (ACTIVE, KILL_SWITCH)),
        ([state(REDUCING), state(HALTED, KILL_SWITCH, 1)], (HALTED, KILL_SWITCH)),
        ([state(REDUCING), state(ACTIVE, KILL_SWITCH, 1)], (REDUCING, "ann")),
        ([state(REDUCING), state(HALTED, KILL_SWITCH, 1), state(ACTIVE, KILL_SWITCH, 2)], (REDUCING, "ann")),
        ([state(REDUCING, "risk"), state(HALTED, KILL_SWITCH, 1), state(ACTIVE, KILL_SWITCH, 2)], (REDUCING, "risk")),
        (
            [
                state(REDUCING),
                state(HALTED, KILL_SWITCH, 1),
                state(HALTED, KILL_SWITCH, 2),
                state(ACTIVE, KILL_SWITCH, 3),
            ],
            (REDUCING, "ann"),
        ),
        (
            [
                state(REDUCING),
                state(HALTED, KILL_SWITCH, 1),
                state(ACTIVE, KILL_SWITCH, 2),
                state(HALTED, KILL_SWITCH, 3),
                state(ACTIVE, KILL_SWITCH, 4),
            ],
            (REDUCING, "ann"),
        ),
        ([state(REDUCING), state(HALTED, KILL_SWITCH, 1), state(ACTIVE, second=2)], (ACTIVE, "ann")),
        ([state(HALTED), state(HALTED, KILL_SWITCH, 1), state(ACTIVE, second=2)], (ACTIVE, "ann")),
        ([state(HALTED, KILL_SWITCH), state(ACTIVE, second=1)], (ACTIVE, "ann")),
    ],
)
def test_a_kill_and_its_end_leave_what_was_stopped_before_as_it_was(
    told: list[TradingState], holds: tuple[TradingMode, str]
) -> None:
    current: TradingState | None = None
    for each in told:
        current = follow(current, each)
    assert current is not None
    assert (current.mode, current.by) == holds


def test_a_kill_that_is_all_that_compaction_has_left_still_knows_who_had_reduced() -> None:
    kill = follow(state(REDUCING, reason="thin market"), state(HALTED, KILL_SWITCH, 1))

    after = follow(follow(None, kill), state(ACTIVE, KILL_SWITCH, 2, reason="over"))

    assert (after.mode, after.by, after.reason) == (REDUCING, "ann", "thin market")
    assert follow(after, state(ACTIVE, second=3)).mode is ACTIVE


@given(
    told=st.lists(
        st.builds(
            state,
            st.sampled_from(TradingMode),
            st.sampled_from(["ann", "risk", RECONCILER, KILL_SWITCH]),
            st.integers(0, 9),
        ),
        min_size=1,
    )
)
def test_a_run_of_states_that_is_repeated_as_a_whole_changes_nothing(told: list[TradingState]) -> None:
    current: TradingState | None = None
    told = sorted(told, key=lambda each: each.event_time)
    for each in told:
        current = follow(current, each)
    assert current is not None
    stopped_by_somebody = current.mode
    for each in told:
        current = follow(current, each)
    assert current.mode is stopped_by_somebody or current.mode is HALTED


def test_the_strictest_scope_holds_and_an_unknown_account_is_halted() -> None:
    assert mode_of({}, "DU1") is HALTED
    assert mode_of({"global": ACTIVE}, "DU1") is HALTED
    assert mode_of({"account:DU1": ACTIVE}, "DU1", "s", "AAPL") is ACTIVE
    assert mode_of({"account:DU1": ACTIVE, "symbol:AAPL": REDUCING}, "DU1", "s", "AAPL") is REDUCING
    assert mode_of({"account:DU1": ACTIVE, "symbol:MSFT": HALTED}, "DU1", "s", "AAPL") is ACTIVE
    assert mode_of({"account:DU1": ACTIVE, "global": HALTED}, "DU1", "s", "AAPL") is HALTED
