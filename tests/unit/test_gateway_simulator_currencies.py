"""Rates between currencies: what forex quotes say, and an error where they say nothing."""

from decimal import Decimal

import pytest

from infra.gateway_simulator.accounts.currencies import Rates, RateUnknownError
from tests.unit.a_simulated_market import APPLE, an_instrument

D = Decimal
QUOTES = {"EUR": D("1.25"), "AUD": D("0.5"), "USD": D(80), "NZD": D(0)}
PAIRS = [*(an_instrument("CASH", each) for each in ("EUR", "AUD", "NZD")), an_instrument("CASH", "USD", "JPY"), APPLE]


@pytest.mark.parametrize(
    ("currency", "into", "rate"),
    [
        ("USD", "USD", "1"),
        ("EUR", "USD", "1.25"),
        ("USD", "EUR", "0.8"),
        ("USD", "JPY", "80"),
        ("EUR", "AUD", "2.5"),  # by way of the dollar
        ("AUD", "JPY", "40"),
    ],
)
def test_a_rate_is_that_of_the_pair_either_way_round(currency: str, into: str, rate: str) -> None:
    assert Rates(PAIRS, lambda pair: QUOTES[pair.symbol]).rate(currency, into) == D(rate)


@pytest.mark.parametrize(("currency", "into"), [("GBP", "USD"), ("NZD", "USD"), ("GBP", "EUR"), ("USD", "AAPL")])
def test_without_a_quote_there_is_no_rate(currency: str, into: str) -> None:
    with pytest.raises(RateUnknownError, match=f"{currency} into {into}"):
        Rates(PAIRS, lambda pair: QUOTES[pair.symbol]).rate(currency, into)
