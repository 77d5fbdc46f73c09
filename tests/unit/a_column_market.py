"""Random markets, rules and wishes for the column path, drawn from one seed."""

import random
from typing import Any

import numpy as np

from engine.columns import BarColumns
from engine.facts import Bar
from engine.options import BacktestOptions

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000
FIRST_US = 1_357_570_800_000_000  # Monday, 2013-01-07 15:00
CONTRACTS = (11, 22, 33, 44)
_SIZES = (60, 60, 30, 120, 360)
_SESSION_MINUTES = 360


def a_market(chance: random.Random, contracts: int, days: int = 8) -> BarColumns:
    """Walks in cents, full of ties; each contract has a bar size of its own, lacks days and single bars."""
    bars: list[Bar] = []
    for contract_id in CONTRACTS[:contracts]:
        minutes = chance.choice(_SIZES)
        price = float(chance.choice((20, 100)))
        for day in range(days):
            if contracts > 1 and chance.random() < 0.15:
                continue
            for place in range(_SESSION_MINUTES // minutes):
                if chance.random() < 0.03:
                    continue
                start = FIRST_US + day * DAY_US + place * minutes * MINUTE_US
                told = [round(price + chance.randint(-6, 6) / 100, 2) for _ in range(4)]
                volume = float(chance.choice((0, 100, 300, 1000)))
                end = start + minutes * MINUTE_US
                bars.append(Bar(contract_id, start, end, told[0], max(told), min(told), told[1], volume))
                price = told[1]
    if not bars:
        bars.append(Bar(CONTRACTS[0], FIRST_US, FIRST_US + MINUTE_US, 20.0, 20.0, 20.0, 20.0, 100.0))
    return BarColumns.of(bars)


def some_options(chance: random.Random, **changes: Any) -> BacktestOptions:
    """Any costs and sizes."""
    return BacktestOptions(
        **{
            "cash": chance.choice((10_000.0, 1e6)),
            "quantity": chance.choice((1.0, 7.0, 100.0)),
            "lot": chance.choice((0.1, 0.25, 1.0)),
            "commission": chance.choice(("none", "bps", "per_share", "ib_fixed", "ib_tiered")),
            "commission_rate": chance.choice((0.0, 0.005, 10.0)),
            "slippage": chance.choice(("none", "bps", "fixed", "half_spread", "volume_share")),
            "slippage_rate": chance.choice((0.0, 0.01, 3.0)),
            **changes,
        }
    )


def some_targets(chance: random.Random, columns: BarColumns) -> np.ndarray[Any, Any]:
    """A target for about every third bar, none for the others; in the order of the rows."""
    wishes = (np.nan, np.nan, np.nan, np.nan, -1.0, -0.5, 0.0, 0.29, 0.3, 1.0)
    return np.array([chance.choice(wishes) for _ in range(len(columns))])
