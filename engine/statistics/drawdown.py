"""How far and how long equity lay below its high."""

import math

import numpy as np

from engine.columns import Floats, Integers
from engine.ledger import Curve
from engine.statistics.sessions import DAY_US


def drawdowns(curve: Curve) -> Floats:
    """`equity / highest equity so far - 1` at every time, the starting cash counted as the first high."""
    high = np.maximum(np.maximum.accumulate(curve.equity), curve.cash)
    return curve.equity / high - 1


def of_drawdowns(curve: Curve) -> dict[str, float | None]:
    """The figures about drawdowns of `StrategyMetrics`, recovery_factor and calmar aside."""
    below = drawdowns(curve)
    deepest, lengths = _episodes(below, curve.times_us)
    return {
        "max_drawdown": float(below.min()),
        "max_drawdown_days": float(lengths.max()) / DAY_US if len(lengths) else 0.0,
        "average_drawdown": float(deepest.mean()) if len(deepest) else 0.0,
        "average_drawdown_days": float(lengths.mean()) / DAY_US if len(lengths) else 0.0,
        "time_under_water": float(np.count_nonzero(below < 0) / len(below)),
        "ulcer_index": math.sqrt(float(np.mean(below * below))),
    }


def _episodes(below: Floats, times_us: Integers) -> tuple[Floats, Integers]:
    """Depth and length of every stay below a high: from the high before it to the time at which it is over."""
    under = np.concatenate(([False], below < 0, [False]))
    begins, ends = (np.flatnonzero(each) for each in (~under[:-1] & under[1:], under[:-1] & ~under[1:]))
    if not len(begins):
        return np.empty(0), np.empty(0, dtype=np.int64)
    deepest = np.minimum.reduceat(below, begins)  # between two episodes there is nothing below zero
    since = times_us[np.maximum(begins - 1, 0)]
    until = times_us[np.minimum(ends, len(below) - 1)]
    return deepest, until - since
