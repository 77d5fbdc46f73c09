"""Whether trading is allowed: how one state follows another, and which of several scopes holds."""

from collections.abc import Mapping

from schemas.account import TradingMode, TradingState

RECONCILER = "executor"
"""Who halts while the broker's books and ours are compared; its ACTIVE lifts its own halts and nobody else's."""
KILL_SWITCH = "kill switch"
"""Who halts what was killed; its ACTIVE too lifts its own halts and nobody else's."""

_LIFT_THEIR_OWN = (RECONCILER, KILL_SWITCH)
_WHY_MAX = 250
_STRICTNESS = (TradingMode.ACTIVE, TradingMode.REDUCING, TradingMode.HALTED)


def strictness(mode: TradingMode) -> int:
    return _STRICTNESS.index(mode)


def account_scope(account_id: str) -> str:
    return f"account:{account_id}"


def account_of(scope: str) -> str | None:
    """The account that the scope is, None for another kind."""
    kind, _, name = scope.partition(":")
    return name if kind == "account" else None


def follow(current: TradingState | None, told: TradingState) -> TradingState:
    """The state of a scope after `told`.

    A stricter state always holds. A looser one has to be newer than what it lifts. What a person or risk has stopped
    stays theirs: the reconciler neither lifts it nor takes it over, not even with a halt, since lifting that would lift
    theirs with it. While the books differ the executor's own gate is shut whatever is told here. A kill that is no
    stricter than what was stopped before, and its end, are the same; what is killed, the executor's flag keeps stopped.
    A kill over a reduced mode remembers that one, which comes back when the kill is lifted.
    """
    holds = _stricter_or_newer(current, told)
    if current is None or holds is not told or told.by != KILL_SWITCH:
        return holds
    by, reason = current.reduced_by, current.reduced_reason
    if told.mode is TradingMode.HALTED:
        if current.mode is TradingMode.REDUCING:
            by, reason = current.by, current.reason
        return told.model_copy(update={"reduced_by": by, "reduced_reason": reason}) if by else told
    return told.model_copy(update={"mode": TradingMode.REDUCING, "by": by, "reason": reason}) if by else told


def _stricter_or_newer(current: TradingState | None, told: TradingState) -> TradingState:
    if current is None or current == told:
        return told
    stopped = current.mode is not TradingMode.ACTIVE
    if stopped and told.by == RECONCILER != current.by:
        return current
    if strictness(told.mode) > strictness(current.mode):
        return told
    if stopped and told.by == KILL_SWITCH and current.by not in _LIFT_THEIR_OWN:
        return current
    if stopped and told.mode is current.mode and current.by in _LIFT_THEIR_OWN and told.by != current.by:
        return told
    return told if told.event_time > current.event_time else current


def why_stopped(scope: str, mode: str, by: str, reason: str) -> str:
    """Who has stopped a scope and why, and what lifts that."""
    if by == KILL_SWITCH:
        return f"{scope} is {mode} by a kill: {reason[:_WHY_MAX]}: `scizor arm` lifts that"
    if by == RECONCILER:
        return f"{scope} is {mode} until books and broker agree: {reason[:_WHY_MAX]}"
    return f"{scope} is {mode} by {by}: {reason[:_WHY_MAX]}: `scizor live arm --scope {scope}` lifts that"


def scopes_of(account_id: str, strategy_id: str, symbol: str) -> tuple[str, ...]:
    """The scopes that concern an order."""
    return "global", account_scope(account_id), f"strategy:{strategy_id}", f"symbol:{symbol}"


def mode_of(states: Mapping[str, TradingMode], account_id: str, strategy_id: str = "", symbol: str = "") -> TradingMode:
    """The strictest mode of all scopes that concern an order; without a state of the account it is HALTED."""
    if account_scope(account_id) not in states:
        return TradingMode.HALTED
    found = [states[scope] for scope in scopes_of(account_id, strategy_id, symbol) if scope in states]
    return max(found, key=strictness)
