"""The relative strength index: TA-Lib's calls a market that never moved 0, the weakest there is."""

import math

import numpy as np

from engine.columns import Floats
from engine.indicators.averages import rma
from engine.indicators.forgetting import wilder
from engine.indicators.indicator import Indicator, size


def _column(values: Floats, bars: int) -> Floats:
    change = np.diff(values)
    gain, loss = rma(np.where(change > 0, change, 0.0), bars), rma(np.where(change < 0, -change, 0.0), bars)
    total = gain + loss
    strength = np.divide(100.0 * gain, total, out=np.full(len(total), 50.0), where=total > 0)
    strength[: bars - 1] = np.nan
    return np.concatenate(([np.nan], strength))


class _LiveStrength:
    def __init__(self, bars: int) -> None:
        self._last = math.nan
        self._gain, self._loss = rma.live(bars), rma.live(bars)

    def update(self, *values: float) -> float:
        change = values[0] - self._last
        self._last = values[0]
        if math.isnan(change):
            return math.nan
        gain = self._gain.update(change if change > 0 else 0.0)
        loss = self._loss.update(-change if change < 0 else 0.0)
        if math.isnan(gain):
            return math.nan
        total = gain + loss
        return 100.0 * gain / total if total > 0 else 50.0


rsi = Indicator(
    "rsi",
    ("values",),
    (size(14, least=2),),
    "relative strength index, 0 to 100; 50 where nothing moved",
    _column,
    _LiveStrength,
    lambda size: size + 1,
    lambda size: size + 1 + wilder(size, 2),  # a ratio remembers a large gap for longer
)
"""`rsi(values, size)`: relative strength index, 0 to 100, after J. Welles Wilder, New Concepts in Technical Trading
Systems (1978). A market that never moved is neither strong nor weak: 50."""
