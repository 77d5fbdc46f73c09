"""One parameter set over one stretch of time: the only thing that workers do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from typing import Any, Self

from engine.answer import chosen, options_of, prepared
from engine.backtest import BacktestResult, run
from engine.column_path.run import ColumnPathError
from engine.columns import COLUMNS, BarColumns
from engine.registry import strategy_class
from engine.research.by_columns import Grounds
from engine.research.ledger import Purpose, entry
from engine.research.stretches import Stretch, part_of, shown_from
from engine.statistics import Brief, StrategyMetrics
from engine.strategy import BaseStrategy, nearest
from engine.strategy_source import strategy_from
from schemas.backtest import BacktestRequested, Trial

_LOADED_MAX = 2
_CUTS_MAX = 8

_LESS_IS_BETTER = {
    "annualised_volatility", "max_drawdown_days", "ulcer_index", "turnover", "commission_paid", "slippage_paid",
    "longest_losing_streak", "average_gross_exposure", "exposure", "downside_deviation", "tracking_error",
}  # fmt: skip


class ObjectiveError(ValueError):
    """There is no such figure to search by."""


@dataclass(frozen=True)
class Objective:
    """A figure of a run that is to be as high, or as low, as can be."""

    metric: str
    maximise: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """`sharpe`, `turnover:min`. Raises ObjectiveError, with the nearest name, for what is no figure."""
        name, _, way = (part.strip() for part in text.partition(":"))
        known = StrategyMetrics.model_fields
        if name not in known:
            raise ObjectiveError(f"no metric {name}{nearest(name, known)}: `scizor backtest show --json` lists them")
        if way not in ("", "min", "max"):
            raise ObjectiveError(f"objective {text!r}: write {name}, {name}:max or {name}:min")
        return cls(name, way == "max" or (not way and name not in _LESS_IS_BETTER))


@lru_cache(maxsize=_LOADED_MAX)
def strategy_of(name: str, text: str) -> type[BaseStrategy]:
    """The class of a text, or of this name when there is none. Raises ValueError, in one line."""
    return strategy_from(text, name) if text else strategy_class(name)


Load = Callable[[str], tuple[Mapping[str, Any], Mapping[str, Any]]]
"""Gives what `arrays_of` and `about` made of columns, from where they were put."""


def arrays_of(columns: BarColumns) -> dict[str, Any]:
    """The eight arrays, by name."""
    return {name: getattr(columns, name) for name in COLUMNS}


def about(columns: BarColumns) -> dict[str, Any]:
    """What else there is to columns, ready for JSON."""
    return {"symbols": {str(key): name for key, name in columns.symbols.items()}, "sources": list(columns.sources)}


@dataclass(frozen=True)
class Task:
    """What a worker needs beside parameters; the columns it has from `load(source)` it keeps."""

    load: Load
    source: str
    request: BacktestRequested
    stretch: Stretch
    objectives: tuple[Objective, ...]
    code_hash: str
    now: datetime
    purpose: Purpose = "search"
    study_id: str = ""
    text: str = ""
    """Of a strategy in a file of the one who runs this; empty for one that SCIZOR ships."""


RunIt = Callable[[Task, Mapping[str, Any]], BacktestResult]


@dataclass(frozen=True)
class Evaluation:
    """What came of it: the ledger's entry and a score for each objective, or why there is none."""

    trial: Trial | None
    scores: tuple[float | None, ...] = ()
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        trial = None if self.trial is None else self.trial.model_dump(mode="json")
        return {"trial": trial, "scores": list(self.scores), "error": self.error}

    @classmethod
    def of_json(cls, told: Mapping[str, Any]) -> Self:
        trial = None if told["trial"] is None else Trial.model_validate(told["trial"])
        return cls(trial, tuple(told["scores"]), told["error"])


def evaluate_all(task: Task, sets: Sequence[Mapping[str, Any]]) -> list[Evaluation]:
    """One after the other, by columns where they can, which gives the same; what a process is handed at once."""
    try:
        grounds = grounds_of(task)
    except ValueError:  # each run says it itself
        grounds = None
    run_it: RunIt = run_over if grounds is None else partial(_run_on, grounds)
    return [evaluated(task, each, run_it) for each in sets]


def replay_all(task: Task, sets: Sequence[Mapping[str, Any]]) -> list[Evaluation]:
    """The same, each bar by bar."""
    return [evaluated(task, each, run_over) for each in sets]


def evaluate(task: Task, parameters: Mapping[str, Any]) -> Evaluation:
    """Run one. What the strategy or its parameters do wrong is an outcome, not an exception."""
    return evaluate_all(task, (parameters,))[0]


def evaluated(task: Task, parameters: Mapping[str, Any], run_it: RunIt) -> Evaluation:
    """What came of running it in this way."""
    try:
        result = run_it(task, parameters)
        trial = entry(
            task.request,
            result,
            code_hash=task.code_hash,
            now=task.now,
            purpose=task.purpose,
            study_id=task.study_id,
        )
        return Evaluation(trial, tuple(_figure(result, each.metric) for each in task.objectives))
    except (ValueError, ArithmeticError) as error:
        return Evaluation(None, error=" ".join(str(error).split())[:500])


def _figure(result: BacktestResult, name: str) -> float | None:
    found: float | None = result.brief.figure(name) if name in Brief.NAMES else getattr(result.metrics, name)
    return found


def grounds_of(task: Task) -> Grounds | None:
    """What the runs of a task by columns have in common; None where each needs its bars one by one.

    Raises ValueError as `run_over` does for bars that there are not.
    """
    if task.stretch.warm:  # the bars to warm on are others for each set
        return None
    asked = task.request.revised(parameters={}, start=None, end=None).model_dump_json()
    return _grounds(task.load, task.source, task.stretch, task.text, asked)


def _run_on(grounds: Grounds, task: Task, parameters: Mapping[str, Any]) -> BacktestResult:
    config = strategy_of(task.request.strategy, task.text).Config.parse({**task.request.parameters, **parameters})
    try:
        return grounds.run(config)
    except ColumnPathError:  # these very orders need bars one by one
        return run_over(task, parameters)


@lru_cache(maxsize=_LOADED_MAX)
def _grounds(load: Load, source: str, stretch: Stretch, text: str, asked: str) -> Grounds | None:
    """None where columns cannot do it. Raises ValueError as `prepared` does."""
    request = BacktestRequested.model_validate_json(asked)
    columns = chosen(request, _cut(load, source, stretch, 0))
    grounds = Grounds(columns, strategy_of(request.strategy, text), options_of(request))
    return None if grounds.refused else grounds


def run_over(task: Task, parameters: Mapping[str, Any]) -> BacktestResult:
    """The backtest itself, bar by bar; on a warm stretch the account is shown from its first session on.

    Raises ValueError, in one line, as `engine.answer.answer` does.
    """
    whole = {**task.request.parameters, **parameters}
    request = task.request.revised(parameters=whole, start=None, end=None)
    strategy = strategy_of(request.strategy, task.text)
    config = strategy.Config.parse(whole)
    before = max(strategy(config).warmup - 1, 0) if task.stretch.warm else 0
    columns, options = prepared(request, _cut(task.load, task.source, task.stretch, before))
    result = run(columns, strategy, config, options)
    return shown_from(result, task.stretch) if before else result


@lru_cache(maxsize=_LOADED_MAX)
def _loaded(load: Load, source: str) -> BarColumns:
    arrays, said = load(source)
    symbols = {int(key): name for key, name in said["symbols"].items()}
    return BarColumns(**arrays, symbols=symbols, sources=tuple(said["sources"]))


@lru_cache(maxsize=_CUTS_MAX)
def _cut(load: Load, source: str, stretch: Stretch, before: int) -> BarColumns:
    return part_of(_loaded(load, source), stretch, before)
