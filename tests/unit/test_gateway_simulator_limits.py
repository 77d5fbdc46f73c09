"""Pacing by wall time, armed faults, and the choices of the command line."""

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.clock import ManualClock
from infra.errors import UsageError
from infra.gateway_simulator.faults import ARMED_MAX, Event, Faults
from infra.gateway_simulator.launch import Choices, chosen, market_time
from infra.gateway_simulator.pacing import HistoryPacing, MessageRate

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_fifty_messages_a_second_are_allowed_and_three_violations_are_the_end() -> None:
    clock = ManualClock(START)
    rate = MessageRate(clock)

    assert all(rate.permits() for _ in range(50))
    assert not rate.permits()
    clock.advance(1)
    assert rate.permits()
    assert not rate.is_hopeless
    assert [rate.permits() for _ in range(60)].count(False) == 11
    assert rate.is_hopeless


def test_sixty_small_requests_in_ten_minutes() -> None:
    clock = ManualClock(START)
    pacing = HistoryPacing(clock)
    for number in range(60):
        assert pacing.permits((str(number),), ("",), 1)
    assert not pacing.permits(("more",), ("",), 1)
    clock.advance(600)
    assert pacing.permits(("more",), ("",), 1)


def test_the_same_request_within_15_seconds_and_bursts_on_one_contract() -> None:
    clock = ManualClock(START)
    pacing = HistoryPacing(clock)
    assert pacing.permits(("AAPL",), ("a",), 1)
    clock.advance(14)
    assert not pacing.permits(("AAPL",), ("a",), 1)
    clock.advance(1)
    assert pacing.permits(("AAPL",), ("a",), 1)
    assert all(pacing.permits(("AAPL",), (str(number),), 1) for number in range(4))
    assert not pacing.permits(("AAPL",), ("sixth",), 1)
    assert pacing.permits(("IBM",), ("first",), 2)
    assert pacing.permits(("IBM",), ("second",), 2)
    assert not pacing.permits(("IBM",), ("third",), 2)


def event(**changes: Any) -> Event:
    return Event(**{"name": "ack sent", "client_id": 1, "symbol": "AAPL", "order_id": 5, **changes})


def test_a_fault_strikes_at_the_nth_event_that_passes_its_filters() -> None:
    faults = Faults()
    faults.arm({"event": "ack sent", "nth": 2, "symbol": "AAPL"}, {"drop": True})

    assert faults.due(event()) is None
    assert faults.due(event(symbol="IBM")) is None
    assert faults.due(event(name="fill sent")) is None
    action = faults.due(event())
    assert action is not None
    assert action.drop
    assert faults.due(event()) is None
    assert faults.armed == []


def test_a_fault_can_strike_several_times_and_be_cleared() -> None:
    faults = Faults()
    faults.arm({"event": "ack sent", "times": 2}, {"duplicate": True})
    number = faults.arm({"event": "ack sent", "nth": 9}, {"close": True})

    assert [faults.due(event()) is not None for _ in range(3)] == [True, True, False]
    faults.clear(number)
    assert faults.armed == []


def test_signals_go_to_registered_processes_alone() -> None:
    sent: list[tuple[int, int]] = []
    faults = Faults(kill=lambda pid, number: sent.append((pid, number)))
    faults.register("risk", 4711)
    faults.arm({"event": "ack sent"}, {"signal": "STOP", "target": "risk"})
    action = faults.due(event())
    assert action is not None
    faults.strike(action)

    assert [pid for pid, _ in sent] == [4711]
    with pytest.raises(UsageError, match="cannot be signalled"):
        faults.register("init", 1)


def test_the_number_of_armed_faults_is_bounded() -> None:
    faults = Faults()
    for _ in range(ARMED_MAX):
        faults.arm({"event": "ack sent", "nth": 99}, {"drop": True})
    with pytest.raises(UsageError, match="clear some"):
        faults.arm({"event": "ack sent"}, {"drop": True})


def choices(**changes: Any) -> Choices:
    fields: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": 0,
        "data": None,
        "now": "2013-02-28T09:25:00-05:00",
        "speed": 1.0,
        "step": False,
        "seed": 7,
        "account": "DU1234567",
        "cash": "1000000",
        "ledger": None,
        "state": None,
        "no_pacing": False,
        "control_port": 0,
        "control_token_file": None,
    }
    return Choices(**{**fields, **changes})


def test_choices_become_options() -> None:
    options, address = chosen(choices(step=True, no_pacing=True, port=7497))

    assert (options.speed, options.paced, address.port) == (0.0, False, 7497)
    assert market_time("2013-02-28T09:25:00") == market_time("2013-02-28T14:25:00Z") == options.start


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"now": "soon"}, "is not a time"),
        ({"speed": 0.0}, "greater than 0"),
        ({"cash": "much"}, "is not a number"),
        ({"control_port": 7000}, "needs --control-token-file"),
    ],
)
def test_a_wrong_choice_is_told(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        chosen(choices(**wrong))
