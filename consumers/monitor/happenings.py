"""What events mean for people: a breach, a halt, a kill, a strategy that failed, a record that was set aside."""

from collections.abc import Sequence

from engine.trading_state import KILL_SWITCH, RECONCILER
from infra.alerts import Alert, Severity
from schemas.account import LimitBreached, TradingMode, TradingState
from schemas.strategy import RunningState, StrategyState

RECONCILE_SECONDS = 30.0
"""Within this, books and broker agree after a start or a gap; until then nobody needs to look."""
_GRAVE_RULES = ("daily_loss",)


def of_breach(told: LimitBreached) -> Alert:
    grave = told.rule.startswith(_GRAVE_RULES)
    who = f"{told.account_id} {told.strategy_id}".strip()
    return Alert(
        f"breach:{told.scope}:{told.strategy_id}:{told.rule}",
        Severity.CRITICAL if grave else Severity.WARNING,
        f"risk: {told.rule} of {who}",
        told.detail,
    )


def of_state(told: TradingState) -> tuple[Alert | None, float]:
    """The alert, and how long it may mend itself; None when the scope trades again."""
    if told.mode is TradingMode.ACTIVE:
        return None, 0.0
    if told.by == KILL_SWITCH:
        return Alert(kill_key(told), Severity.CRITICAL, f"{told.scope} was killed", told.reason), 0.0
    key = state_key(told)
    if told.by == RECONCILER:
        title = f"{told.scope}: books and broker do not agree, trading is halted"
        return Alert(key, Severity.CRITICAL, title, told.reason), RECONCILE_SECONDS
    severity = Severity.CRITICAL if told.mode is TradingMode.HALTED else Severity.WARNING
    return Alert(key, severity, f"{told.scope} is {told.mode} by {told.by}", told.reason), 0.0


def kill_key(told: TradingState) -> str:
    """Apart from halts: a kill on top of one is news, and the end of one is not the end of the other."""
    return f"kill:{told.scope}"


def state_key(told: TradingState) -> str:
    return f"state:{told.scope}"


def of_strategy(told: StrategyState) -> Alert | None:
    """None when it is well, or was stopped on purpose."""
    if told.state is RunningState.STOPPING and told.error:
        title = f"strategy {told.strategy_id} gave up to sell what it holds"
    elif told.state is RunningState.FAILED:
        title = f"strategy {told.strategy_id} failed"
    else:
        return None
    return Alert(strategy_key(told), Severity.CRITICAL, title, told.error)


def strategy_key(told: StrategyState) -> str:
    return f"strategy:{told.strategy_id}"


def of_letter(topic: str, headers: Sequence[tuple[str, bytes | None]]) -> Alert:
    """Of a dead letter, by the topic it was meant for."""
    said = {name: (value or b"").decode("utf-8", "replace") for name, value in headers}
    place = f"{said.get('scizor_dlq_partition', '?')}/{said.get('scizor_dlq_offset', '?')}"
    body = f"{said.get('scizor_dlq_reason', 'no reason told')} (by {said.get('scizor_dlq_group', '?')}, at {place})"
    severity = Severity.CRITICAL if topic.startswith("trading.") else Severity.WARNING
    return Alert(
        f"letter:{topic}", severity, f"a record of {topic} was set aside", f"{body}: `scizor dlq show {topic}`"
    )
