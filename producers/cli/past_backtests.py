"""Results of earlier backtests, read from their topic and from what ran right here."""

from collections.abc import Sequence
from typing import Any

from infra.embedded.running import running_settings
from infra.errors import UsageError
from infra.kept_results import KeptResults
from infra.replay import fold
from infra.settings import Settings
from producers.cli.records import run as run_with_kafka
from producers.cli.running_backtest import figures
from producers.cli.trial_ledger import reached
from schemas.backtest import BacktestFinished

_TOPIC = "backtest.results.v1"


def results(settings: Settings) -> list[BacktestFinished]:
    """The newest result of every backtest, in the order of their time: of those that ran right here, and of the
    running system's. EnvironmentUnhealthyError when there are neither."""
    found = {each.backtest_id: each for each in KeptResults(settings.home).all()}
    if not found or reached(settings) is not None:
        system = running_settings(settings, needs_database=False)
        found |= run_with_kafka(_results(system), system)
    return sorted(found.values(), key=lambda each: each.event_time)


async def _results(settings: Settings) -> dict[str, BacktestFinished]:
    newest: dict[str, BacktestFinished] = {}
    async for event, _ in fold(settings, [_TOPIC]):
        if isinstance(event, BacktestFinished):
            newest[event.backtest_id] = event
    return newest


def chosen(past: Sequence[BacktestFinished], wanted: str) -> BacktestFinished:
    """The one whose id is `wanted` or begins so. UsageError when there is none, or several."""
    found = [each for each in past if each.backtest_id == wanted] or [
        each for each in past if each.backtest_id.startswith(wanted)
    ]
    if not found:
        raise UsageError(f"no backtest {wanted!r} has finished: `scizor backtest list` shows those that have")
    if len(found) > 1:
        raise UsageError(f"{len(found)} backtests begin with {wanted!r}: write more of the id")
    return found[0]


def summary(each: BacktestFinished) -> dict[str, Any]:
    """What a list tells of one."""
    return {
        "backtest_id": each.backtest_id,
        "finished": each.event_time.isoformat(),
        "strategy": each.request.strategy,
        "parameters": each.request.parameters,
        "symbols": list(each.request.symbols),
        "succeeded": each.succeeded,
        "error": each.error,
        **{name: each.metrics.get(name) for name in ("total_return", "sharpe", "max_drawdown", "trades")},
    }


def table(past: Sequence[BacktestFinished]) -> str:
    """One line each."""
    lines = [f"{'BACKTEST':<38}{'FINISHED':<18}{'STRATEGY':<28}{'SYMBOLS':<18}{'RETURN':>9}{'SHARPE':>8}{'TRADES':>8}"]
    for each in past:
        shown = dict(figures(each))
        names = ",".join(each.request.symbols)
        symbols = names if len(names) <= 16 else f"{names[:13]}..."
        begin = f"{each.backtest_id:<38}{each.event_time:%Y-%m-%d %H:%M}  {each.request.strategy:<28}{symbols:<18}"
        if each.succeeded:
            lines.append(f"{begin}{shown['total return']:>9}{shown['Sharpe']:>8}{shown['closed trades']:>8}")
        else:
            lines.append(f"{begin}failed: {each.error[:60]}")
    return "\n".join(lines)


def comparison(found: Sequence[BacktestFinished]) -> str:
    """Figures in rows, backtests in columns."""
    width = 26
    rows = [
        ("", [each.backtest_id[:8] for each in found]),
        ("strategy", [each.request.strategy[: width - 2] for each in found]),
        ("symbols", [",".join(each.request.symbols)[: width - 2] for each in found]),
        ("parameters", [_parameters(each)[: width - 2] for each in found]),
        *((name, [dict(figures(each))[name] for each in found]) for name, _ in figures(found[0])),
    ]
    return "\n".join(f"{name:<20}" + "".join(f"{text:>{width}}" for text in texts) for name, texts in rows)


def _parameters(each: BacktestFinished) -> str:
    return " ".join(f"{name}={value}" for name, value in each.request.parameters.items()) or "defaults"
