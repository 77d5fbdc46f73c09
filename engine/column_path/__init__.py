"""The same backtest by columns: targets of all bars at once, fills and equity without a loop over bars in Python.

For strategies that can say their targets as columns (`BaseStrategy.targets`), or the orders that reach and protect them
(`Orders`), under rules that look at no account. Fills, their cost and the equity are those of `engine.backtest.run`,
bit for bit.
"""

from engine.column_path.orders import Orders
from engine.column_path.quickest import run_quickest
from engine.column_path.run import ColumnPathError, run_columns
from engine.column_path.shown import Shown
from engine.column_path.sweep import Scores, sweep, sweep_crossings

__all__ = ["ColumnPathError", "Orders", "Scores", "Shown", "run_columns", "run_quickest", "sweep", "sweep_crossings"]
