"""What a person is told when a live strategy cannot do what it was told."""

from pathlib import Path
from typing import Any

from infra.kill import Kill, KillFlag, Kills
from producers.cli.held_up import held_up_by
from schemas.account import RiskLimits, TradingMode, TradingState
from schemas.strategy import Deploy, RunningState, StrategyState
from tests.builders import SEEN

_STAMP: dict[str, Any] = {"event_time": SEEN, "ingest_time": SEEN}
_COMMAND: dict[str, Any] = {"command_id": "c", "strategy_id": "mine", "by": "ann", **_STAMP}
_LIMITS = {"account:DU1": RiskLimits(scope="account:DU1", version=1, **_STAMP)}


def a_state(state: RunningState, **fields: Any) -> StrategyState:
    deployment = Deploy(**_COMMAND, strategy="buy_and_hold", symbols=("AAPL",), account_id="DU1")
    return StrategyState(strategy_id="mine", state=state, deployment=deployment, **fields, **_STAMP)


def a_mode(scope: str, mode: TradingMode) -> dict[str, TradingState]:
    return {scope: TradingState(scope=scope, mode=mode, reason="lunch", by="ann", **_STAMP)}


RUNS = a_state(RunningState.RUNNING)


def test_a_strategy_that_may_trade_is_held_up_by_nothing(tmp_path: Path) -> None:
    others = a_mode("account:DU2", TradingMode.HALTED) | a_mode("account:DU1", TradingMode.ACTIVE)
    assert held_up_by(tmp_path, others, _LIMITS, RUNS) == []


def test_missing_limits_a_halt_and_a_kill_are_told_with_what_lifts_them(tmp_path: Path) -> None:
    without_limits, without_a_state = held_up_by(tmp_path, {}, {}, RUNS)
    assert "`scizor live limits" in without_limits
    assert "the executor has told nothing of DU1 yet" in without_a_state
    halted = a_mode("account:DU1", TradingMode.HALTED)
    (told,) = held_up_by(tmp_path, halted, _LIMITS, RUNS)
    assert told == "account:DU1 is HALTED: lunch: `scizor live arm --scope account:DU1` lifts that"
    kill = Kill(kill_id="k", scope="strategy:mine", reason="a drill", by="ann", at=SEEN)
    KillFlag(tmp_path).file.write_text(Kills(kills=(kill,)).model_dump_json())
    (told,) = held_up_by(tmp_path, halted, _LIMITS, RUNS)
    assert "a drill: `scizor arm` lifts that" in told


def test_a_shadow_needs_neither_limits_nor_leave(tmp_path: Path) -> None:
    halted = a_mode("global", TradingMode.HALTED)
    assert held_up_by(tmp_path, halted, {}, a_state(RunningState.RUNNING, shadow=True)) == []


def test_what_still_sells_says_how_it_goes_on(tmp_path: Path) -> None:
    active = a_mode("account:DU1", TradingMode.ACTIVE)
    (sells,) = held_up_by(tmp_path, active, _LIMITS, a_state(RunningState.STOPPING))
    assert "for a day: `scizor live stop mine --liquidate` tries at once" in sells
    assert held_up_by(tmp_path, active, _LIMITS, a_state(RunningState.STOPPED, positions={"AAPL": "100"})) == []


def test_what_cannot_sell_says_why(tmp_path: Path) -> None:
    halted, _ = held_up_by(tmp_path, a_mode("global", TradingMode.HALTED), {}, a_state(RunningState.STOPPING))[-2:]
    assert "scizor live arm --scope global" in halted
    given_up = a_state(RunningState.STOPPING, error="AAPL is not sold: it tells how to go on")
    assert held_up_by(tmp_path, a_mode("account:DU1", TradingMode.ACTIVE), _LIMITS, given_up) == []
