"""The engines that ours is measured beside, on the same arrays and under the same rules; None where one is missing.

Signal at the close, fill at the next open, 0.1 % commission, 100 shares: the extra `bench` has them.
"""

import importlib
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.columns import BarColumns

FAST, SLOW = 10, 30
CASH = 10_000_000.0


def found(name: str) -> Any | None:
    """The package, or None without the extra."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError:
            return None


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds of this process, and what came of it."""
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = call()
    return time.process_time() - begun, result


def vectorbt_pairs(vbt: Any, columns: BarColumns, pairs: Sequence[tuple[int, int]]) -> Any:
    """Final values of moving-average pairs."""
    pd = importlib.import_module("pandas")
    close, following = pd.Series(columns.close), pd.Series(columns.open).shift(-1)
    fast = vbt.MA.run(close, [fast for fast, _ in pairs], short_name="fast")
    slow = vbt.MA.run(close, [slow for _, slow in pairs], short_name="slow")
    signals = fast.ma_crossed_above(slow), fast.ma_crossed_below(slow)
    terms = {"price": following, "size": 100, "fees": 0.001, "init_cash": CASH, "freq": "1min"}
    return vbt.Portfolio.from_signals(close, *signals, **terms).final_value()


def vectorbt_one(vbt: Any, columns: BarColumns) -> Any:
    """Equity of one pair."""
    pd = importlib.import_module("pandas")
    close, following = pd.Series(columns.close), pd.Series(columns.open).shift(-1)
    fast, slow = vbt.MA.run(close, FAST), vbt.MA.run(close, SLOW)
    signals = fast.ma_crossed_above(slow), fast.ma_crossed_below(slow)
    terms = {"price": following, "size": 100, "fees": 0.001, "init_cash": CASH, "freq": "1min"}
    return vbt.Portfolio.from_signals(close, *signals, **terms).value()


def vectorbt_universe(vbt: Any, opening: np.ndarray, close: np.ndarray) -> Any:
    """Equity of one account that holds many symbols; arrays of shape `(days, symbols)`."""
    pd = importlib.import_module("pandas")
    prices, following = pd.DataFrame(close), pd.DataFrame(opening).shift(-1)
    fast, slow = vbt.MA.run(prices, FAST), vbt.MA.run(prices, SLOW)
    above, below = fast.ma_crossed_above(slow), fast.ma_crossed_below(slow)
    above.columns = below.columns = prices.columns
    terms = {"price": following, "size": 100, "fees": 0.001, "init_cash": CASH, "freq": "1d"}
    grouped = {"cash_sharing": True, "group_by": True, "call_seq": "auto"}
    return vbt.Portfolio.from_signals(prices, above, below, **terms, **grouped).value()


def backtesting_py(package: Any, columns: BarColumns) -> Any:
    """backtesting.py over one series; averages computed once as columns, as its users do."""
    pd = importlib.import_module("pandas")
    lib = importlib.import_module("backtesting.lib")
    frame = pd.DataFrame(
        {name: getattr(columns, name.lower()) for name in ("Open", "High", "Low", "Close", "Volume")},
        index=pd.to_datetime(columns.start_us, unit="us"),
    )

    def average(values: Any, size: int) -> Any:
        return pd.Series(values).rolling(size).mean()

    class Cross(package.Strategy):  # type: ignore[misc] # ships no types
        def init(self) -> None:
            self.fast = self.I(average, self.data.Close, FAST)
            self.slow = self.I(average, self.data.Close, SLOW)

        def next(self) -> None:
            if lib.crossover(self.fast, self.slow):
                self.buy(size=100)
            elif lib.crossover(self.slow, self.fast):
                self.position.close()

    return package.Backtest(frame, Cross, cash=CASH, commission=0.001, finalize_trades=False).run()


def bt_universe(package: Any, opening: np.ndarray, close: np.ndarray) -> Any:
    """bt with one account: the same targets, as weights are not what we hold, by its order-free selection."""
    pd = importlib.import_module("pandas")
    days = pd.bdate_range("2010-01-04", periods=len(close))
    prices = pd.DataFrame(close, index=days, columns=[f"S{number:03d}" for number in range(close.shape[1])])
    fast, slow = prices.rolling(FAST).mean(), prices.rolling(SLOW).mean()
    held = (fast > slow).astype(float)
    weights = held.div(close.shape[1])
    strategy = package.Strategy("cross", [package.algos.WeighTarget(weights), package.algos.Rebalance()])
    return package.run(
        package.Backtest(strategy, prices, commissions=lambda quantity, price: abs(quantity) * price * 0.001)
    )
