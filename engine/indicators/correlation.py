"""What two series have in common: summed afresh for each bar, for TA-Lib's running squares keep a trace of each gap."""

import math
from collections import deque

import numpy as np

from engine.columns import Floats
from engine.indicators.comparisons import TIE
from engine.indicators.indicator import Indicator, size
from engine.indicators.windows import added, mean_column, whole_window

_TIE_SQUARED = TIE * TIE


def _column(first: Floats, second: Floats, bars: int) -> Floats:
    rows = len(first) - bars + 1
    one_mean, other_mean = mean_column(first, bars)[bars - 1 :], mean_column(second, bars)[bars - 1 :]
    both, ones, others = np.zeros(rows), np.zeros(rows), np.zeros(rows)
    for back in range(bars - 1, -1, -1):
        one = first[bars - 1 - back : len(first) - back] - one_mean
        other = second[bars - 1 - back : len(second) - back] - other_mean
        both += one * other
        ones += one * one
        others += other * other
    moved = (ones > bars * _TIE_SQUARED * one_mean * one_mean) & (
        others > bars * _TIE_SQUARED * other_mean * other_mean
    )
    shared = np.full(len(first), np.nan)
    shared[bars - 1 :] = np.divide(both, np.sqrt(ones) * np.sqrt(others), out=np.zeros(rows), where=moved)
    return shared


class _LiveCorrelation:
    def __init__(self, bars: int) -> None:
        self._firsts: deque[float] = deque(maxlen=bars)
        self._seconds: deque[float] = deque(maxlen=bars)

    def update(self, *values: float) -> float:
        self._firsts.append(values[0])
        self._seconds.append(values[1])
        bars = len(self._firsts)
        if bars != self._firsts.maxlen:
            return math.nan
        one_mean, other_mean = added(self._firsts) / bars, added(self._seconds) / bars
        both = ones = others = 0.0
        for first, second in zip(self._firsts, self._seconds, strict=True):
            one, other = first - one_mean, second - other_mean
            both += one * other
            ones += one * one
            others += other * other
        if ones <= bars * _TIE_SQUARED * one_mean * one_mean or others <= bars * _TIE_SQUARED * other_mean * other_mean:
            return 0.0
        return both / (math.sqrt(ones) * math.sqrt(others))


correlation = Indicator(
    "correlation",
    ("first", "second"),
    (size(30, least=2),),
    "Pearson's correlation of two series, -1 to 1; 0 where one of them does not move",
    _column,
    _LiveCorrelation,
    whole_window,
    whole_window,
    local=True,
)
