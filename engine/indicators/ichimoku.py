"""Ichimoku Kinko Hyo, which TA-Lib has not: five lines, four of which can be known at the bar in hand.

The spans are drawn `size` bars ahead of their data, so at the bar in hand stand the spans of `size` bars ago. The
lagging line draws today's close into the past: nothing for a decision that sees no future.
"""

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from engine.columns import Floats
from engine.indicators.indicator import Indicator, size


class Ichimoku(NamedTuple):
    """The lines that stand at the bar in hand."""

    conversion: Indicator
    base: Indicator
    span_a: Indicator
    span_b: Indicator


def _middle_column(high: Floats, low: Floats, bars: int) -> Floats:
    windows = np.lib.stride_tricks.sliding_window_view
    middle = np.full(len(high), np.nan)
    middle[bars - 1 :] = (windows(high, bars).max(axis=1) + windows(low, bars).min(axis=1)) / 2.0
    return middle


class _LiveMiddle:
    def __init__(self, bars: int) -> None:
        self._highs: deque[float] = deque(maxlen=bars)
        self._lows: deque[float] = deque(maxlen=bars)

    def update(self, *values: float) -> float:
        self._highs.append(values[0])
        self._lows.append(values[1])
        if len(self._highs) < (self._highs.maxlen or 0):
            return math.nan
        return (max(self._highs) + min(self._lows)) / 2.0


def _drawn_ahead(values: Floats, bars: int) -> Floats:
    moved = np.full(len(values), np.nan)
    moved[bars:] = values[:-bars]
    return moved


class _Ahead:
    def __init__(self, bars: int) -> None:
        self._values: deque[float] = deque(maxlen=bars + 1)

    def update(self, value: float) -> float:
        self._values.append(value)
        return self._values[0] if len(self._values) == self._values.maxlen else math.nan


def _span_a_column(high: Floats, low: Floats, conversion: int, base: int) -> Floats:
    middle = (_middle_column(high, low, conversion) + _middle_column(high, low, base)) / 2.0
    return _drawn_ahead(middle, base)


class _LiveSpanA:
    def __init__(self, conversion: int, base: int) -> None:
        self._conversion, self._base, self._ahead = _LiveMiddle(conversion), _LiveMiddle(base), _Ahead(base)

    def update(self, *values: float) -> float:
        middle = (self._conversion.update(*values) + self._base.update(*values)) / 2.0
        return self._ahead.update(middle)


def _span_b_column(high: Floats, low: Floats, bars: int, ahead: int) -> Floats:
    return _drawn_ahead(_middle_column(high, low, bars), ahead)


class _LiveSpanB:
    def __init__(self, bars: int, ahead: int) -> None:
        self._middle, self._ahead = _LiveMiddle(bars), _Ahead(ahead)

    def update(self, *values: float) -> float:
        return self._ahead.update(self._middle.update(*values))


_RANGE = ("high", "low")


def _line(name: str, bars: int, says: str) -> Indicator:
    return Indicator(
        f"ichimoku.{name}",
        _RANGE,
        (size(bars),),
        says,
        _middle_column,
        _LiveMiddle,
        lambda size: size,
        lambda size: size,
    )


ichimoku = Ichimoku(
    conversion=_line("conversion", 9, "middle of the short range (tenkan-sen)"),
    base=_line("base", 26, "middle of the longer range (kijun-sen)"),
    span_a=Indicator(
        "ichimoku.span_a",
        _RANGE,
        (size(9, name="conversion"), size(26, name="base")),
        "mean of conversion and base, drawn `base` bars ahead (senkou span A)",
        _span_a_column,
        _LiveSpanA,
        lambda conversion, base: max(conversion, base) + base,
        lambda conversion, base: max(conversion, base) + base,
    ),
    span_b=Indicator(
        "ichimoku.span_b",
        _RANGE,
        (size(52), size(26, name="ahead")),
        "middle of the longest range, drawn ahead (senkou span B)",
        _span_b_column,
        _LiveSpanB,
        lambda size, ahead: size + ahead,
        lambda size, ahead: size + ahead,
    ),
)
