"""How many shares a full position is, at a row of a backtest, by the sizing that its options name."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from engine.columns import BarColumns, Floats
from engine.indicators import atr
from engine.market import Market
from engine.sizing import (
    ATR_SIZE,
    GAUGED,
    KELLY_TRADES_LEAST,
    VOLATILITY_SIZE,
    Odds,
    SizingError,
    kelly_quantity,
    percent_of_equity,
    risk_per_trade,
    volatility_target,
)

_SESSIONS_A_YEAR = 252


class Newest(NamedTuple):
    """A contract's newest bar: its close in the account's currency, that of one unit of its own, and its row, if it is
    one of the columns in hand."""

    price: float
    worth: float
    row: int | None


class FullPosition:
    """The size of a full position. A contract's size holds for as long as its target does not change."""

    def __init__(self, name: str, percent: float, fixed: float, columns: BarColumns, market: Market) -> None:
        self._name = name
        self._percent = percent
        self._fixed = fixed
        self._columns = columns
        self._market = market
        self._kept: dict[int, tuple[float, float]] = {}
        self._gauge = self._gauges()
        self.odds = Odds()

    def go_on(self, columns: BarColumns) -> None:
        """Take up the columns that follow. Raises SizingError for a sizing that looks back over them."""
        if self._gauge is not None:
            raise SizingError(f"sizing {self._name} needs all bars at once: it cannot go on from piece to piece")
        self._columns = columns

    def _gauges(self) -> Floats | None:
        """What the sizing looks at beside price and equity, by row."""
        if self._name not in GAUGED:
            return None
        columns, gauge = self._columns, np.empty(len(self._columns))
        for own in columns.rows.values():
            if self._name == "risk_per_trade":
                gauge[own] = atr(columns.high[own], columns.low[own], columns.close[own], ATR_SIZE)
            else:
                gauge[own] = self._volatility(columns.close[own], own)
        return gauge

    def _volatility(self, close: Floats, own: object) -> Floats:
        """Standard deviation of the last changes of the logarithm, times the root of the bars in a year."""
        found = np.full(len(close), np.nan)
        if len(close) <= VOLATILITY_SIZE or (close <= 0).any():
            return found
        sessions = len(np.unique(self._market.session_numbers(self._columns)[own]))  # type: ignore[call-overload] # rows
        windows = np.lib.stride_tricks.sliding_window_view(np.diff(np.log(close)), VOLATILITY_SIZE)
        found[VOLATILITY_SIZE:] = windows.std(axis=1, ddof=1) * math.sqrt(len(close) / sessions * _SESSIONS_A_YEAR)
        return found

    def shares(self, contract_id: int, target: float, newest: Newest, equity: Callable[[], float]) -> float:
        """A full position at the contract's newest bar, when its target becomes `target`."""
        kept = self._kept.get(contract_id)
        if kept is not None and kept[0] == target:
            return kept[1]
        shares = self._shares(newest, equity())
        self._kept[contract_id] = (target, shares)
        return shares

    def _shares(self, newest: Newest, equity: float) -> float:
        price = newest.price
        if self._name == "percent_of_equity":
            return percent_of_equity(equity, price, self._percent)
        if self._gauge is not None:
            assert newest.row is not None, "what is gauged has all bars at once"
            gauge = float(self._gauge[newest.row])
            if self._name == "risk_per_trade":
                return risk_per_trade(equity, gauge * newest.worth, self._percent)
            return volatility_target(equity, price, gauge, self._percent)
        if self.odds.wins + self.odds.losses < KELLY_TRADES_LEAST:
            return self._fixed
        return kelly_quantity(equity, price, self.odds, self._percent)
