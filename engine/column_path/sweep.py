"""Many parameter sets over the same bars, scored without building what a single result shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.backtest import BacktestResult
from engine.column_path.loops import loops
from engine.column_path.orders import Orders
from engine.column_path.run import FORMULAS, ColumnPathError, asked, beyond, made, refuse, run_columns, wishes_of
from engine.column_path.shown import Layout, Shown, computed
from engine.columns import BarColumns, Floats, Integers
from engine.crossing_rule import Average
from engine.lean_imports import imported
from engine.options import BacktestError, BacktestOptions
from engine.statistics import periods_per_year, session_ends
from engine.strategy import BaseStrategy, StrategyConfig

_FIGURES = 6
"""Final equity, deepest drawdown, sum and sum of squares of session returns, fills, least equity."""


@dataclass(frozen=True, eq=False)
class Scores:
    """One figure a parameter set, in their order; shape `(sets,)`. Figures as in `StrategyMetrics`, NaN for None."""

    final_equity: Floats
    total_return: Floats
    sharpe: Floats
    max_drawdown: Floats
    fills: Floats


def sweep(
    columns: BarColumns,
    strategy_class: type[BaseStrategy],
    configs: Sequence[StrategyConfig],
    options: BacktestOptions | None = None,
) -> Scores:
    """Score `configs`; final equity and fills are those of `engine.backtest.run`. Errors as `run_columns` has them."""
    if not len(columns):
        raise BacktestError("there are no bars to run on")
    options = options or BacktestOptions()
    refuse(options, strategy_class)
    layout = Layout.of(columns)
    shared: dict[Any, Floats] = {}
    fold = _Fold(columns, options) if _is_folded(columns, options) else None
    rows = np.empty((len(configs), _FIGURES))
    for place, config in enumerate(configs):
        strategy = made(strategy_class, config)
        if fold is None or not fold.scored(strategy, Shown(layout, strategy, shared), rows, place):
            rows[place] = _of_result(run_columns(columns, strategy_class, config, options, shared))
    return _scores(rows, columns, options)


def sweep_crossings(
    columns: BarColumns,
    strategy_class: type[BaseStrategy],
    parameters: Mapping[str, Sequence[Any]],
    options: BacktestOptions | None = None,
) -> Scores:
    """The same for a strategy whose whole rule is one `crossing` that it names (`BaseStrategy.rule`): compiled.

    `parameters` are columns of values, one a set, of what the rule's indicators take. Raises ColumnPathError for a
    strategy without such a rule, for several contracts, and for costs that depend on more than price and quantity;
    IndicatorError for values that its indicators cannot take.
    """
    options = options or BacktestOptions()
    if strategy_class.rule is None:
        raise ColumnPathError(f"{strategy_class.__name__} names no rule: use `sweep`")
    refuse(options, strategy_class)
    if not _is_folded(columns, options):
        raise ColumnPathError("a compiled rule takes one contract and plain costs: use `sweep`")
    rule, sets = strategy_class.rule, len(next(iter(parameters.values())))
    (firsts, first_of), (seconds, second_of) = (
        _distinct(columns, side, parameters) for side in (rule.first, rule.second)
    )
    below = np.array([rule.below({rule.short: each}) for each in parameters.get(rule.short, (False,) * sets)])
    into = np.empty((sets, _FIGURES))
    fold = _Fold(columns, options)
    fold.loops.score_crossings(firsts, seconds, first_of, second_of, below, *fold.terms, into)
    return _scores(into, columns, options)


def _is_folded(columns: BarColumns, options: BacktestOptions) -> bool:
    """Whether the loop that keeps scores alone can run."""
    plain_costs = options.slippage in FORMULAS and options.commission in FORMULAS
    return options.plain and plain_costs and len(columns.contracts) == 1


def _distinct(columns: BarColumns, side: Average, parameters: Mapping[str, Sequence[Any]]) -> tuple[Floats, Integers]:
    """Each different window once, one a row, and which row each parameter set takes."""
    wanted = list(zip(*(parameters[name] for name in side.parameters), strict=True))
    rows = {given: number for number, given in enumerate(dict.fromkeys(wanted))}
    layout, column = Layout.of(columns), getattr(columns, side.column)
    values = np.empty((len(rows), len(columns)))
    for given, number in rows.items():
        side.indicator.ready(*given)  # raises for values that compiled loops would not look at
        values[number] = computed(side.indicator, (column, *given), layout.offsets, loops(many=True))
    return values, np.array([rows[given] for given in wanted], dtype=np.int64)


class _Fold:
    """The loops that keep scores alone, of one contract by plain costs, and what all sets have in common for them:
    prices, the bounds of closes, ends of sessions, costs."""

    def __init__(self, columns: BarColumns, options: BacktestOptions) -> None:
        self.loops = imported("engine.column_path.compiled_scores")  # numba is loaded where columns are run
        prices, limits = np.stack((columns.open, columns.close)), self.loops.bounds(columns.close)
        self.terms = (prices, limits, session_ends(columns.end_us), _costs(options))

    def scored(self, strategy: BaseStrategy, shown: Shown, rows: Floats, place: int) -> bool:
        """Write a strategy's figures into its row. False when it gives orders, which take the compiled exchange."""
        ready = [slot.ready for slot in strategy.slots if not slot.frame]
        framed = len(ready) < len(strategy.slots)
        wishes = wishes_of(strategy, shown) if framed else asked(strategy, shown)
        if isinstance(wishes, Orders):
            return False
        first = 0 if framed else max(ready, default=1) - 1
        if not self.loops.score(wishes, first, *self.terms, rows, place):
            raise beyond(strategy)
        return True


def _costs(options: BacktestOptions) -> tuple[float, ...]:
    """What the compiled loop takes: money, then commission by value and by share, then slippage by price and fixed."""
    by_value = options.commission_rate / 10_000 if options.commission == "bps" else 0.0
    by_share = options.commission_rate if options.commission == "per_share" else 0.0
    worse = {"bps": options.slippage_rate / 10_000, "half_spread": options.slippage_rate / 20_000}
    fixed = options.slippage_rate if options.slippage == "fixed" else 0.0
    return (
        float(options.quantity), float(options.lot), float(options.cash), by_value, by_share,
        worse.get(options.slippage, 0.0), fixed,
    )  # fmt: skip


def _of_result(result: BacktestResult) -> tuple[float, ...]:
    brief, equity = result.brief, result.curve.equity
    total, squares = float(brief.returns.sum()), float((brief.returns * brief.returns).sum())
    return float(equity[-1]), brief.max_drawdown or 0.0, total, squares, brief.fills or 0.0, float(equity.min())


def _scores(rows: Floats, columns: BarColumns, options: BacktestOptions) -> Scores:
    final, deepest, total, squares, fills, least = rows.T
    ends = session_ends(columns.end_us)
    count, periods = len(ends), periods_per_year(columns.end_us[ends])
    sharpe = np.full(len(rows), np.nan)
    if periods is not None and count > 1:
        mean = total / count
        deviation = np.sqrt(np.maximum(squares - count * mean * mean, 0.0) / (count - 1))
        usable = (deviation > 0) & (least > 0)
        np.divide(mean * math.sqrt(periods), deviation, out=sharpe, where=usable)
    return Scores(final, final / options.cash - 1, sharpe, deepest, fills)
