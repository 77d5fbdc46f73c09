"""Indicators, each in two forms that give the same values: a function of columns, and a twin that takes bar after bar.

Every value depends on its window (or its recursion) alone, never on how far back the column began, so that sums stay
good to some 1e-15 over any length; running sums do not. Comparisons of indicators live here too, in `side`.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from engine.columns import Floats

TIE = 1e-12
"""Two indicators closer than this, relative to the greater, are equal: prices that are decimals make exact ties, which
floating point would decide by its rounding. It is far above the error of the sums here, far below one tick."""

_BLOCK = 8192  # sums of windows are built in pieces that stay in the processor's cache


class Live(Protocol):
    """The twin of a column function."""

    def update(self, *values: float) -> float:
        """The value after one more bar with these inputs; NaN until there is one."""


@dataclass(frozen=True)
class Indicator:
    """An indicator with `inputs` input columns, followed by its parameters.

    `columns(*inputs, *parameters)` gives an array of shape `(bars,)`, NaN until there is a value; `live(*parameters)`
    makes its twin. `ready(*parameters)` is the number of bars until the first value, `settled(*parameters)` until a
    value differs by less than 1e-9, relatively, from the one with endless history.
    """

    name: str
    inputs: int
    columns: Callable[..., Floats]
    live: Callable[..., Live]
    ready: Callable[..., int]
    settled: Callable[..., int]

    def __call__(self, *arguments: Any) -> Floats:
        """The column: `sma(close, 20)`."""
        return self.columns(*arguments)


def _window(size: int) -> int:
    if size < 1:
        raise ValueError(f"a window has at least 1 bar, not {size}")
    return size


def _windowed_sums(values: Floats, size: int) -> Floats:
    """Sum of the last `size` values at each row, oldest first; NaN before there are so many."""
    sums = np.full(len(values), np.nan)
    for first in range(_window(size) - 1, len(values), _BLOCK):
        stop = min(first + _BLOCK, len(values))
        total = values[first - size + 1 : stop - size + 1].copy()
        for back in range(size - 2, -1, -1):
            total += values[first - back : stop - back]
        sums[first:stop] = total
    return sums


def _sum(values: deque[float]) -> float:
    total = 0.0  # not the built-in sum: from Python 3.12 on it compensates, and the column would differ
    for value in values:
        total += value
    return total


class _LiveMean:
    def __init__(self, size: int) -> None:
        self._values: deque[float] = deque(maxlen=_window(size))

    def update(self, *values: float) -> float:
        self._values.append(values[0])
        size = len(self._values)
        return _sum(self._values) / size if size == self._values.maxlen else math.nan


def _mean_column(values: Floats, size: int) -> Floats:
    sums = _windowed_sums(values, size)
    sums /= size
    return sums


def _zscore_column(values: Floats, size: int) -> Floats:
    mean = _mean_column(values, size)
    if len(values) < size:
        return mean
    squares = np.zeros(len(values))
    for back in range(size - 1, -1, -1):
        distance = values[size - 1 - back : len(values) - back] - mean[size - 1 :]
        squares[size - 1 :] += distance * distance
    deviation = np.sqrt(squares / size)
    flat = deviation <= TIE * np.abs(mean)
    score = np.divide(values - mean, deviation, out=np.zeros(len(values)), where=~flat)
    return np.where(np.isnan(mean), np.nan, score)


class _LiveScore:
    def __init__(self, size: int) -> None:
        self._values: deque[float] = deque(maxlen=_window(size))

    def update(self, *values: float) -> float:
        self._values.append(values[0])
        size = len(self._values)
        if size != self._values.maxlen:
            return math.nan
        mean = _sum(self._values) / size
        squares = 0.0
        for value in self._values:
            squares += (value - mean) * (value - mean)
        deviation = math.sqrt(squares / size)
        return 0.0 if deviation <= TIE * abs(mean) else (values[0] - mean) / deviation


class _LiveExponential:
    """Seeded with the mean of its first `size` values; then each value weighs 2 / (size + 1)."""

    def __init__(self, size: int) -> None:
        self._seed = _LiveMean(size)
        self._weight = 2.0 / (size + 1)
        self._value = math.nan

    def update(self, *values: float) -> float:
        if math.isnan(self._value):
            self._value = self._seed.update(values[0])
        else:
            self._value += self._weight * (values[0] - self._value)
        return self._value


class _LiveRsi:
    """Wilder's: averages of gains and losses start as plain means, then each change weighs 1 / size."""

    def __init__(self, size: int) -> None:
        self._size = _window(size)
        self._seen = -1  # changes, one fewer than values
        self._last = self._gain = self._loss = 0.0

    def update(self, *values: float) -> float:
        value = values[0]
        if math.isnan(value):  # an input that is an indicator itself and has no value yet
            return math.nan
        change = value - self._last
        self._last = value
        self._seen += 1
        if self._seen == 0:
            return math.nan
        size = self._size if self._seen > self._size else self._seen
        self._gain += ((change if change > 0 else 0.0) - self._gain) / size
        self._loss += ((-change if change < 0 else 0.0) - self._loss) / size
        if self._seen < self._size:
            return math.nan
        total = self._gain + self._loss
        return 100.0 * self._gain / total if total > 0 else 50.0


def _column_of(live: Callable[[int], Live]) -> Callable[[Floats, int], Floats]:
    """What recurs has no faster column form without a compiler, so the twin itself makes the column: the same bits."""

    def column(values: Floats, size: int) -> Floats:
        return np.fromiter(map(live(size).update, values.tolist()), dtype=np.float64, count=len(values))

    return column


def _side_column(first: Floats, second: Floats | float) -> Floats:
    distance = first - second
    tied = np.abs(distance) <= TIE * np.maximum(np.abs(first), np.abs(second))
    return np.where(tied, 0.0, np.sign(distance))


class _LiveSide:
    def update(self, *values: float) -> float:
        first, second = values
        distance = first - second
        if math.isnan(distance):
            return math.nan
        if abs(distance) <= TIE * max(abs(first), abs(second)):
            return 0.0
        return 1.0 if distance > 0 else -1.0


def _crossing_column(first: Floats, second: Floats | float) -> Floats:
    crossed = np.full(len(first), np.nan)
    seconds = np.broadcast_to(second, first.shape)
    for start in range(0, len(first) - 1, _BLOCK):
        block = slice(start, start + _BLOCK + 1)
        sides = _side_column(first[block], seconds[block])
        before, now = sides[:-1], sides[1:]
        above, below = (before <= 0) & (now > 0), (before >= 0) & (now < 0)
        known = ~np.isnan(before + now)
        np.subtract(above, below, out=crossed[start + 1 : start + _BLOCK + 1], where=known, dtype=np.float64)
    return crossed


class _LiveCrossing:
    def __init__(self) -> None:
        self._side = _LiveSide()
        self._before = math.nan

    def update(self, *values: float) -> float:
        before, now = self._before, self._side.update(*values)
        self._before = now
        if math.isnan(before) or math.isnan(now):
            return math.nan
        return float(before <= 0 < now) - float(now < 0 <= before)


sma = Indicator("sma", 1, _mean_column, _LiveMean, lambda size: size, lambda size: size)
"""`sma(values, size)`: simple moving average, the mean of the last `size` values."""

ema = Indicator(
    "ema", 1, _column_of(_LiveExponential), _LiveExponential, lambda size: size, lambda size: size + 11 * (size + 1)
)
"""`ema(values, size)`: exponential moving average, seeded with the mean of its first `size` values."""

rsi = Indicator("rsi", 1, _column_of(_LiveRsi), _LiveRsi, lambda size: size + 1, lambda size: 22 * size + 1)
"""`rsi(values, size)`: relative strength index, 0 to 100, after J. Welles Wilder, New Concepts in Technical Trading
Systems (1978). A market that never moved is neither strong nor weak: 50."""

zscore = Indicator("zscore", 1, _zscore_column, _LiveScore, lambda size: size, lambda size: size)
"""`zscore(values, size)`: distance from the mean of the last `size` values in their standard deviations (divisor
`size`); 0 when they do not differ."""

side = Indicator("side", 2, _side_column, _LiveSide, lambda: 1, lambda: 1)
"""`side(first, second)`: +1 where first is greater, -1 where it is smaller, 0 on a tie (see `TIE`)."""

crossing = Indicator("crossing", 2, _crossing_column, _LiveCrossing, lambda: 2, lambda: 2)
"""`crossing(first, second)`: +1 where first crosses above second, -1 where below, else 0. A crossing above at t means
`first - second` was at or below zero at t-1 and is above zero at t; ties are decided by `side`."""
