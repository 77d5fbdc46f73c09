"""How far the values of a window lie apart: summed afresh for each bar, so that a market that halts has no spread."""

import math
from collections import deque

import numpy as np

from engine.columns import Floats
from engine.indicators.comparisons import TIE
from engine.indicators.indicator import Indicator, amount, size
from engine.indicators.windows import added, mean_column, whole_window


def _spread_column(values: Floats, bars: int) -> tuple[Floats, Floats]:
    """Mean and standard deviation, 0 where the values differ by rounding only."""
    mean = mean_column(values, bars)
    squares = np.zeros(len(values) - bars + 1)
    for back in range(bars - 1, -1, -1):
        distance = values[bars - 1 - back : len(values) - back] - mean[bars - 1 :]
        squares += distance * distance
    deviation = np.full(len(values), np.nan)
    deviation[bars - 1 :] = np.sqrt(squares / bars)
    return mean, np.where(deviation <= TIE * np.abs(mean), 0.0, deviation)


class _LiveSpread:
    def __init__(self, bars: int) -> None:
        self._values: deque[float] = deque(maxlen=bars)

    def spread(self, value: float) -> tuple[float, float]:
        self._values.append(value)
        bars = len(self._values)
        if bars != self._values.maxlen:
            return math.nan, math.nan
        mean = added(self._values) / bars
        squares = 0.0
        for each in self._values:
            squares += (each - mean) * (each - mean)
        deviation = math.sqrt(squares / bars)
        return mean, 0.0 if deviation <= TIE * abs(mean) else deviation


def _zscore_column(values: Floats, bars: int) -> Floats:
    mean, deviation = _spread_column(values, bars)
    score = np.divide(values - mean, deviation, out=np.zeros(len(values)), where=deviation > 0)
    score[: bars - 1] = np.nan
    return score


class _LiveScore(_LiveSpread):
    def update(self, *values: float) -> float:
        mean, deviation = self.spread(values[0])
        if math.isnan(mean):
            return math.nan
        return (values[0] - mean) / deviation if deviation else 0.0


def _width_column(values: Floats, bars: int, width: float) -> Floats:
    mean, deviation = _spread_column(values, bars)
    share = np.divide(2.0 * width * deviation, mean, out=np.zeros(len(values)), where=mean != 0)
    share[: bars - 1] = np.nan
    return share


class _LiveWidth(_LiveSpread):
    def __init__(self, bars: int, width: float) -> None:
        super().__init__(bars)
        self._width = width

    def update(self, *values: float) -> float:
        mean, deviation = self.spread(values[0])
        if math.isnan(mean):
            return math.nan
        return 2.0 * self._width * deviation / mean if mean else 0.0


def _percent_column(values: Floats, bars: int, width: float) -> Floats:
    return 0.5 + _zscore_column(values, bars) / (2.0 * width)


class _LivePercent:
    def __init__(self, bars: int, width: float) -> None:
        self._score = _LiveScore(bars)
        self._width = width

    def update(self, *values: float) -> float:
        return 0.5 + self._score.update(*values) / (2.0 * self._width)


zscore = Indicator(
    "zscore",
    ("values",),
    (size(20),),
    "distance from the mean of the window in its standard deviations (divisor `size`); 0 when they do not differ",
    _zscore_column,
    _LiveScore,
    whole_window,
    whole_window,
    local=True,
)
"""`zscore(values, size)`: distance from the mean of the last `size` values in their standard deviations (divisor
`size`); 0 when they do not differ."""


bollinger_width = Indicator(
    "bollinger.width",
    ("values",),
    (size(20), amount("deviations", 2.0, 0.001, 1000.0)),
    "distance between the bands as a share of the middle one",
    _width_column,
    _LiveWidth,
    whole_window,
    whole_window,
    local=True,
)
bollinger_percent = Indicator(
    "bollinger.percent",
    ("values",),
    (size(20), amount("deviations", 2.0, 0.001, 1000.0)),
    "where the value lies between the bands, 0 at the lower and 1 at the upper; 0.5 when they coincide",
    _percent_column,
    _LivePercent,
    whole_window,
    whole_window,
    local=True,
)
