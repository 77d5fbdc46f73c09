"""Bars to try a strategy on: invented from a seed, with ties in cents, trends, gaps and days without movement."""

from collections.abc import Sequence

import numpy as np

from engine.columns import BarColumns, Floats

_DAY_US = 86_400_000_000
_OPEN_US = 14 * 3_600_000_000 + 30 * 60_000_000
_SESSION_US = 23_400_000_000
_FIRST_DAY = 15_340  # 2012-01-01
_SYMBOLS = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE", "TEN")
CONTRACTS_MAX = len(_SYMBOLS)


def example_market(bars: int = 1500, contracts: int = 2, seed: int = 7) -> BarColumns:
    """Daily bars of `contracts` symbols that move partly together. Raises ValueError for more than CONTRACTS_MAX."""
    if not (1 <= contracts <= CONTRACTS_MAX and bars >= 1):
        raise ValueError(f"an example market has 1 to {CONTRACTS_MAX} contracts and at least 1 bar")
    random = np.random.default_rng(seed)
    common = random.normal(0, 0.008, bars)
    days = np.arange(_FIRST_DAY, _FIRST_DAY + 2 * bars)
    days = days[(days + 3) % 7 < 5][:bars]  # 1970 began on a Thursday
    parts = [_series(random, common, 30.0 + 20.0 * number) for number in range(contracts)]
    starts = days * _DAY_US + _OPEN_US
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return BarColumns.sorted(
        symbols={number + 1: _SYMBOLS[number] for number in range(contracts)},
        sources=["synthetic"],
        contract_id=np.repeat(np.arange(1, contracts + 1), bars),
        start_us=np.tile(starts, contracts),
        end_us=np.tile(starts + _SESSION_US, contracts),
        **columns,
    )


def market_of(closes: Sequence[float]) -> BarColumns:
    """Daily bars of one symbol with these closes, each opening at the close before: a market planted for a test."""
    values = np.asarray(closes, dtype=np.float64)
    opens = np.concatenate((values[:1], values[:-1]))
    days = np.arange(_FIRST_DAY, _FIRST_DAY + len(values))
    return BarColumns(
        contract_id=np.ones(len(values), dtype=np.int64),
        start_us=days * _DAY_US + _OPEN_US,
        end_us=days * _DAY_US + _OPEN_US + _SESSION_US,
        open=opens,
        high=np.maximum(opens, values),
        low=np.minimum(opens, values),
        close=values,
        volume=np.full(len(values), 1000.0),
        symbols={1: _SYMBOLS[0]},
        sources=("synthetic",),
    )


def _series(random: np.random.Generator, common: Floats, first: float) -> dict[str, Floats]:
    bars = len(common)
    drift = 0.0015 * np.sign(np.sin(np.arange(bars) / 90.0 + random.uniform(0, 6)))
    moves = common + drift + random.normal(0, 0.009, bars) + np.where(random.random(bars) < 0.01, 0.06, 0.0)
    moves -= moves.mean() * 0.9
    moves[random.random(bars) < 0.03] = 0.0
    closes = np.maximum(np.round(first * np.exp(np.cumsum(moves)), 2), 0.5)
    before = np.concatenate((closes[:1], closes[:-1]))
    opens = np.round(np.maximum(before * (1 + random.normal(0, 0.003, bars)), 0.5), 2)
    reach = np.abs(random.normal(0, 0.006, (2, bars)))
    highs = np.round(np.maximum(opens, closes) * (1 + reach[0]), 2)
    lows = np.round(np.minimum(opens, closes) * (1 - reach[1]), 2)
    volumes = np.round(random.lognormal(11, 0.5, bars))
    return {"open": opens, "high": highs, "low": lows, "close": closes, "volume": volumes}
