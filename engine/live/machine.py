"""Which command a live strategy takes in which state, and where it leads."""

from schemas.event import Event
from schemas.strategy import (
    Allocate,
    Deploy,
    Pause,
    Promote,
    Reconfigure,
    Resume,
    RunningState,
    Start,
    Stop,
)

_LIVE = (RunningState.DEPLOYED, RunningState.RUNNING, RunningState.PAUSED)
_STARTED = (RunningState.RUNNING, RunningState.PAUSED)
_ENDED = (RunningState.STOPPED, RunningState.FAILED)
_TAKEN_IN: dict[type[Event], tuple[RunningState, ...]] = {
    Start: _LIVE,
    Resume: _STARTED,
    Pause: _STARTED,
    Reconfigure: _LIVE,
    Allocate: _LIVE,
    Promote: _LIVE,
    Stop: (*_LIVE, RunningState.STOPPING, *_ENDED),
}
_WHY = {
    RunningState.DEPLOYED: "it was not started yet: start it",
    RunningState.STOPPING: "it is selling what it holds before it stops",
    RunningState.STOPPED: "it has stopped",
    RunningState.FAILED: "it has failed",
}


def ended(state: RunningState) -> bool:
    """Whether nothing but a new deployment brings it back."""
    return state in _ENDED


def deploy_again(strategy_id: str) -> str:
    """How one that has ended comes back."""
    return f"deploy it again: `scizor live start NAME --symbols ... --id {strategy_id}`"


def why_not(state: RunningState, command: Event, strategy_id: str, *, holds: bool) -> str:
    """Why the command is refused in this state; empty when it is taken. `holds`: whether there is something to sell."""
    if isinstance(command, Deploy):
        return "" if ended(state) else "it is deployed already: stop it first, or choose another id"
    again = deploy_again(strategy_id)
    if isinstance(command, Stop) and command.liquidate and holds and ended(state):
        return (
            "it has ended, it sells nothing: close its positions with POST /positions/SYMBOL/close at the algo "
            f"trader, or {again}; then stop that one with --liquidate"
        )
    if state in _TAKEN_IN.get(type(command), ()):
        return ""
    return f"{_WHY.get(state, f'it is {state}')}{f': {again}' if ended(state) else ''}"


def after(state: RunningState, command: Event, *, holds: bool) -> RunningState:
    """Where a command that is taken leads. `holds`: whether there is anything to liquidate."""
    if isinstance(command, Start | Resume):
        return RunningState.RUNNING
    if isinstance(command, Pause):
        return RunningState.PAUSED
    if isinstance(command, Stop):
        sells = command.liquidate and holds and not ended(state)
        return RunningState.STOPPING if sells else RunningState.STOPPED
    return state
