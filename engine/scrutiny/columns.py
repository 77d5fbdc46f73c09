"""Whether a strategy that also says its targets by columns says the same as bar by bar."""

from engine.backtest import run
from engine.column_path.run import run_columns
from engine.columns import BarColumns
from engine.scrutiny.findings import Finding, Lines, Severity
from engine.scrutiny.recording import OPTIONS, Trial
from engine.strategy import BaseStrategy
from schemas.moments import to_datetime


def by_columns(trial: Trial, columns: BarColumns, lines: Lines) -> list[Finding]:
    """The fills of both ways: bar by bar nothing is seen too early, so what differs looks ahead or is another rule."""
    if trial.strategy.targets is BaseStrategy.targets:
        return []
    alone = run(columns, trial.strategy, trial.config, OPTIONS).executions
    together = run_columns(columns, trial.strategy, trial.config, OPTIONS).executions
    pairs = [[(each.time_us, each.contract_id, each.quantity) for each in ways] for ways in (alone, together)]
    if pairs[0] == pairs[1]:
        return []
    shorter = min(map(len, pairs))
    place = next((n for n in range(shorter) if pairs[0][n] != pairs[1][n]), shorter)
    said = [_told(each[place]) if place < len(each) else "nothing" for each in pairs]
    text = f"fill {place + 1} is {said[0]} by on_bar and {said[1]} by targets: both must decide alike"
    return [Finding(Severity.ERROR, "columns", text, lines.function("targets"))]


def _told(fill: tuple[int, int, float]) -> str:
    return f"{fill[2]:+g} of contract {fill[1]} on {to_datetime(fill[0]):%Y-%m-%d %H:%M}"
