"""Indicators of a window, summed afresh for each bar, oldest value first.

Running sums, TA-Lib's among them, keep a trace of all that has passed through them: enough to turn an exact tie of two
averages of prices in cents into a crossing. A fresh sum is good to some 1e-15 however long the history is.
"""

import math
from collections import deque
from collections.abc import Iterable

import numpy as np

from engine.columns import Floats
from engine.indicators.indicator import Indicator, size

_BLOCK = 8192  # sums of windows are built in pieces that stay in the processor's cache


def windowed_sums(values: Floats, bars: int) -> Floats:
    """Sum of the last `bars` values at each row; NaN before there are so many."""
    sums = np.full(len(values), np.nan)
    for first in range(bars - 1, len(values), _BLOCK):
        stop = min(first + _BLOCK, len(values))
        total = values[first - bars + 1 : stop - bars + 1].copy()
        for back in range(bars - 2, -1, -1):
            total += values[first - back : stop - back]
        sums[first:stop] = total
    return sums


def added(values: Iterable[float]) -> float:
    total = 0.0  # not the built-in sum: from Python 3.12 on it compensates, and the column would differ
    for value in values:
        total += value
    return total


class LiveMean:
    def __init__(self, bars: int) -> None:
        self._values: deque[float] = deque(maxlen=bars)

    def update(self, *values: float) -> float:
        self._values.append(values[0])
        bars = len(self._values)
        return added(self._values) / bars if bars == self._values.maxlen else math.nan


def mean_column(values: Floats, bars: int) -> Floats:
    sums = windowed_sums(values, bars)
    sums /= bars
    return sums


def _weighted_column(values: Floats, weights: Floats, bars: int) -> Floats:
    weight = windowed_sums(weights, bars)
    weighted = windowed_sums(values * weights, bars)
    return np.divide(weighted, weight, out=mean_column(values, bars), where=weight > 0)


class _LiveWeighted:
    def __init__(self, bars: int) -> None:
        self._values: deque[float] = deque(maxlen=bars)
        self._weights: deque[float] = deque(maxlen=bars)
        self._products: deque[float] = deque(maxlen=bars)

    def update(self, *values: float) -> float:
        value, weight = values
        self._values.append(value)
        self._weights.append(weight)
        self._products.append(value * weight)
        bars = len(self._values)
        if bars != self._values.maxlen:
            return math.nan
        whole = added(self._weights)
        return added(self._products) / whole if whole > 0 else added(self._values) / bars


def _vwap_column(high: Floats, low: Floats, close: Floats, volume: Floats, bars: int) -> Floats:
    return _weighted_column((high + low + close) / 3.0, volume, bars)


class _LiveVwap(_LiveWeighted):
    def update(self, *values: float) -> float:
        high, low, close, volume = values
        return super().update((high + low + close) / 3.0, volume)


def _relative_column(volume: Floats, bars: int) -> Floats:
    mean = mean_column(volume, bars)
    share = np.divide(volume, mean, out=np.ones(len(volume)), where=mean > 0)
    share[: bars - 1] = np.nan
    return share


class _LiveRelative(LiveMean):
    def update(self, *values: float) -> float:
        mean = super().update(values[0])
        if math.isnan(mean):
            return math.nan
        return values[0] / mean if mean > 0 else 1.0


def whole_window(bars: int, *_: float) -> int:
    return bars


def after_window(bars: int, *_: float) -> int:
    """For what looks at the changes within a window, or back beyond it."""
    return bars + 1


sma = Indicator(
    "sma",
    ("values",),
    (size(20),),
    "simple moving average",
    mean_column,
    LiveMean,
    whole_window,
    whole_window,
    local=True,
)
"""`sma(values, size)`: simple moving average, the mean of the last `size` values."""

vwma = Indicator(
    "vwma",
    ("values", "volume"),
    (size(20),),
    "mean weighted by volume; the plain mean where nothing traded",
    _weighted_column,
    _LiveWeighted,
    whole_window,
    whole_window,
    local=True,
)
vwap = Indicator(
    "vwap",
    ("high", "low", "close", "volume"),
    (size(20),),
    "volume-weighted typical price of the window; the plain mean where nothing traded",
    _vwap_column,
    _LiveVwap,
    whole_window,
    whole_window,
    local=True,
)
relative_volume = Indicator(
    "relative_volume",
    ("volume",),
    (size(20),),
    "volume as a multiple of its mean; 1 where nothing traded",
    _relative_column,
    _LiveRelative,
    whole_window,
    whole_window,
    local=True,
)
