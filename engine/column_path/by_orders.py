"""Orders by columns to executions: the compiled exchange, and what its fills cost."""

from typing import Any

import numpy as np

from engine.column_path.orders import Orders
from engine.column_path.sequence import in_order
from engine.column_path.shown import Layout
from engine.columns import BarColumns, Floats, Integers
from engine.exchange.rules import BOTH_REACHED
from engine.executions import ExecutionColumns
from engine.lean_imports import imported
from engine.options import BacktestOptions
from engine.order_requests import OrderKind

_PRICES = ("open", "high", "low", "close", "volume")
_FIXED_COSTS = frozenset({"none", "bps", "per_share"})


def executions(
    columns: BarColumns, layout: Layout, options: BacktestOptions, orders: Orders
) -> tuple[ExecutionColumns, int]:
    """What happens, in the order it happens, and how many orders still work at the end."""
    compiled_orders = imported("engine.column_path.compiled_orders")  # numba is loaded where columns are run
    kind = compiled_orders.STOP if orders.kind == OrderKind.STOP else compiled_orders.LIMIT
    levels = tuple(_read_only(np.empty(0) if column is None else column) for _, column in orders.levels)
    bars = tuple(_read_only(layout.arranged(getattr(columns, name))) for name in _PRICES)
    filled, waiting = compiled_orders.fills(
        _read_only(orders.targets), levels, bars, layout.offsets, kind, _rules(options)
    )
    at = filled[:, 0].astype(np.int64)
    rows = at if layout.order is None else layout.order[at]
    if layout.order is not None:
        order = in_order(columns, rows, filled[:, 4] != 0)
        filled, rows = filled[order], rows[order]
    return _costed(columns, options, filled, rows), int(waiting)


def _rules(options: BacktestOptions) -> tuple[float, ...]:
    share = options.participation if options.fill == "volume_participation" else 0.0
    by_price = {"bps": options.slippage_rate / 10_000, "half_spread": options.slippage_rate / 20_000}
    rate = options.slippage_rate
    return (
        float(options.quantity),
        float(options.lot),
        float(options.limit_fill == "touch"),
        float(BOTH_REACHED.index(options.both_reached)),
        float(options.fill == "worst_of_bar"),
        float(share),
        by_price.get(options.slippage, 0.0),
        float(rate if options.slippage == "fixed" else 0.0),
        float(rate if options.slippage == "volume_share" else 0.0),
    )


def _costed(columns: BarColumns, options: BacktestOptions, filled: Floats, rows: Integers) -> ExecutionColumns:
    _, quantity, price, worse, inside, before, value = np.ascontiguousarray(filled.T)
    times = np.where(inside != 0, columns.end_us[rows], columns.start_us[rows])
    model: Any = options.costs()[0]
    if options.commission in _FIXED_COSTS:
        commission = np.broadcast_to(np.asarray(model(np.abs(quantity), price), dtype=np.float64), price.shape)
    else:
        each = zip(*(column.tolist() for column in (before, value, quantity, price, times)), strict=True)
        commission = np.array([model.of_order(*row) for row in each], dtype=np.float64)
    return ExecutionColumns(
        columns.contract_id[rows], rows, times, quantity, price, worse, commission, np.ones(len(rows))
    )


def _read_only(column: Any) -> Floats:
    """Of one kind, as the compiled loop's tuples want their members."""
    view = np.ascontiguousarray(column, dtype=np.float64).view()
    view.flags.writeable = False
    return view
