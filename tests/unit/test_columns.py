"""Columns of bars are checked once, cut and hashed."""

import numpy as np
import pytest

from engine.columns import COLUMNS, BarColumns, ColumnsError
from tests.bars import APPLE, DAY, FIRST, IBM, bars_of, columns_of


def _with(columns: BarColumns, **changes: object) -> BarColumns:
    return BarColumns(**{name: changes.get(name, getattr(columns, name)) for name in COLUMNS})  # type: ignore[arg-type] # the wrong ones are what is tested


def test_rows_come_out_sorted_by_end_and_contract_and_hash_alike_in_whatever_order_they_came() -> None:
    apple, ibm = bars_of([1.0, 2.0, 3.0]), bars_of([5.0, 6.0, 7.0], contract_id=IBM)

    together = columns_of(apple, ibm)

    assert together.contract_id.tolist() == [IBM, APPLE] * 3
    assert together.digest() == columns_of(ibm[::-1], apple[::-1]).digest()
    assert together.digest() != columns_of(apple, bars_of([5.0, 6.0, 8.0], contract_id=IBM)).digest()
    assert together.contracts == (IBM, APPLE)
    assert together.places.tolist() == [0, 0, 1, 1, 2, 2]


def test_columns_can_be_cut_by_contract_and_time() -> None:
    together = columns_of(bars_of([1.0, 2.0, 3.0]), bars_of([5.0, 6.0, 7.0], contract_id=IBM))
    second = int(together.start_us[2])

    assert together.select([APPLE]).close.tolist() == [1.0, 2.0, 3.0]
    assert together.select(start_us=second).close.tolist() == [6.0, 2.0, 7.0, 3.0]
    assert together.select([IBM], end_us=int(together.start_us[4])).close.tolist() == [5.0, 6.0]
    assert len(together.select([1])) == 0
    assert together.symbol(APPLE) == "AAPL"
    assert together.symbol(1) == "1"


def test_bars_come_back_as_they_went_in() -> None:
    bars = bars_of([1.0, 2.0, 3.0])

    assert list(columns_of(bars).bars()) == bars
    assert bars[0].start == FIRST
    assert bars[1].start - bars[0].start == DAY


@pytest.mark.parametrize(
    ("column", "value", "why"),
    [
        ("close", np.nan, "close is not a finite number"),
        ("volume", -1.0, "volume is negative"),
        ("high", 1.5, "outside low..high"),
        ("low", 2.5, "outside low..high"),
        ("end_us", 0, "ends before it starts"),
    ],
)
def test_a_row_that_cannot_be_a_bar_is_named(column: str, value: float, why: str) -> None:
    columns = columns_of(bars_of([1.0, 2.0, 3.0]))
    broken = getattr(columns, column).copy()
    broken[1] = value

    with pytest.raises(ColumnsError, match=f"bar 1 of 265598 at 2013-01-08 14:30: .*{why}"):
        _with(columns, **{column: broken})


def test_rows_out_of_order_twice_or_overlapping_are_refused() -> None:
    columns = columns_of(bars_of([1.0, 2.0, 3.0]))

    with pytest.raises(ColumnsError, match="not sorted"):
        BarColumns(**{name: getattr(columns, name)[::-1] for name in COLUMNS})
    with pytest.raises(ColumnsError, match="comes twice"):
        columns_of(bars_of([1.0, 2.0]), bars_of([1.0]))
    with pytest.raises(ColumnsError, match="starts before the one before has ended"):
        _with(columns, start_us=columns.start_us - DAY.days * 86_400_000_000)
    with pytest.raises(ColumnsError, match="differ in length"):
        _with(columns, close=columns.close[:-1])


def test_what_was_checked_cannot_be_changed_afterwards() -> None:
    columns = columns_of(bars_of([1.0, 2.0]))

    with pytest.raises(ValueError, match="read-only"):
        columns.close[0] = 9.0
