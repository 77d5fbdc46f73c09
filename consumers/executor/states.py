"""What the topic of trading states says, folded into the gate, and what has to be said again."""

from consumers.executor.gate import Gate
from schemas.account import TradingState


class States:
    """Compaction keeps the newest record of a scope: when that is not the state that holds, it is told once more.

    A state that is told once more is stricter than what was told meanwhile, and would undo it: an arming, for one. So
    nothing is said for a record that others follow already, and an echo that comes back too late holds for nothing.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._newest: dict[str, int] = {}
        """Offset of the newest record of each scope; the topic has one partition."""
        self._echoes: dict[str, TradingState] = {}
        """What was said again for a scope last."""

    def fold(self, told: TradingState, offset: int) -> TradingState:
        """Take in what was told before the start, or now; returns the state that holds."""
        self._newest[told.scope] = offset
        holds = self._gate.state(told.scope)
        if holds is not None and told == self._echoes.get(told.scope):
            return holds
        return self._gate.hear(told)

    def is_past(self, told: TradingState, offset: int) -> bool:
        """Whether it was folded already, and others of its scope after it."""
        return offset < self._newest.get(told.scope, 0)

    def echo(self, state: TradingState) -> TradingState:
        """The state, to be told again."""
        self._echoes[state.scope] = state
        return state
