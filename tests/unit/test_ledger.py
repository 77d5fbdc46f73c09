"""Round trips and equity, computed from executions after the run."""

import numpy as np
import pytest

from engine.exchange import Execution
from engine.ledger import curve, round_trips
from tests.bars import APPLE, IBM, bars_of, columns_of


def _execution(row: int, quantity: float, price: float, *, contract_id: int = APPLE, cost: float = 0.0) -> Execution:
    return Execution(contract_id, row, row * 1000, quantity, price, 0.0, cost, "")


def test_adding_and_reducing_is_one_trip_and_passing_zero_ends_one_and_begins_the_next() -> None:
    columns = columns_of(bars_of([10.0] * 8))
    executions = [
        _execution(1, 100, 10.0, cost=1.0),
        _execution(2, 100, 12.0, cost=1.0),
        _execution(3, -50, 14.0, cost=1.0),
        _execution(5, -250, 13.0, cost=5.0),
        _execution(6, 100, 9.0, cost=1.0),
    ]

    first, second = round_trips(columns, executions)

    assert (first.quantity, first.entry_price, first.bars, first.open) == (200, 11.0, 4, False)
    assert first.exit_price == (50 * 14 + 150 * 13) / 200
    assert first.commission == pytest.approx(1 + 1 + 1 + 3)
    assert first.pnl == pytest.approx(2650 - 2200 - 6)
    assert first.gain == pytest.approx(444 / 2200)
    assert (second.quantity, second.entry_price, second.exit_price) == (-100, 13.0, 9.0)
    assert second.pnl == pytest.approx(400 - 2 - 1)


def test_contracts_are_kept_apart_and_what_is_still_held_comes_last() -> None:
    columns = columns_of(bars_of([10.0, 11.0, 12.0]), bars_of([50.0, 51.0, 52.0], contract_id=IBM))
    executions = [
        _execution(2, 10, 50.0, contract_id=IBM),
        _execution(3, 10, 10.0),
        _execution(4, -10, 51.5, contract_id=IBM),
    ]

    ibm, apple = round_trips(columns, executions)

    assert (ibm.contract_id, ibm.pnl, ibm.open) == (IBM, 15.0, False)
    assert (apple.contract_id, apple.pnl, apple.exit_price, apple.open) == (APPLE, 20.0, 12.0, True)


def test_the_book_of_several_contracts_is_valued_at_each_end_with_the_last_close_known() -> None:
    apple, ibm = bars_of([10.0, 11.0, 12.0]), bars_of([50.0, 51.0], contract_id=IBM)
    columns = columns_of(apple, ibm)  # rows: IBM, AAPL, IBM, AAPL, AAPL

    found = curve(columns, [_execution(2, 10, 50.0, contract_id=IBM), _execution(3, 100, 10.0, cost=2.0)], 10_000.0)

    assert found.times_us.tolist() == [bar.end_us for bar in apple]
    assert found.equity.tolist() == [10_000, 8_498 + 510 + 1100, 8_498 + 510 + 1200]
    assert found.gross.tolist() == [0, 1610, 1710]


def test_without_executions_the_cash_stays_as_it_was() -> None:
    found = curve(columns_of(bars_of([10.0, 11.0])), [], 500.0)

    np.testing.assert_array_equal(found.equity, [500.0, 500.0])
    np.testing.assert_array_equal(found.gross, [0.0, 0.0])
    assert round_trips(columns_of(bars_of([10.0, 11.0])), []) == ()
