"""What keeps a live strategy from doing what a person has just told it, and what changes that."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from engine.trading_state import account_scope
from infra.kill import KillFlag
from schemas.account import RiskLimits, TradingMode, TradingState
from schemas.strategy import RunningState, StrategyState


def held_up_by(
    home: Path,
    states: Mapping[str, TradingState],
    limits: Mapping[str, RiskLimits],
    told: StrategyState,
) -> list[str]:
    """In words, empty when nothing does. `told`: how the strategy has taken a command."""
    if told.shadow:
        return []
    if told.state not in (RunningState.RUNNING, RunningState.STOPPING):
        return []
    found = [*_of_limits(limits, told.deployment.account_id), *_of_orders(home, states, told)]
    if told.state is RunningState.STOPPING and not told.error:
        again = f"`scizor live stop {told.strategy_id} --liquidate`"
        found.append(f"it sells what it holds; what is denied is tried again, for a day: {again} tries at once")
    return found


def _of_orders(home: Path, states: Mapping[str, TradingState], told: StrategyState) -> Iterator[str]:
    symbols = [f"symbol:{name}" for name in told.deployment.symbols]
    scopes = ["global", account_scope(told.deployment.account_id), f"strategy:{told.strategy_id}", *symbols]
    if (killed := KillFlag(home).read().of(scopes)) is not None:
        yield f"nothing is sent: {killed}: `scizor arm` lifts that"
        return
    if account_scope(account := told.deployment.account_id) not in states:
        yield f"the executor has told nothing of {account} yet, so every order is denied: look at `scizor status`"
    for scope in scopes:
        state = states.get(scope)
        if state is not None and state.mode is not TradingMode.ACTIVE:
            yield f"{scope} is {state.mode}: {state.reason}: `scizor live arm --scope {scope}` lifts that"


def _of_limits(limits: Mapping[str, RiskLimits], account_id: str) -> Iterator[str]:
    if account_scope(account_id) not in limits:
        yield f"{account_id} has no limits, so every order is denied: `scizor live limits notional_max=25000` sets some"
