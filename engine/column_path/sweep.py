"""Many parameter sets over the same bars, scored without building what a single result shows."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backtest import BacktestResult
from engine.column_path.orders import Orders
from engine.column_path.run import ColumnPathError, refuse, run_columns, wishes_of
from engine.column_path.shown import Layout, Shown, computed
from engine.columns import BarColumns, Floats, Integers
from engine.crossing_rule import Average
from engine.options import BacktestError, BacktestOptions
from engine.statistics import periods_per_year, session_ends, session_returns
from engine.strategy import BaseStrategy, StrategyConfig

Booleans = NDArray[np.bool_]
_FIGURES = 6
_FOLDED = frozenset({"none", "bps", "fixed", "half_spread", "per_share"})


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
    layout = Layout.of(columns)
    shared: dict[Any, Floats] = {}
    refuse(options, strategy_class)
    ends = _ends(columns)
    rows: list[Sequence[float]] = []
    for config in configs:
        strategy = strategy_class(config)
        wishes = wishes_of(strategy, Shown(layout, strategy, shared)) if _is_folded(columns, options) else None
        if wishes is None or isinstance(wishes, Orders):
            rows.append(_of_result(run_columns(columns, strategy_class, config, options, shared)))
        else:
            rows.append(_outcome(columns, wishes, ends, options))
    return _scores(np.array(rows).reshape(len(rows), _FIGURES), columns, options)


def sweep_crossings(
    columns: BarColumns,
    strategy_class: type[BaseStrategy],
    parameters: Mapping[str, Sequence[Any]],
    options: BacktestOptions | None = None,
) -> Scores:
    """The same for a strategy whose whole rule is one `crossing` that it names (`BaseStrategy.rule`): compiled.

    `parameters` are columns of values, one a set, of what the rule's indicators take. Raises ColumnPathError for a
    strategy without such a rule, for several contracts, and for costs that depend on more than price and quantity.
    """
    options = options or BacktestOptions()
    if strategy_class.rule is None:
        raise ColumnPathError(f"{strategy_class.__name__} names no rule: use `sweep`")
    refuse(options, strategy_class)
    if not _is_folded(columns, options):
        raise ColumnPathError("a compiled rule takes one contract and plain costs: use `sweep`")
    from engine.column_path import compiled

    rule, sets = strategy_class.rule, len(next(iter(parameters.values())))
    (firsts, first_of), (seconds, second_of) = (
        _distinct(columns, side, parameters) for side in (rule.first, rule.second)
    )
    rows = ({name: values[place] for name, values in parameters.items()} for place in range(sets))
    below = np.array([rule.below(row) for row in rows])
    into = np.empty((sets, _FIGURES))
    compiled.crossing_outcomes(
        firsts, seconds, first_of, second_of, below, columns.open, columns.close, _ends(columns), _costs(options), into
    )
    return _scores(into, columns, options)


def _is_folded(columns: BarColumns, options: BacktestOptions) -> bool:
    """Whether the loop that keeps scores alone can run."""
    plain_costs = options.slippage in _FOLDED and options.commission in _FOLDED
    return options.plain and plain_costs and len(columns.contracts) == 1


def _distinct(columns: BarColumns, side: Average, parameters: Mapping[str, Sequence[Any]]) -> tuple[Floats, Integers]:
    """Each different window once, one a row, and which row each parameter set takes."""
    wanted = list(zip(*(parameters[name] for name in side.parameters), strict=True))
    rows = {given: number for number, given in enumerate(dict.fromkeys(wanted))}
    layout, column = Layout.of(columns), getattr(columns, side.column)
    values = np.array([computed(side.indicator, (column, *given), layout.offsets) for given in rows])
    return values, np.array([rows[given] for given in wanted], dtype=np.int64)


def _outcome(columns: BarColumns, targets: Floats, ends: Booleans, options: BacktestOptions) -> Sequence[float]:
    from engine.column_path import compiled

    found: Sequence[float] = compiled.outcome(targets, columns.open, columns.close, ends, _costs(options))
    return found


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


def _ends(columns: BarColumns) -> Booleans:
    """Whether a bar ends a session."""
    ends = np.zeros(len(columns), dtype=bool)
    ends[session_ends(columns.end_us)] = True
    return ends


def _of_result(result: BacktestResult) -> tuple[float, ...]:
    returns = session_returns(result.curve)
    found = result.metrics
    deepest = found.max_drawdown or 0.0
    least = float(result.curve.equity.min())
    total, squares = float(returns.sum()), float((returns * returns).sum())
    return float(result.curve.equity[-1]), deepest, total, squares, float(len(result.executions)), least


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
