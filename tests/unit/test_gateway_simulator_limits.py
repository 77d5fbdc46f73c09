"""Pacing by wall time, armed faults, and the choices of the command line."""

from datetime import UTC, datetime
from typing import Any

import pytest

from infra.clock import ManualClock
from infra.errors import UsageError
from infra.gateway_simulator.accounts import account_watch
from infra.gateway_simulator.faults.armed import ARMED_MAX, Event, Faults
from infra.gateway_simulator.launch import Choices, chosen, market_time
from infra.gateway_simulator.protocol.pacing import BarPacing, HistoryPacing, MessageRate, Pacing, PastRequest
from tests.unit.a_gateway_by_hand import by_hand

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_fifty_messages_a_second_are_allowed() -> None:
    clock = ManualClock(START)
    rate = MessageRate(clock)

    assert all(rate.permits() for _ in range(50))
    assert not rate.permits()
    clock.advance(1)
    assert rate.permits()
    assert [rate.permits() for _ in range(60)].count(False) == 11


async def test_clients_share_the_messages_of_a_second_and_three_violations_are_the_end_of_one() -> None:
    async with by_hand() as hand:
        one, two = await hand.client(1), await hand.client(2)
        for _ in range(30):
            await one.say(49, 1)
        for _ in range(20):
            await two.say(49, 1)
        assert (len(one.of(49)), len(two.of(49)), one.of(4)[-1][3]) == (30, 20, "2158")

        await two.say(49, 1)
        await two.say(49, 1)
        assert two.session.is_open
        await two.say(49, 1)
        assert [each[3] for each in two.of(4)[-3:]] == ["100"] * 3
        assert (one.session.is_open, two.session.is_open) == (True, False)

        await hand.wall(1)
        await one.say(49, 1)
        assert len(one.of(49)) == 31


def asked(contract: str = "AAPL@SMART", wanted: str = "", what: str = "TRADES", bar_seconds: int = 5) -> PastRequest:
    return PastRequest(contract, what, wanted, bar_seconds)


def test_sixty_small_requests_in_any_ten_minutes() -> None:
    clock = ManualClock(START)
    pacing = HistoryPacing(clock)
    for number in range(60):
        assert pacing.permits(asked(str(number)))
        clock.advance(1)
    assert not pacing.permits(asked("more"))
    clock.advance(539.5)
    assert not pacing.permits(asked("more")), "the first is still within the window"
    clock.advance(0.5)
    assert pacing.permits(asked("more"))
    assert not pacing.permits(asked("and more")), "the window slides: one goes, one may come"


def test_bid_ask_counts_twice() -> None:
    pacing = HistoryPacing(ManualClock(START))

    assert all(pacing.permits(asked(str(number), what="BID_ASK")) for number in range(30))
    assert not pacing.permits(asked("more"))


def test_the_same_request_within_15_seconds_and_bursts_on_one_contract() -> None:
    clock = ManualClock(START)
    pacing = HistoryPacing(clock)
    assert pacing.permits(asked(wanted="a"))
    clock.advance(14)
    assert pacing.violation(asked(wanted="a")) == "an identical request within 15 seconds"
    clock.advance(1)
    assert pacing.permits(asked(wanted="a"))
    assert all(pacing.permits(asked(wanted=str(number))) for number in range(4))
    assert not pacing.permits(asked(wanted="sixth"))
    assert pacing.permits(asked(wanted="sixth", what="BID")), "another kind of ticks"
    assert pacing.permits(asked("IBM@SMART", "first", "BID_ASK"))
    assert pacing.permits(asked("IBM@SMART", "second", "BID_ASK"))
    assert not pacing.permits(asked("IBM@SMART", "third", "BID_ASK"))
    clock.advance(2)
    assert pacing.permits(asked(wanted="sixth"))


@pytest.mark.parametrize(
    ("pacing", "bar_seconds", "allowed"),
    [(Pacing.TODAY, 30, 60), (Pacing.TODAY, 60, 100), (Pacing.STRICT, 86_400, 60), (Pacing.OFF, 1, 100)],
)
def test_which_bars_have_hard_limits_is_chosen(pacing: Pacing, bar_seconds: int, allowed: int) -> None:
    limits = HistoryPacing(ManualClock(START), pacing)

    assert sum(limits.permits(asked(str(number), bar_seconds=bar_seconds)) for number in range(100)) == allowed


def test_larger_bars_are_slowed_down_where_that_is_wanted() -> None:
    clock = ManualClock(START)
    limits = HistoryPacing(clock, soft_delay=3.0)

    assert {limits.delay(asked(str(number), bar_seconds=60)) for number in range(60)} == {0.0}
    assert limits.delay(asked("more", bar_seconds=60)) == 3.0
    assert limits.delay(asked("more", bar_seconds=30)) == 0.0, "small ones have hard limits instead"
    clock.advance(600)
    assert limits.delay(asked("later", bar_seconds=60)) == 0.0


def test_a_week_of_requests_at_the_allowed_rate_breaks_no_rule() -> None:
    clock = ManualClock(START)
    limits = HistoryPacing(clock)
    refused = 0
    for number in range(7 * 24 * 360):
        refused += not limits.permits(asked(f"{number % 300}", str(number)))
        clock.advance(10)

    assert refused == 0


def test_sixty_subscriptions_to_five_second_bars_in_ten_minutes() -> None:
    clock = ManualClock(START)
    bars = BarPacing(clock)

    assert [bars.permits() for _ in range(61)].count(False) == 1
    clock.advance(600)
    assert bars.permits()


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
        "accounts": [],
        "commissions": "fixed",
        "ledger": None,
        "state": None,
        "pacing": "today",
        "soft_delay": 0.0,
        "permissions": "",
        "faults": None,
        "latency": 0.0,
        "control_port": 0,
        "control_token_file": None,
    }
    return Choices(**{**fields, **changes})


def test_choices_become_options() -> None:
    options, address = chosen(choices(step=True, pacing="off", permissions="ibm=delayed", port=7497))

    assert (options.speed, options.pacing, address.port) == (0.0, Pacing.OFF, 7497)
    assert options.permissions == {"IBM": "delayed"}
    assert market_time("2013-02-28T09:25:00") == market_time("2013-02-28T14:25:00Z") == options.start


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"now": "soon"}, "is not a time"),
        ({"speed": 0.0}, "greater than 0"),
        ({"cash": "much"}, "is not a number"),
        ({"control_port": 7000}, "needs --control-token-file"),
        ({"pacing": "slow"}, "today, strict, off"),
        ({"soft_delay": -1.0}, "0 or more"),
    ],
)
def test_a_wrong_choice_is_told(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        chosen(choices(**wrong))


async def test_requests_about_accounts_that_last_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_watch, "REQUESTS_MAX", 3)
    async with by_hand() as hand:
        client = await hand.client()
        for number in (*range(1, 5), 3):
            await client.say(92, number, "DU1234567", "")
        assert ([each[1] for each in client.of(94)], [each[2:4] for each in client.of(4)[-1:]]) == (
            ["1", "2", "3", "3"],
            [["4", "321"]],
        )

        await client.say(93, 1)
        await client.say(92, 4, "DU1234567", "")
        assert client.of(94)[-1][1] == "4"
