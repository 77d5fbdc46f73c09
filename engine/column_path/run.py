"""A backtest by columns: from targets to fills, their cost, and equity."""

from typing import Any

import numpy as np

from engine.backtest import BacktestResult
from engine.column_path.shown import Layout, Shown
from engine.columns import BarColumns, Floats, Integers
from engine.executions import ExecutionColumns
from engine.ledger import Curve
from engine.options import BacktestError, BacktestOptions
from engine.strategy import BaseStrategy, StrategyConfig

_WITHOUT_LOOP = frozenset({"none", "bps", "fixed", "half_spread", "per_share"})
"""Cost models whose formula takes columns as it is."""


class ColumnPathError(BacktestError):
    """The backtest cannot be run by columns: one line that says why; `engine.backtest.run` can."""


def run_columns(
    columns: BarColumns,
    strategy_class: type[BaseStrategy],
    config: StrategyConfig | None = None,
    options: BacktestOptions | None = None,
    shared: dict[Any, Floats] | None = None,
) -> BacktestResult:
    """Run `strategy_class` over `columns` by its targets; fills and equity are those of `engine.backtest.run`.

    `shared` keeps indicators for the next run on the same columns. Raises BacktestError without bars, ColumnPathError
    for a strategy without targets or rules that take more than a market order at the next open.
    """
    if not len(columns):
        raise BacktestError("there are no bars to run on")
    options = options or BacktestOptions()
    strategy = strategy_class(config)
    refuse(options, strategy)
    layout = Layout.of(columns)
    shown = Shown(layout, strategy, shared)
    at, quantity, unfilled = fills(targets_of(strategy, shown), layout, options)
    executions = _executions(columns, layout, options, at, quantity)
    return BacktestResult(
        strategy=strategy_class.__name__,
        parameters=strategy.config.model_dump(mode="json"),
        options=options,
        columns=columns,
        executions=executions,
        curve=_curve(columns, executions, options.cash),
        unfilled=unfilled,
        warmup=strategy.warmup,
    )


def refuse(options: BacktestOptions, strategy: BaseStrategy) -> None:
    """Raise ColumnPathError for what columns cannot do."""
    name = type(strategy).__name__
    if type(strategy).targets is BaseStrategy.targets:
        raise ColumnPathError(f"{name} has no `targets`: run it bar by bar")
    if not options.plain or options.sizing != "fixed":
        raise ColumnPathError("columns know market orders of a fixed size at the next open: run it bar by bar")


def targets_of(strategy: BaseStrategy, shown: Shown) -> Floats:
    """The strategy's targets, contract after contract, NaN where it was not asked yet."""
    from engine.column_path import compiled  # numba is loaded where columns are run

    targets = np.array(strategy.targets(shown), dtype=np.float64)
    name, layout = type(strategy).__name__, shown.layout
    if targets.shape != (len(layout.columns),):
        raise ColumnPathError(f"{name}.targets gave shape {targets.shape}, not one target a bar")
    if not compiled.within_one(targets):
        raise ColumnPathError(f"{name}.targets left [-1, 1]")
    shown.silence(targets)
    return targets


def fills(targets: Floats, layout: Layout, options: BacktestOptions) -> tuple[Integers, Floats, int]:
    """At which rows, in the layout's order, how much fills; and how many orders are left."""
    from engine.column_path import compiled

    at, quantity, waiting = compiled.fills(targets, layout.offsets, float(options.quantity), float(options.lot))
    return at, quantity, int(waiting)


def _executions(
    columns: BarColumns, layout: Layout, options: BacktestOptions, at: Integers, quantity: Floats
) -> ExecutionColumns:
    """What the fills cost, in the order they happen: by the end of their bars, then by open and contract."""
    rows = at if layout.order is None else layout.order[at]
    if layout.order is not None:
        order = np.lexsort((columns.contract_id[rows], columns.start_us[rows], columns.end_us[rows]))
        rows, quantity = rows[order], quantity[order]
    commission_of, slippage_of = options.costs()
    size, opening = np.abs(quantity), columns.open[rows]
    worse = _slippage(options, slippage_of, (opening, columns.volume[rows], size))
    price = np.where(quantity > 0, opening + worse, opening - worse)
    times = columns.start_us[rows]
    commission = _commission(options, commission_of, quantity, price, times)
    return ExecutionColumns(
        columns.contract_id[rows], rows, times, quantity, price, worse, commission, np.ones(len(rows))
    )


def _slippage(options: BacktestOptions, model: Any, given: tuple[Floats, Floats, Floats]) -> Floats:
    if options.slippage in _WITHOUT_LOOP:
        return np.broadcast_to(np.asarray(model(*given), dtype=np.float64), given[0].shape)
    return np.array([model(*each) for each in zip(*(column.tolist() for column in given), strict=True)], np.float64)


def _commission(options: BacktestOptions, model: Any, quantity: Floats, price: Floats, times_us: Integers) -> Floats:
    if options.commission in _WITHOUT_LOOP:
        paid = model(np.abs(quantity), price)
        return np.broadcast_to(np.asarray(paid, dtype=np.float64), price.shape)
    rows = zip(quantity.tolist(), price.tolist(), times_us.tolist(), strict=True)
    return np.array([model.of_order(0.0, 0.0, *row) for row in rows], np.float64)


def _curve(columns: BarColumns, executions: ExecutionColumns, cash: float) -> Curve:
    """As `engine.ledger.curve` has it."""
    from engine.column_path import compiled

    paid = executions.quantity * executions.price + executions.commission
    balances = np.subtract.accumulate(np.concatenate(([cash], paid)))
    rows, quantity = executions.row, executions.quantity
    if len(columns.contracts) == 1:
        equity, gross = np.empty(len(columns)), np.empty(len(columns))
        compiled.value_of_one(columns.close, rows, quantity, balances, equity, gross)
        return Curve(columns.end_us, equity, gross, cash)
    stops = np.append(np.flatnonzero(np.diff(columns.end_us)) + 1, len(columns))
    equity, gross = np.empty(len(stops)), np.empty(len(stops))
    money = balances[np.searchsorted(columns.end_us[rows], columns.end_us[stops - 1], side="right")]
    order = np.argsort(rows, kind="stable")
    compiled.value(columns.close, columns.numbers, stops, rows[order], quantity[order], money, equity, gross)
    return Curve(columns.end_us[stops - 1], equity, gross, cash)
