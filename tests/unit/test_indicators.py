"""Indicators: their values, and that column and twin agree."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.columns import Floats
from engine.indicators import Indicator, crossing, ema, rsi, side, sma, zscore
from tests.bars import real_daily

PRICES = st.lists(st.floats(0.01, 1e6), min_size=1, max_size=120)
CENTS = st.lists(st.integers(1, 30).map(lambda cents: cents / 100), min_size=1, max_size=120)


def _live(indicator: Indicator, *inputs: Floats | float, parameters: tuple[int, ...] = ()) -> Floats:
    twin = indicator.live(*parameters)
    length = max(len(each) for each in inputs if isinstance(each, np.ndarray))
    rows = zip(*(np.broadcast_to(each, length).tolist() for each in inputs), strict=True)
    return np.array([twin.update(*row) for row in rows])


@pytest.mark.parametrize("indicator", [sma, ema, rsi, zscore], ids=lambda each: each.name)
@given(values=st.one_of(PRICES, CENTS), size=st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_column_and_twin_give_the_same_bits(indicator: Indicator, values: list[float], size: int) -> None:
    column = np.array(values)

    np.testing.assert_array_equal(indicator(column, size), _live(indicator, column, parameters=(size,)))


@given(first=CENTS, second=CENTS)
@settings(max_examples=60, deadline=None)
def test_comparisons_agree_between_column_and_twin(first: list[float], second: list[float]) -> None:
    length = min(len(first), len(second))
    one, other = sma(np.array(first[:length]), 2), sma(np.array(second[:length]), 3)

    for indicator in (side, crossing):
        np.testing.assert_array_equal(indicator(one, other), _live(indicator, one, other))
        np.testing.assert_array_equal(indicator(one, 0.1), _live(indicator, one, 0.1))


@pytest.mark.parametrize("indicator", [sma, ema, rsi, zscore], ids=lambda each: each.name)
@pytest.mark.parametrize("length", [0, 1, 4, 5, 6, 30])
def test_the_first_value_comes_when_it_is_promised(indicator: Indicator, length: int) -> None:
    column = indicator(np.arange(1.0, length + 1), 5)

    missing = np.isnan(column)
    assert len(column) == length
    assert missing.sum() == min(length, indicator.ready(5) - 1)
    assert not missing[indicator.ready(5) - 1 :].any()


@pytest.mark.parametrize("indicator", [sma, ema, rsi, zscore], ids=lambda each: each.name)
def test_settled_is_when_the_beginning_is_forgotten(indicator: Indicator) -> None:
    close = np.array(real_daily("AAPL").close)
    whole = indicator(close, 14)[-1]
    cut = indicator(close[-indicator.settled(14) :], 14)[-1]

    assert cut == pytest.approx(whole, rel=1e-9)


def test_averages_of_a_long_series_stay_exact() -> None:
    values = np.random.default_rng(3).integers(1, 10**6, 200_000) / 100
    column = sma(values, 30)

    for last in (29, 8191, 8192, 8193, 100_000, 199_999):
        exact = sum(map(Fraction, values[last - 29 : last + 1].tolist()), Fraction()) / 30
        assert abs(Fraction(float(column[last])) / exact - 1) < Fraction(1, 10**14)


def test_a_column_in_blocks_has_no_seams() -> None:
    values = np.random.default_rng(5).integers(1, 50, 20_000) / 100

    crossed = crossing(sma(values, 3), sma(values, 7))

    np.testing.assert_array_equal(crossed, _live(crossing, sma(values, 3), sma(values, 7)))
    assert crossing(values[:1], 0.5).tolist() == pytest.approx([math.nan], nan_ok=True)


def _exact_sides(closes: list[float], fast: int, slow: int) -> list[int]:
    """Averages compared as the decimals that the prices are, without any rounding."""
    prices = [Fraction(Decimal(repr(close))) for close in closes]
    sides = []
    for end in range(slow, len(prices) + 1):
        distance = sum(prices[end - fast : end], Fraction()) / fast - sum(prices[end - slow : end], Fraction()) / slow
        sides.append((distance > 0) - (distance < 0))
    return sides


@pytest.mark.parametrize("symbol", ["AAPL", "GOOG", "IBM", "MSFT", "FB"])
def test_ties_of_real_prices_in_cents_are_decided_exactly(symbol: str) -> None:
    close = np.array(real_daily(symbol).close)

    sides = side(sma(close, 10), sma(close, 30))[29:]

    assert sides.tolist() == _exact_sides(close.tolist(), 10, 30)


def test_a_crossing_needs_the_other_side_or_a_tie_before_it() -> None:
    first = np.array([1.0, 2.0, 3.0, 3.0, 4.0, 2.0, 1.0, 2.0])

    crossed = crossing(first, 2.0)

    assert crossed[1:].tolist() == [0, 1, 0, 0, 0, -1, 0]
    assert math.isnan(crossed[0])


def test_rsi_is_wilders_own_example() -> None:
    # New Concepts in Technical Trading Systems, section VI: his 74.36 comes of averages rounded to two decimals
    closes = [54.80, 56.80, 57.85, 59.85, 60.57, 61.10, 62.17, 60.60, 62.35, 62.15, 62.35, 61.45, 62.80, 61.37, 62.50]
    gains, losses = 11.80 / 14, 4.10 / 14

    first, second = rsi(np.array([*closes, 62.57]), 14)[-2:]

    assert first == pytest.approx(74.36, abs=0.2)
    assert first == pytest.approx(100 * 11.80 / 15.90, rel=1e-12)
    gains, losses = (gains * 13 + 0.07) / 14, losses * 13 / 14
    assert second == pytest.approx(100 - 100 / (1 + gains / losses), rel=1e-12)


@pytest.mark.parametrize(
    ("move", "strength"),
    [(lambda day: 10.0 + day, 100.0), (lambda day: 100.0 - day, 0.0), (lambda day: 10.0, 50.0)],
    ids=["only up", "only down", "never moved"],
)
def test_rsi_at_its_ends(move: Callable[[int], float], strength: float) -> None:
    assert rsi(np.array([move(day) for day in range(40)]), 14)[-1] == strength


def test_zscore_of_a_flat_window_is_zero() -> None:
    assert zscore(np.full(10, 0.1), 5)[4:].tolist() == [0.0] * 6


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="sma: size must be at least 1, not 0"):
        sma(np.ones(3), 0)
