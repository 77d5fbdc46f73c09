"""Targets become signed order quantities, in float and in Decimal alike."""

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.sizing import order_quantity, sizing, to_decimal
from engine.strategy import StrategySignal


@pytest.mark.parametrize(
    ("target", "held", "full", "order"),
    [
        (1.0, 0, 100, 100),
        (1.0, 100, 100, 0),
        (-1.0, 100, 100, -200),
        (0.0, -30, 100, 30),
        (0.333, 0, 100, 33),
        (-0.339, 0, 100, -33),
        (0.29, 0, 100, 29),  # 0.29 * 100 is 28.999999999999996 in floating point
    ],
)
def test_the_wanted_position_is_rounded_towards_zero_to_whole_lots(
    target: float, held: int, full: int, order: int
) -> None:
    assert order_quantity(target, held, full) == order
    assert sizing(StrategySignal.target(1, target), Decimal(held), Decimal(full), 10.0) == order


@given(
    target=st.one_of(st.integers(-1000, 1000).map(lambda each: each / 1000), st.floats(-1, 1)),
    held=st.integers(-500, 500),
    full=st.integers(1, 10_000),
    lot=st.sampled_from([1, 5, 100]),
)
def test_both_ways_agree(target: float, held: int, full: int, lot: int) -> None:
    exact = sizing(StrategySignal.target(1, target), Decimal(held), Decimal(full), 10.0, Decimal(lot))

    assert order_quantity(target, held, full, lot) == exact


@pytest.mark.parametrize("price", [math.nan, math.inf])
def test_without_a_price_there_is_no_order(price: float) -> None:
    assert sizing(StrategySignal.long(1), Decimal(0), Decimal(100), price) == 0


def test_a_float_becomes_the_decimal_it_is_written_as() -> None:
    assert to_decimal(0.1) == Decimal("0.1")
    assert to_decimal(1e-9) == 0
    assert to_decimal(123456.123456789) == Decimal("123456.12345679")
    with pytest.raises(ValueError, match="no amount"):
        to_decimal(math.nan)
