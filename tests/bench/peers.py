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
    """bt with one account: 100 shares bought and sold on the day after a crossing, at the price that bt knows."""
    pd = importlib.import_module("pandas")
    names = [f"S{number:03d}" for number in range(close.shape[1])]
    days = pd.bdate_range("2010-01-04", periods=len(close))
    prices = pd.DataFrame(close, index=days, columns=names)
    above = (prices.rolling(FAST).mean() > prices.rolling(SLOW).mean()).to_numpy()
    changes = np.diff(above.astype(np.int64), axis=0, prepend=0)
    orders = {day: row for day, row in zip(days[1:], changes[:-1], strict=True) if row.any()}

    class Trade(package.Algo):  # type: ignore[misc] # ships no types
        def __call__(self, target: Any) -> bool:
            row = orders.get(target.now)
            if row is not None:
                for number in np.flatnonzero(row):
                    target.transact(100 * int(row[number]), child=names[number], update=False)
            return True

    strategy = package.Strategy("cross", [Trade()], names)
    charged = package.Backtest(
        strategy, prices, initial_capital=CASH, integer_positions=True,
        commissions=lambda quantity, price: abs(quantity) * price * 0.001,
    )  # fmt: skip
    return package.run(charged)
