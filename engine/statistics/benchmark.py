"""A run against a benchmark: what was earned beyond it, and how much of it was its doing."""

import math

import numpy as np
from numpy.typing import NDArray

from engine.columns import BarColumns, Floats, Integers

NAMES = (
    "benchmark_return", "benchmark_sharpe", "benchmark_max_drawdown", "excess_return", "alpha", "beta", "correlation",
    "tracking_error", "information_ratio", "up_capture", "down_capture",
)  # fmt: skip


def buy_and_hold(columns: BarColumns, times_us: Integers, cash: float) -> Floats:
    """The value at `times_us` of `cash` spread evenly over the contracts of `columns`, each bought at its first close.

    Fractions of shares, no costs; a contract's part is cash until its first bar has closed. Shape `(times,)`.
    """
    part = cash / len(columns.contracts)
    value = np.zeros(len(times_us))
    for own in columns.rows.values():
        closes = columns.close[own]
        at = np.searchsorted(columns.end_us[own], times_us, side="right") - 1
        first = closes[0]
        value += np.where(at < 0, part, part * closes[np.maximum(at, 0)] / first if first > 0 else part)
    return value


def against(returns: Floats, benchmark: Floats, periods: float | None) -> dict[str, float | None]:
    """Figures of session `returns` against the `benchmark`'s of the same sessions; None where there are none."""
    nothing: dict[str, float | None] = dict.fromkeys(NAMES)
    if len(returns) < 2 or len(benchmark) != len(returns) or periods is None:
        return nothing
    year = math.sqrt(periods)
    worth = np.cumprod(1 + benchmark)
    whole = float(worth[-1]) - 1
    deviation, spread = float(benchmark.std(ddof=1)), returns - benchmark
    error = float(spread.std(ddof=1))
    beta = float(np.cov(returns, benchmark)[0, 1]) / deviation**2 if deviation > 0 else None
    own = float(returns.std(ddof=1))
    return nothing | {
        "benchmark_return": whole,
        "benchmark_sharpe": float(benchmark.mean()) / deviation * year if deviation > 0 else None,
        "benchmark_max_drawdown": float((worth / np.maximum(np.maximum.accumulate(worth), 1.0) - 1).min()),
        "excess_return": float(np.prod(1 + returns)) - 1 - whole,
        "alpha": None if beta is None else (float(returns.mean()) - beta * float(benchmark.mean())) * periods,
        "beta": beta,
        "correlation": beta * deviation / own if beta is not None and own > 0 else None,
        "tracking_error": error * year,
        "information_ratio": float(spread.mean()) / error * year if error > 0 else None,
        "up_capture": _capture(returns, benchmark, benchmark > 0),
        "down_capture": _capture(returns, benchmark, benchmark < 0),
    }


def _capture(returns: Floats, benchmark: Floats, where: NDArray[np.bool_]) -> float | None:
    count = int(np.count_nonzero(where))
    if not count or bool((1 + returns[where] <= 0).any()) or bool((1 + benchmark[where] <= 0).any()):
        return None
    mine, theirs = (math.expm1(float(np.log1p(each[where]).sum()) / count) for each in (returns, benchmark))
    return mine / theirs if theirs else None
