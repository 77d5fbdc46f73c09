"""Chance made visible: trades in other orders, entries at other times."""

import numpy as np
import pytest

from engine.ledger import RoundTrip
from engine.research.resampling import entry_significance, trade_paths
from tests.bars import APPLE, bars_of, columns_of


def _trip(entry: int, bars: int, opens: np.ndarray, quantity: float = 10.0) -> RoundTrip:
    first, last = float(opens[entry]), float(opens[entry + bars])
    return RoundTrip(
        APPLE, quantity, entry, entry + bars, first, last, bars, 1.0, 0.0, quantity * (last - first), False
    )


def test_paths_of_trades_that_all_win_the_same_are_all_the_same() -> None:
    found = trade_paths([10.0] * 5, 100.0, seed=1, draws=50)

    assert found is not None
    assert found.final_equity == (150.0,) * 5
    assert found.max_drawdown == (0.0,) * 5
    assert (found.loss, found.ruin) == (0, 0)


def test_paths_have_the_mean_and_spread_of_drawing_with_replacement() -> None:
    profits = np.random.default_rng(1).normal(1.0, 10.0, 400)

    found = trade_paths(profits.tolist(), 10_000.0, seed=2, draws=4_000)

    assert found is not None
    low, _, middle, _, high = found.final_equity
    spread = profits.std() * 20
    assert middle == pytest.approx(10_000 + profits.sum(), abs=0.1 * spread)
    assert (high - low) / 2 == pytest.approx(1.645 * spread, rel=0.08)


def test_a_small_account_is_ruined_by_trades_that_a_large_one_survives() -> None:
    profits = [60.0, -50.0] * 20

    small, large = trade_paths(profits, 100.0, seed=3), trade_paths(profits, 100_000.0, seed=3)

    assert small is not None
    assert large is not None
    assert small.ruin > 0.1
    assert large.ruin == 0
    assert trade_paths([5.0], 100.0, seed=1) is None
    assert trade_paths(profits, 100.0, seed=3) == small


def test_entries_that_know_the_future_are_told_from_chance_and_blind_ones_are_not() -> None:
    prices = 100 + np.cumsum(np.random.default_rng(4).standard_normal(600))
    columns = columns_of(bars_of(prices.tolist()))
    opens = columns.open
    places = range(0, 560, 20)
    knowing = [_trip(each, 5, opens, 10.0 if opens[each + 5] > opens[each] else -10.0) for each in places]
    blind = [_trip(each, 5, opens) for each in places]

    known = entry_significance(columns, knowing, seed=5, draws=300)
    chance = entry_significance(columns, blind, seed=5, draws=300)

    assert known is not None
    assert chance is not None
    assert known.p_value == pytest.approx(1 / 301)
    assert chance.p_value > 0.05
    assert known.earned == pytest.approx(sum(each.pnl for each in knowing))


def test_random_entries_never_overlap_and_reach_both_ends() -> None:
    opens = np.array([1.0, 2.0, 4.0, 8.0])
    columns = columns_of(bars_of(opens.tolist(), opens.tolist()))

    found = entry_significance(columns, [_trip(0, 1, opens, 1.0)], seed=1, draws=3_000)

    assert found is not None
    assert found.random_mean == pytest.approx(7 / 3, rel=0.05)
    assert found.p_value == pytest.approx(1.0)


def test_without_a_closed_trade_there_is_nothing_to_compare() -> None:
    columns = columns_of(bars_of([1.0, 2.0, 3.0]))

    assert entry_significance(columns, [], seed=1) is None
