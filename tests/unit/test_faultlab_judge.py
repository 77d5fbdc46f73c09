"""The judge of the fault laboratory: each promise, kept and broken, on a world of a few lines."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from infra.settings import REPOSITORY
from tests.a_ledger import Ledger
from tests.faultlab.evidence import TABLES, Evidence, Said
from tests.faultlab.judge import PROMISES, Trial, is_for_good, judged
from tests.faultlab.marks import Darkness, Kill, Marks

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
ORDER = {"contract_id": 1, "side": "BUY", "quantity": "10", "limit_price": None, "order_ref": "a"}
ASKED = ("reqAllOpenOrders", "reqExecutions", "reqPositions")
CALM = [{"kind": "connected", "client_id": 10}, *({"kind": "request", "client_id": 10, "request": r} for r in ASKED)]
RECEIVED = {"kind": "order_received", "client_id": 10, "order_id": 1, **ORDER}
FILL = {
    "kind": "fill",
    "client_id": 10,
    "order_id": 1,
    **ORDER,
    "execution_id": "x.01",
    "price": "5",
    "commission": "1",
}
HELD = {"kind": "position", "contract_id": 1, "quantity": "10"}
ACCEPTED = {"kind": "order_accepted", "client_id": 10, "order_id": 1}
LINES = [*CALM, RECEIVED, ACCEPTED, FILL, HELD]


def a_decision(**changes: Any) -> dict[str, Any]:
    intent = {"type": "OrderIntent", "side": "BUY", "quantity": "10", "contract_id": 1, "limit_price": None}
    fields = {"type": "RiskDecision", "decision_id": "d", "intent_id": "a", "approved": True, "intent": intent}
    return fields | {"basis": {"decided_at": NOW.isoformat()}} | changes


def told(*bodies: dict[str, Any]) -> list[Said]:
    return [Said(0, offset, body, {}) for offset, body in enumerate(bodies)]


def a_world(lines: list[dict[str, Any]]) -> Evidence:
    """One order that was decided about, sent and filled, as everybody has it."""
    stamped = [
        {"monotonic_ns": n * 1000, "wall_time": (NOW + timedelta(seconds=n)).isoformat(), **line}
        for n, line in enumerate(lines)
    ]
    ledger = Ledger(stamped)
    for line in stamped:
        ledger._take(line)
    fill = {"execution_id": "x", "revision": 1, "type": "Fill", "last_quantity": Decimal(10), "last_price": Decimal(5)}
    update = {"type": "OrderUpdate", "order_id": "a", "sequence": 1, "status": "FILLED", "side": "BUY",
              "quantity": "10", "contract_id": 1, "cumulative_quantity": "10",
              "ingest_time": NOW.isoformat()}  # fmt: skip
    tables: dict[str, list[Any]] = {name: [] for name in TABLES}
    tables["orders"] = [{"order_id": "a", "status": "FILLED", "decision_id": "d", "created_at": NOW}]
    tables["decisions"] = [{"decision_id": "d", "decided_at": NOW - timedelta(seconds=2)}]
    tables["fills"] = [fill]
    tables["commissions"] = [{"execution_id": "x", "revision": 1, "amount": Decimal(1)}]
    tables["positions"] = [{"contract_id": 1, "quantity": Decimal(10)}]
    tables["book_positions"] = [{"contract_id": 1, "quantity": Decimal(10)}]
    topics = {
        "trading.intents.v1": told({"type": "OrderIntent", "intent_id": "a"}),
        "trading.decisions.v1": told(a_decision()),
        "trading.orders.v1": told(update),
        "trading.fills.v1": told(fill),
    }
    return Evidence(ledger, tables, topics)


def a_trial(lines: list[dict[str, Any]] = LINES, position_max: int = 100) -> Trial:
    return Trial(a_world(lines), Marks(), Decimal(position_max))


def test_a_world_in_which_all_agree_keeps_every_promise() -> None:
    assert judged(a_trial()) == {}
    assert set(PROMISES) == set(range(1, 11))


def _sent_twice() -> Trial:
    return a_trial([*LINES, {**RECEIVED, "order_id": 2}])


def _sent_with_other_fields() -> Trial:
    return a_trial([*CALM, {**RECEIVED, "quantity": "11"}, ACCEPTED, FILL, HELD])


def _denied_and_sent() -> Trial:
    trial = a_trial()
    trial.seen.topics["trading.decisions.v1"] = told(a_decision(approved=False))
    return trial


def _beyond_the_limit_at_the_gateway() -> Trial:
    return a_trial([*LINES, {**RECEIVED, "order_id": 2, "order_ref": "b", "quantity": "91"}])


def _approved_beyond_the_limit() -> Trial:
    trial = a_trial(position_max=15)
    trial.seen.topics["trading.decisions.v1"] = told(a_decision(), a_decision(intent_id="b", decision_id="e"))
    return trial


def _a_fill_lost() -> Trial:
    trial = a_trial()
    trial.seen.tables["fills"] = []
    return trial


def _a_fill_not_told() -> Trial:
    trial = a_trial()
    trial.seen.topics["trading.fills.v1"] = []
    return trial


def _another_position() -> Trial:
    trial = a_trial()
    trial.seen.tables["positions"] = [{"contract_id": 1, "quantity": Decimal(20)}]
    return trial


def _reserved_for_ever() -> Trial:
    trial = a_trial()
    trial.seen.tables["reservations"] = [{"order_id": "a", "remaining": Decimal(1)}]
    return trial


def _sent_before_it_asked() -> Trial:
    return a_trial([CALM[0], RECEIVED, ACCEPTED, FILL, HELD])


def _a_bar_lost() -> Trial:
    trial = a_trial()
    trial.marks.bars = 1
    bar = {"type": "Bar", "contract_id": 1, "start": NOW.isoformat(), "close": 1.0, "volume": 1.0}
    trial.seen.topics["market.bars.v1"] = told(bar)
    return trial


def _never_decided() -> Trial:
    trial = a_trial()
    trial.seen.topics["trading.intents.v1"] += told({"type": "OrderIntent", "intent_id": "b"})
    return trial


def _poison_without_a_trace() -> Trial:
    trial = a_trial()
    trial.marks.poison.append(("market.bars.v1", 0, 3))
    return trial


def _not_dealt_with() -> Trial:
    trial = a_trial()
    trial.seen.behind["risk trading.fills.v1"] = 1
    return trial


def _sent_after_a_kill() -> Trial:
    trial = a_trial()
    trial.marks.kills.append(Kill(0))
    return trial


def _sent_again_after_a_kill() -> Trial:
    """What had been written by then had arrived by then."""
    trial = a_trial([*LINES, RECEIVED])
    trial.marks.kills.append(Kill(4_000, frozenset("a")))
    return trial


def _two_were_sent_beyond_a_fence() -> Trial:
    trial = a_trial([*LINES, {**RECEIVED, "order_id": 2, "order_ref": "b"}])
    trial.marks.kills.append(Kill(0, fenced=False))
    return trial


def _lives_on_after_a_kill() -> Trial:
    trial = a_trial([*CALM, RECEIVED, ACCEPTED])
    trial.marks.kills.append(Kill(10**12))
    return trial


def _sent_in_the_dark() -> Trial:
    trial = a_trial()
    trial.marks.dark.append(Darkness(0, 10**12, NOW - timedelta(seconds=1), "the database was down"))
    return trial


def _sent_at_an_old_price() -> Trial:
    trial = a_trial()
    trial.marks.forbidden["a"] = "nobody had seen a price"
    return trial


def _served(close: float = 1.0) -> dict[str, Any]:
    return {"kind": "bars", "contract_id": 1, "bars": [[NOW.isoformat(), 1.0, 1.0, 1.0, close, 5.0]]}


def _collected(close: float = 1.0, *, times: int = 1, wanted: int = 1) -> Trial:
    """A world with a bar that was collected, as it is on the topic and in the table."""
    trial = a_trial([*LINES, _served()])
    trial.marks.history = {1: wanted}
    bar = {"contract_id": 1, "close": close, "volume": 5.0}
    told_ = {**bar, "type": "HistoricalBar", "start": NOW.isoformat()}
    trial.seen.topics["market.history.v1"] = told(*[told_] * times)
    trial.seen.tables["bars"] = [{**bar, "start": NOW}]
    return trial


def _collected_twice() -> Trial:
    return _collected(times=2)


def _collected_with_a_gap() -> Trial:
    return _collected(wanted=2)


def _collected_as_it_was_never_served() -> Trial:
    return _collected(close=2.0)


def _no_order_after_a_death() -> Trial:
    trial = a_trial()
    trial.marks.deaths.append(10**12)
    return trial


def _strategies(**told_state: Any) -> Trial:
    trial = a_trial()
    trial.marks.strategies = {"good": ("running", 5)}
    trial.seen.topics["strategy.state.v1"] = told({"strategy_id": "good", "state": "running", "bars_seen": 5}
                                                  | told_state)  # fmt: skip
    return trial


def _ended_with_the_others() -> Trial:
    return _strategies(state="failed")


def _missed_a_bar() -> Trial:
    return _strategies(bars_seen=4)


BROKEN = [
    (1, _sent_twice),
    (2, _sent_with_other_fields),
    (2, _denied_and_sent),
    (3, _beyond_the_limit_at_the_gateway),
    (3, _approved_beyond_the_limit),
    (4, _a_fill_lost),
    (4, _a_fill_not_told),
    (5, _another_position),
    (5, _reserved_for_ever),
    (5, _sent_before_it_asked),
    (6, _a_bar_lost),
    (7, _never_decided),
    (7, _poison_without_a_trace),
    (7, _not_dealt_with),
    (8, _sent_after_a_kill),
    (8, _sent_again_after_a_kill),
    (8, _two_were_sent_beyond_a_fence),
    (8, _lives_on_after_a_kill),
    (9, _sent_in_the_dark),
    (9, _sent_at_an_old_price),
    (10, _collected_twice),
    (10, _collected_with_a_gap),
    (10, _collected_as_it_was_never_served),
    (10, _no_order_after_a_death),
    (10, _ended_with_the_others),
    (10, _missed_a_bar),
]


@pytest.mark.parametrize(("promise", "world"), BROKEN, ids=[world.__name__ for _, world in BROKEN])
def test_a_broken_promise_is_found(promise: int, world: Any) -> None:
    assert promise in judged(world())


def test_an_approval_that_is_told_twice_counts_once() -> None:
    trial = a_trial(position_max=15)
    trial.seen.topics["trading.decisions.v1"] = told(a_decision(), a_decision())
    assert judged(trial) == {}


def test_what_a_row_expects_and_finds_is_no_contradiction() -> None:
    assert judged(_collected()) == judged(_strategies()) == {}


def test_what_was_on_its_way_before_the_dark_began_may_arrive_in_it() -> None:
    trial = a_trial()
    trial.marks.dark.append(Darkness(0, 10**12, NOW + timedelta(seconds=1), "the database was down"))
    assert judged(trial) == {}


@pytest.mark.parametrize(("approved_before", "kept"), [(2.5, False), (1.5, True)])
def test_who_sends_while_nobody_decides_sends_what_was_approved_before(approved_before: float, kept: bool) -> None:
    trial = a_trial()
    begin = NOW - timedelta(seconds=approved_before)
    trial.marks.dark.append(Darkness(0, 10**12, begin, "risk was down", of_decisions=True))
    assert (judged(trial) == {}) is kept


@pytest.mark.parametrize("kill", [Kill(0, frozenset("a")), Kill(0, fenced=False)])
def test_an_order_that_was_on_the_wire_before_a_kill_or_slipped_by_its_fence_may_arrive_after_it(kill: Kill) -> None:
    trial = a_trial()
    trial.marks.kills.append(kill)
    assert judged(trial) == {}


def test_what_is_broken_for_good_is_what_two_looks_find_alike() -> None:
    twice = {1: ["two orders for a"]}
    assert is_for_good(twice, {**twice, 7: ["one record is not dealt with"]})
    assert not is_for_good(twice, {}), "the topics may have been newer than the ledger"
    assert not is_for_good({3: ["20 of 10"]}, {3: ["30 of 10"]})
    assert not is_for_good({8: ["a lives on after the kill"]}, {8: ["a lives on after the kill"]}), (
        "it can be cancelled"
    )


def test_the_judge_runs_no_code_of_the_product() -> None:
    ours = "{'schemas', 'engine', 'infra', 'producers', 'consumers'}"
    program = f"import sys, tests.faultlab.judge; print({ours} & {{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "set()\n"
