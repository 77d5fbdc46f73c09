"""What chance alone makes of a run: its trades in other orders, and entries at random times instead of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.columns import BarColumns, Floats, Integers
from engine.ledger import RoundTrip

DRAWS = 2_000
TRADES_MAX = 100_000
_CELLS_AT_ONCE = 2_000_000
_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True)
class TradePaths:
    """Accounts that the same trades could have led to, drawn with replacement; quantiles at 5, 25, 50, 75, 95 %."""

    draws: int
    final_equity: tuple[float, ...]
    max_drawdown: tuple[float, ...]
    """Zero or negative, as fractions of the highest equity so far; the 5 % quantile is the deep one."""
    loss: float
    """Share of the paths that end below the starting cash."""
    ruin: float
    """Share of the paths that touch zero."""


def trade_paths(profits: Sequence[float], cash: float, seed: int, draws: int = DRAWS) -> TradePaths | None:
    """Bootstrap of closed trades (Efron 1979): each path draws as many as there are. None with fewer than two."""
    taken = np.asarray(profits[-TRADES_MAX:], dtype=np.float64)
    if len(taken) < 2:
        return None
    generator = np.random.default_rng(seed)
    finals, depths, ruined = np.empty(draws), np.empty(draws), 0
    at_once = max(_CELLS_AT_ONCE // len(taken), 1)
    for first in range(0, draws, at_once):
        stop = min(first + at_once, draws)
        drawn = taken[generator.integers(0, len(taken), (stop - first, len(taken)))]
        equity = cash + np.cumsum(drawn, axis=1)
        highs = np.maximum(np.maximum.accumulate(equity, axis=1), cash)
        finals[first:stop], depths[first:stop] = equity[:, -1], np.min(equity / highs, axis=1) - 1
        ruined += int(np.count_nonzero(equity.min(axis=1) <= 0))
    return TradePaths(
        draws=draws,
        final_equity=tuple(np.quantile(finals, _LEVELS).tolist()),
        max_drawdown=tuple(np.quantile(np.minimum(depths, 0.0), _LEVELS).tolist()),
        loss=float(np.mean(finals < cash)),
        ruin=ruined / draws,
    )


@dataclass(frozen=True)
class EntrySignificance:
    """The entries against as many at random, held as long and as large, in the same directions and contracts.

    `p_value` is the share of random runs that earn at least as much (with the run itself counted among them, so it is
    never zero: Phipson and Smyth 2010). Costs are left out on both sides, being the same.
    """

    draws: int
    earned: float
    random_mean: float
    p_value: float


def entry_significance(
    columns: BarColumns, trips: Sequence[RoundTrip], seed: int, draws: int = DRAWS
) -> EntrySignificance | None:
    """Place each contract's closed trips at random, none overlapping, each from an open to an open.

    Every way to deal the free bars out between them is equally likely. None without a closed trip that lasts a bar.
    """
    generator = np.random.default_rng(seed)
    earned, drawn, found = 0.0, np.zeros(draws), False
    for contract_id, own in columns.rows.items():
        mine = [each for each in trips if each.contract_id == contract_id and not each.open and each.bars > 0]
        if not mine or sum(each.bars for each in mine) >= len(own):
            continue
        found = True
        opens = columns.open[own]
        sizes = np.array([each.quantity for each in mine])
        earned += sum(each.quantity * (each.exit_price - each.entry_price) + each.slippage for each in mine)
        bars = np.array([each.bars for each in mine], dtype=np.int64)
        for number in range(draws):
            drawn[number] += _placed(opens, sizes, bars, generator)
    if not found:
        return None
    at_least = int(np.count_nonzero(drawn >= earned))
    return EntrySignificance(draws, earned, float(drawn.mean()), (1 + at_least) / (1 + draws))


def _placed(opens: Floats, sizes: Floats, bars: Integers, generator: Any) -> float:
    """What the trips earn at random places: the free bars are dealt out between them."""
    order = generator.permutation(len(bars))
    lengths = bars[order]
    free = len(opens) - 1 - int(lengths.sum())
    gaps = np.sort(generator.choice(free + len(bars), len(bars), replace=False)) - np.arange(len(bars))
    entries = gaps + np.concatenate(([0], np.cumsum(lengths)[:-1]))
    return float(np.sum(sizes[order] * (opens[entries + lengths] - opens[entries])))
