"""Money: IB's commission, positions with their cost, and what an account is worth."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.gateway_simulator.account import Account, Position, commission
from infra.gateway_simulator.catalogue import Catalogue

D = Decimal
APPLE = Catalogue().by_symbol["AAPL"]


@pytest.mark.parametrize(
    ("quantity", "price", "paid"),
    [("100", "440", "1"), ("1000", "440", "5"), ("1", "440", "1"), ("10", "0.5", "0.05"), ("200", "440", "1")],
)
def test_the_fixed_rate_has_a_least_and_a_most(quantity: str, price: str, paid: str) -> None:
    assert commission(D(quantity), D(price), D(0), D(0)) == D(paid)


def test_the_least_commission_is_paid_once_for_an_order() -> None:
    first = commission(D(100), D(440), D(0), D(0))
    second = commission(D(100), D(440), first, D(100))
    third = commission(D(200), D(440), first + second, D(200))

    assert [first, second, third] == [D(1), D(0), D(1)]


fills = st.lists(st.tuples(st.integers(-500, 500).filter(bool), st.integers(1, 1000)), min_size=1, max_size=30)


@given(fills)
def test_profit_cash_and_value_agree(trades: list[tuple[int, int]]) -> None:
    account = Account("DU1", D(1_000_000))
    for signed, price in trades:
        account.fill(APPLE, D(signed), D(price), D(1))
    held, mark = account.position(APPLE), D(trades[-1][1])

    assert held.quantity == sum(signed for signed, _ in trades)
    worth = account.cash + held.quantity * mark
    unrealized = account.unrealized(held, lambda _: mark)
    assert abs(worth - (1_000_000 + account.realized + unrealized)) < D("0.0001")


def test_a_position_that_turns_starts_anew_at_the_price_it_turned_at() -> None:
    position = Position(APPLE)
    assert position.apply(D(100), D(10), D(0)) is None
    assert position.apply(D(-150), D(12), D(0)) == 200

    assert [position.quantity, position.average_cost] == [D(-50), D(12)]
    assert position.apply(D(50), D(11), D(0)) == 50
    assert [position.quantity, position.average_cost, position.realized] == [D(0), D(0), D(250)]


def test_values_of_an_account_with_a_short_position() -> None:
    account = Account("DU1", D(1000))
    account.fill(APPLE, D(-2), D(100), D(0))
    values = account.values(lambda _: D(110))

    assert values["NetLiquidation"] == 980
    assert values["GrossPositionValue"] == 220
    assert values["UnrealizedPnL"] == -20
