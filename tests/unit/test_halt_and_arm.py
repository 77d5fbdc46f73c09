"""What a person is told of a halt and of an arming: how it is undone, and what is still stopped."""

from typing import Any

import pytest

from engine.trading_state import KILL_SWITCH
from producers.cli.live import _show_state
from producers.cli.trading_desk import still_stopped
from schemas.account import TradingMode, TradingState
from tests.builders import SEEN

ARMED: dict[str, Any] = {"scope": "account:DU1", "mode": "ACTIVE", "reason": "lunch is over"}


def a_state(scope: str, mode: TradingMode, by: str = "ann") -> TradingState:
    return TradingState(scope=scope, mode=mode, reason="lunch", by=by, event_time=SEEN, ingest_time=SEEN)


def test_an_arming_tells_what_is_stopped_elsewhere_and_what_lifts_that() -> None:
    states = [
        a_state("symbol:MSFT", TradingMode.HALTED, KILL_SWITCH),
        a_state("global", TradingMode.HALTED),
        a_state("account:DU1", TradingMode.HALTED),
        a_state("strategy:mine", TradingMode.ACTIVE),
        a_state("strategy:other", TradingMode.REDUCING),
    ]

    assert still_stopped({state.scope: state for state in states}, "account:DU1") == [
        "global is HALTED by ann: lunch: `scizor live arm --scope global` lifts that",
        "strategy:other is REDUCING by ann: lunch: `scizor live arm --scope strategy:other` lifts that",
        "symbol:MSFT is HALTED by a kill: lunch: `scizor arm` lifts that",
    ]


def test_what_is_still_stopped_is_shown_below_what_was_armed(capsys: pytest.CaptureFixture[str]) -> None:
    _show_state(ARMED | {"still_stopped": ["global is HALTED by ann"]}, as_json=False)

    told = capsys.readouterr().out
    assert told == "account:DU1 is ACTIVE: lunch is over\nstill stopped: global is HALTED by ann\n"


def test_a_halt_names_its_undo(capsys: pytest.CaptureFixture[str]) -> None:
    _show_state({"scope": "global", "mode": "HALTED", "reason": "lunch", "still_stopped": []}, as_json=False)

    assert capsys.readouterr() == ("global is HALTED: lunch\n", "`scizor live arm --scope global` lifts that\n")
