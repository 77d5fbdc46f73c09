"""Parameter sets run by columns: indicators that they have in common are computed once."""

from collections import OrderedDict, deque
from typing import Any

from engine.backtest import BacktestResult
from engine.column_path.run import refusal, run_columns
from engine.columns import BarColumns, Floats
from engine.options import BacktestOptions
from engine.strategy import BaseStrategy, StrategyConfig

SHELF_BYTES = 64 * 1024 * 1024


class Shelf(OrderedDict[Any, Floats]):
    """Columns by what they are, at most SHELF_BYTES of them.

    Those made of other columns go first, for hardly two sets have them in common (a crossing of two averages); then
    the one that was not looked at for longest.
    """

    def __init__(self, bytes_max: int = SHELF_BYTES) -> None:
        super().__init__()
        self._bytes_max = bytes_max
        self._bytes = 0
        self._derived: deque[Any] = deque()

    def __getitem__(self, key: Any) -> Floats:
        self.move_to_end(key)
        return super().__getitem__(key)

    def __setitem__(self, key: Any, column: Floats) -> None:
        assert key not in self, "a column is computed once"
        while self and self._bytes + column.nbytes > self._bytes_max:
            leaves = self._derived.popleft() if self._derived else next(iter(self))
            self._bytes -= self.pop(leaves).nbytes
        super().__setitem__(key, column)
        self._bytes += column.nbytes
        if any(isinstance(part, tuple) for part in key):
            self._derived.append(key)


class Grounds:
    """Bars, rules and a strategy, over which many parameter sets are run."""

    def __init__(self, columns: BarColumns, strategy: type[BaseStrategy], options: BacktestOptions) -> None:
        self.columns = columns
        self.options = options
        self._strategy = strategy
        self._shelf = Shelf()

    @property
    def refused(self) -> bool:
        """Whether columns cannot run this strategy under these rules."""
        return bool(refusal(self.options, self._strategy))

    def run(self, config: StrategyConfig) -> BacktestResult:
        """Fills and equity are those of `engine.backtest.run`, bit for bit.

        Raises ColumnPathError for orders that columns do not know, StrategyFailedError when the strategy raises.
        """
        return run_columns(self.columns, self._strategy, config, self.options, self._shelf)
