"""Whether a strategy can be believed: its text, its view of the future, its memory of the past."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.backtest import BacktestError
from engine.columns import BarColumns
from engine.scrutiny.columns import by_columns
from engine.scrutiny.findings import Finding, Lines, Severity
from engine.scrutiny.lookahead import lookahead
from engine.scrutiny.market import CONTRACTS_MAX, example_market, market_of
from engine.scrutiny.recording import Trial
from engine.scrutiny.source import read
from engine.scrutiny.warmup import warm_up
from engine.strategy import BaseStrategy, ParameterError
from engine.strategy_source import StrategySourceError, at_line, strategy_from

__all__ = [
    "CONTRACTS_MAX",
    "Finding",
    "Severity",
    "Verdict",
    "examine",
    "examine_source",
    "example_market",
    "market_of",
]

_BARS = 1500
_BARS_MAX = 20_000


@dataclass(frozen=True)
class Verdict:
    """What was found about a strategy, the gravest first."""

    name: str
    findings: tuple[Finding, ...]
    bars: int = 0
    decisions: int = 0
    """On how many bars it said something."""

    @property
    def passed(self) -> bool:
        """Whether nothing grave was found."""
        return not any(each.severity is Severity.ERROR for each in self.findings)


def examine_source(
    source: str, name: str, parameters: Mapping[str, Any], columns: BarColumns | None = None, contracts: int = 2
) -> Verdict:
    """Read the text of a strategy, then run it as `examine` does. It runs here: hand in no text of strangers."""
    findings = read(source)
    if any(each.rule == "syntax" for each in findings):
        return Verdict(name, tuple(findings))
    try:
        strategy = strategy_from(source, name)
    except StrategySourceError as error:
        if not any(each.severity is Severity.ERROR for each in findings):
            findings.append(Finding(Severity.ERROR, "load", str(error), _told_line(str(error))))
        return _verdict(name, findings)
    verdict = examine(strategy, parameters, columns, contracts, source=source)
    return _verdict(name, [*findings, *verdict.findings], verdict.bars, verdict.decisions)


def examine(
    strategy: type[BaseStrategy],
    parameters: Mapping[str, Any],
    columns: BarColumns | None = None,
    contracts: int = 2,
    *,
    source: str = "",
) -> Verdict:
    """Run a strategy over `columns`, or an invented market, whole and in parts, and tell what does not fit."""
    name, lines = strategy.__name__, Lines(source)
    try:
        trial = Trial(strategy, strategy.Config.parse(parameters))
        settled = strategy(trial.config).settled
        bars = columns if columns is not None else example_market(min(max(_BARS, 3 * settled), _BARS_MAX), contracts)
        whole = trial.backtested(bars)
        findings = [*lookahead(trial, bars, whole, lines), *warm_up(trial, bars, whole, lines)]
        findings += by_columns(trial, bars, lines)
        if why := trial.not_live(bars):
            findings.append(Finding(Severity.NOTE, "backtest", why))
    except ParameterError as error:
        return Verdict(name, (Finding(Severity.ERROR, "parameters", str(error)),))
    except BacktestError as error:
        return Verdict(
            name, (Finding(Severity.ERROR, "failed", str(error), _line(error.__cause__ or error, strategy)),)
        )
    except Exception as error:  # noqa: BLE001 # a strategy's own code runs here, and can raise anything
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Verdict(name, (Finding(Severity.ERROR, "failed", text, _line(error, strategy)),))
    said = sum(row.told != "None" for row in whole)
    if not said:
        findings.append(Finding(Severity.WARNING, "silent", _silence(strategy)))
    return _verdict(name, findings, len(bars), said)


def _verdict(name: str, findings: list[Finding], bars: int = 0, said: int = 0) -> Verdict:
    gravity = list(Severity)
    ordered = sorted(findings, key=lambda each: (gravity.index(each.severity), each.line, each.rule))
    return Verdict(name, tuple(dict.fromkeys(ordered)), bars, said)


def _line(error: BaseException, strategy: type[BaseStrategy]) -> int:
    """The line of the strategy's own file that an exception came through last."""
    return _told_line(at_line(error, f"{strategy.__module__}.py"))


def _told_line(text: str) -> int:
    told = re.search(r"line (\d+)", text)
    return int(told[1]) if told else 0


def _silence(strategy: type[BaseStrategy]) -> str:
    if strategy.on_tick is not BaseStrategy.on_tick:
        return "it decides on ticks, and only bars were tried"
    return "it never said anything on these bars, so nothing could be compared: give it others"
