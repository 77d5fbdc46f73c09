"""How sure a figure is: intervals from resampled sessions."""

import math

import numpy as np

from engine.columns import Floats

RESAMPLES = 1_000
LEVEL = 0.95
_AT_ONCE = 100
_SEED = 20130301
_SESSIONS_MIN = 30


def intervals(returns: Floats, periods: float | None) -> dict[str, tuple[float, float]]:
    """95 % intervals of the main figures of session `returns`, by name as in `StrategyMetrics`.

    Circular block bootstrap (Politis and Romano 1992): blocks of about the cube root of the number of sessions keep
    what hangs together from day to day; the bounds are percentiles of 1,000 resamples. The generator's seed is fixed,
    so the same returns have the same intervals. Empty for fewer than 30 sessions.
    """
    count = len(returns)
    if count < _SESSIONS_MIN or periods is None:
        return {}
    generator = np.random.Generator(np.random.PCG64(_SEED))
    length = max(1, round(count ** (1 / 3)))
    drawn: dict[str, list[Floats]] = {}
    for _ in range(RESAMPLES // _AT_ONCE):
        starts = generator.integers(0, count, (_AT_ONCE, -(-count // length)))
        rows = (starts[:, :, None] + np.arange(length)).reshape(_AT_ONCE, -1)[:, :count] % count
        for name, values in _figures(returns[rows], periods).items():
            drawn.setdefault(name, []).append(values)
    edges = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
    found = {name: np.quantile(np.concatenate(parts), edges) for name, parts in drawn.items()}
    return {
        name: (float(f"{low:.12g}"), float(f"{high:.12g}"))
        for name, (low, high) in found.items()
        if math.isfinite(low) and math.isfinite(high)
    }


def _figures(samples: Floats, periods: float) -> dict[str, Floats]:
    """Each figure of each sample; `samples` has the shape `(samples, sessions)`."""
    mean, deviation = samples.mean(axis=1), samples.std(axis=1, ddof=1)
    downside = np.sqrt(np.mean(np.minimum(samples, 0) ** 2, axis=1))
    worth = np.cumprod(1 + samples, axis=1)
    high = np.maximum(np.maximum.accumulate(worth, axis=1), 1.0)
    year = math.sqrt(periods)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "annualised_return": worth[:, -1] ** (periods / samples.shape[1]) - 1,
            "annualised_volatility": deviation * year,
            "sharpe": mean / deviation * year,
            "sortino": mean / downside * year,
            "max_drawdown": (worth / high - 1).min(axis=1),
        }
