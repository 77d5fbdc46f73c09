"""A backtest by columns: from targets to fills, their cost, and equity."""

from dataclasses import replace
from typing import Any

import numpy as np

from engine.backtest import BacktestResult, stillborn
from engine.column_path import by_orders
from engine.column_path.loops import Loops
from engine.column_path.orders import Orders
from engine.column_path.sequence import in_order
from engine.column_path.shown import Layout, Shown
from engine.columns import BarColumns, Floats, Integers
from engine.executions import ExecutionColumns
from engine.ledger import Curve
from engine.options import BacktestError, BacktestOptions, StrategyFailedError
from engine.replay import told
from engine.strategy import BaseStrategy, StrategyConfig

FORMULAS = frozenset({"none", "bps", "fixed", "half_spread", "per_share"})
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
    for a strategy without targets, and for rules and orders that columns do not know, StrategyFailedError when the
    strategy raises.
    """
    if not len(columns):
        raise BacktestError("there are no bars to run on")
    options = options or BacktestOptions()
    refuse(options, strategy_class)
    strategy = made(strategy_class, config)
    shown = Shown(Layout.of(columns), strategy, shared)
    executions, unfilled = _executed(strategy, shown, options)
    return BacktestResult(
        strategy=strategy_class.__name__,
        parameters=strategy.config.model_dump(mode="json"),
        options=options,
        columns=columns,
        executions=executions,
        curve=_curve(columns, executions, options.cash, shown.loops),
        unfilled=unfilled,
        warmup=strategy.warmup,
        indicators=shown.named(),
    )


def refuse(options: BacktestOptions, strategy_class: type[BaseStrategy]) -> None:
    """Raise ColumnPathError for what columns cannot do."""
    if why := refusal(options, strategy_class):
        raise ColumnPathError(f"{why}: run it bar by bar")


def refusal(options: BacktestOptions, strategy_class: type[BaseStrategy]) -> str:
    """What of the rules or the strategy columns cannot do; empty when they can."""
    if strategy_class.targets is BaseStrategy.targets:
        return f"{strategy_class.__name__} has no `targets`"
    unknown = (
        (options.fill == "same_close", "fill=same_close"),
        (options.delayed, "latency"),
        (options.account != "unlimited", f"account={options.account}"),
        (options.sizing != "fixed", f"sizing={options.sizing}"),
        (options.financing_percent, "financing"),
        (options.borrow_percent, "a fee for borrowing"),
    )
    found = [what for holds, what in unknown if holds]
    return f"columns do not know {', '.join(found)}" if found else ""


def made(strategy_class: type[BaseStrategy], config: StrategyConfig | None) -> BaseStrategy:
    """The strategy. Raises StrategyFailedError, in the words of `engine.backtest.run`, when it cannot be made."""
    try:
        return strategy_class(config)
    except Exception as failure:
        raise stillborn(strategy_class, failure) from failure


def wishes_of(strategy: BaseStrategy, shown: Shown) -> Floats | Orders:
    """What the strategy wants, contract after contract; its targets NaN where it was not asked yet."""
    given = asked(strategy, shown)
    targets = np.array(given.targets if isinstance(given, Orders) else given)
    if not shown.loops.within_one(targets):
        raise beyond(strategy)
    try:
        shown.silence(targets)
        trouble = given.trouble(len(targets)) if isinstance(given, Orders) else ""
    except Exception as failure:
        raise _failed(strategy, failure) from failure
    if trouble:
        raise ColumnPathError(f"{type(strategy).__name__}.targets: {trouble}")
    return replace(given, targets=targets) if isinstance(given, Orders) else targets


def asked(strategy: BaseStrategy, shown: Shown) -> Floats | Orders:
    """What the strategy answers, its targets as the compiled loops take them: one a bar, not copied if they are."""
    try:
        given = strategy.targets(shown)
        column = given.targets if isinstance(given, Orders) else given
        targets = np.asarray(column, dtype=np.float64, order="C")
    except Exception as failure:
        raise _failed(strategy, failure) from failure
    if targets.shape != (len(shown.layout.columns),):
        raise ColumnPathError(f"{type(strategy).__name__}.targets gave shape {targets.shape}, not one target a bar")
    return replace(given, targets=targets) if isinstance(given, Orders) else targets


def beyond(strategy: BaseStrategy) -> ColumnPathError:
    """For targets that are none."""
    return ColumnPathError(f"{type(strategy).__name__}.targets left [-1, 1]")


def _failed(strategy: BaseStrategy, failure: Exception) -> StrategyFailedError:
    return StrategyFailedError(f"{type(strategy).__name__}.targets failed: {told(failure)}")


def _executed(strategy: BaseStrategy, shown: Shown, options: BacktestOptions) -> tuple[ExecutionColumns, int]:
    """What happens, in the order it happens, and how many orders are left."""
    wishes, layout = wishes_of(strategy, shown), shown.layout
    if isinstance(wishes, Orders) or not options.plain:
        orders = wishes if isinstance(wishes, Orders) else Orders(wishes)
        if options.limit_fill == "queue" and orders.rests:
            raise ColumnPathError("columns know no queue before a limit order: run it bar by bar")
        return by_orders.executions(layout.columns, layout, options, orders)
    at, quantity, unfilled = shown.loops.fills(wishes, layout.offsets, options.quantity, options.lot)
    return _executions(layout.columns, layout, options, at, quantity), unfilled


def _executions(
    columns: BarColumns, layout: Layout, options: BacktestOptions, at: Integers, quantity: Floats
) -> ExecutionColumns:
    """What the fills cost, in the order they happen."""
    rows = at if layout.order is None else layout.order[at]
    if layout.order is not None:
        order = in_order(columns, rows)
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
    if options.slippage in FORMULAS:
        return np.broadcast_to(np.asarray(model(*given), dtype=np.float64), given[0].shape)
    return np.array([model(*each) for each in zip(*(column.tolist() for column in given), strict=True)], np.float64)


def _commission(options: BacktestOptions, model: Any, quantity: Floats, price: Floats, times_us: Integers) -> Floats:
    if options.commission in FORMULAS:
        paid = model(np.abs(quantity), price)
        return np.broadcast_to(np.asarray(paid, dtype=np.float64), price.shape)
    rows = zip(quantity.tolist(), price.tolist(), times_us.tolist(), strict=True)
    return np.array([model.of_order(0.0, 0.0, *row) for row in rows], np.float64)


def _curve(columns: BarColumns, executions: ExecutionColumns, cash: float, loops: Loops) -> Curve:
    """As `engine.ledger.curve` has it."""
    if not (np.diff(columns.end_us[executions.row]) >= 0).all():
        executions = executions.taken(np.argsort(columns.end_us[executions.row], kind="stable"))
    paid = executions.quantity * executions.price + executions.commission
    balances = np.subtract.accumulate(np.concatenate(([cash], paid)))
    rows, quantity = executions.row, executions.quantity
    if len(columns.contracts) == 1:
        return Curve(columns.end_us, *loops.value_of_one(columns.close, (rows, quantity), balances), cash)
    stops = columns.stops
    money = balances[np.searchsorted(columns.end_us[rows], columns.end_us[stops - 1], side="right")]
    order = np.argsort(rows, kind="stable")
    bars, fills = (columns.close, columns.numbers, stops), (rows[order], quantity[order])
    return Curve(columns.end_us[stops - 1], *loops.value(bars, fills, money), cash)
