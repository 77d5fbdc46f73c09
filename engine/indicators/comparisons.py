"""What compares two series, or one with its own past: decided exactly, in one place."""

import math
from collections import deque

import numpy as np

from engine.columns import Floats
from engine.indicators.indicator import Indicator, size

TIE = 1e-12
"""Two values closer than this, relative to the greater, are equal: prices that are decimals make exact ties, which
floating point would decide by its rounding. It is far above the error of the sums here, far below one tick."""

_BLOCK = 8192  # rows that stay in the processor's cache


def _side_column(first: Floats, second: Floats) -> Floats:
    distance = first - second
    tied = np.abs(distance) <= TIE * np.maximum(np.abs(first), np.abs(second))
    return np.where(tied, 0.0, np.sign(distance))


class _LiveSide:
    def update(self, *values: float) -> float:
        first, second = values
        distance = first - second
        if abs(distance) <= TIE * max(abs(first), abs(second)):
            return 0.0
        return 1.0 if distance > 0 else -1.0


def _crossing_column(first: Floats, second: Floats) -> Floats:
    crossed = np.full(len(first), np.nan)
    for start in range(0, len(first) - 1, _BLOCK):
        block = slice(start, start + _BLOCK + 1)
        sides = _side_column(first[block], second[block])
        before, now = sides[:-1], sides[1:]
        above, below = (before <= 0) & (now > 0), (before >= 0) & (now < 0)
        np.subtract(above, below, out=crossed[start + 1 : start + _BLOCK + 1], dtype=np.float64)
    return crossed


class _LiveCrossing:
    def __init__(self) -> None:
        self._side = _LiveSide()
        self._before = math.nan

    def update(self, *values: float) -> float:
        before, now = self._before, self._side.update(*values)
        self._before = now
        if math.isnan(before):
            return math.nan
        return float(before <= 0 < now) - float(now < 0 <= before)


def _lag_column(values: Floats, bars: int) -> Floats:
    lagged = np.full(len(values), np.nan)
    lagged[bars:] = values[:-bars]
    return lagged


class _LiveLag:
    def __init__(self, bars: float) -> None:
        self._values: deque[float] = deque(maxlen=int(bars) + 1)

    def update(self, *values: float) -> float:
        self._values.append(values[0])
        return self._values[0] if len(self._values) == self._values.maxlen else math.nan


side = Indicator(
    "side",
    ("first", "second"),
    (),
    "+1 where first is greater, -1 where it is smaller, 0 on a tie",
    _side_column,
    _LiveSide,
    lambda: 1,
    lambda: 1,
    local=True,
)
"""`side(first, second)`: +1 where first is greater, -1 where it is smaller, 0 on a tie (see `TIE`)."""

crossing = Indicator(
    "crossing",
    ("first", "second"),
    (),
    "+1 where first crosses above second, -1 where below, else 0",
    _crossing_column,
    _LiveCrossing,
    lambda: 2,
    lambda: 2,
    local=True,
)
"""`crossing(first, second)`: +1 where first crosses above second, -1 where below, else 0. A crossing above at t means
`first - second` was at or below zero at t-1 and is above zero at t; ties are decided by `side`."""

lag = Indicator(
    "lag",
    ("values",),
    (size(1, name="bars"),),
    "the value so many bars ago",
    _lag_column,
    _LiveLag,
    lambda bars: bars + 1,
    lambda bars: bars + 1,
    local=True,
)
"""`lag(values, bars)`: the value so many bars ago; yesterday's channel is `(lag, (donchian.upper, ...), 1)`."""
