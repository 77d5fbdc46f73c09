"""Futures, options and crosses follow from what they stand for."""

import math
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.instruments.options import OPTION_IDS, RATE, greeks, strikes_around
from infra.gateway_simulator.market.daily import DailyBook
from infra.gateway_simulator.market.market import World
from infra.gateway_simulator.market.prices import UNITS

CATALOGUE = Catalogue()
APPLE = CATALOGUE.by_symbol["AAPL"]
THURSDAY, MARCH = date(2013, 2, 28), date(2013, 3, 15)
NOON = 1362070800.0  # of Thursday in New York


@cache
def world() -> World:
    return World(DailyBook(7, {}), 7)


def an_option(strike: str = "440", right: str = "C", expiry: date = MARCH) -> Instrument:
    found = CATALOGUE.chains.contract(APPLE, expiry, Decimal(strike), right)
    assert found is not None
    return found


def a_future(local_symbol: str, year: int) -> Instrument:
    (found,) = [
        each for each in CATALOGUE.named("FUT", local_symbol) if each.expiry is not None and each.expiry.year == year
    ]
    return found


@pytest.mark.parametrize(
    ("local_symbol", "expiry", "multiplier", "currency"),
    [
        ("ESH3", date(2013, 3, 15), 50, "USD"),
        ("NQM3", date(2013, 6, 21), 20, "USD"),
        ("APH3", date(2013, 3, 21), 25, "AUD"),
    ],
)
def test_index_futures_end_in_the_third_week_of_a_quarter(
    local_symbol: str, expiry: date, multiplier: int, currency: str
) -> None:
    found = a_future(local_symbol, 2013)

    assert (found.expiry, found.currency) == (expiry, currency)
    assert found.multiplier == multiplier
    assert world().series(found).before(expiry + timedelta(days=9)) == world().daily_bar(found, expiry)


def test_a_future_costs_more_than_its_index_the_later_it_ends() -> None:
    near, far, index = a_future("ESH3", 2013), a_future("ESH4", 2014), CATALOGUE.by_symbol["SPX"]
    closes = []
    for each in (index, near, far):
        bar = world().daily_bar(each, THURSDAY)
        assert bar is not None
        closes.append(bar.close)

    assert closes[0] < closes[1] < closes[2] < closes[0] * 1.03


def test_futures_of_one_index_move_together() -> None:
    near, next_one = a_future("ESH3", 2013), a_future("ESM3", 2013)
    paths = [world().path(each, each.calendar.session(THURSDAY)) for each in (near, next_one)]

    assert paths[0] is not None
    assert paths[1] is not None
    assert np.ptp(paths[1].close - paths[0].close) <= 4 * near.rule.least


def test_a_cross_rate_lies_between_its_pairs() -> None:
    bars = [world().daily_bar(CATALOGUE.by_symbol[each], THURSDAY) for each in ("EUR.USD", "GBP.USD", "EUR.GBP")]
    euro, pound, cross = (each.close for each in bars if each is not None)

    assert abs(cross / UNITS - euro / pound) < 0.00005


@given(
    place=st.sampled_from([1, 2, 3, 4, 5]),
    months=st.integers(0, 36),
    strike=st.integers(1, 300),
    right=st.sampled_from("CP"),
)
def test_an_option_is_found_by_a_number_that_says_what_it_is(place: int, months: int, strike: int, right: str) -> None:
    underlying = CATALOGUE.by_symbol[["AAPL", "GOOG", "IBM", "MSFT", "SPY"][place - 1]]
    (expiry,) = CATALOGUE.chains.ending_in(underlying, f"{2012 + months // 12}{months % 12 + 1:02}")
    made = CATALOGUE.chains.contract(underlying, expiry, Decimal(strike * 5), right)

    assert made is not None
    assert OPTION_IDS < made.contract_id < 2**31
    again = Catalogue().by_id[made.contract_id]  # nobody has asked this one for it before
    assert again.option is not None
    assert (again.symbol, again.expiry, again.option.right) == (underlying.symbol, expiry, right)
    assert again.option.strike == strike * 5
    assert again.local_symbol == made.local_symbol


def test_numbers_that_say_nothing_find_nothing() -> None:
    assert CATALOGUE.by_id.get(OPTION_IDS + 3) is None
    assert CATALOGUE.by_id.get(5) is None
    assert CATALOGUE.by_id.get(1_999_999_999) is None


def test_strikes_lie_closer_where_prices_are_lower() -> None:
    dear, cheap = strikes_around(Decimal(440)), strikes_around(Decimal(27))

    assert [dear[0], dear[-1], dear[1] - dear[0]] == [285, 590, 5]
    assert {after - before for before, after in pairwise(cheap)} == {Decimal("0.5"), Decimal(1)}


@settings(max_examples=60)
@given(price=st.floats(100, 1000), days=st.integers(0, 200), strike=st.integers(30, 120))
def test_call_and_put_differ_by_the_forward(price: float, days: int, strike: int) -> None:
    day = MARCH - timedelta(days=days)
    call, put = (an_option(str(strike * 5), right).option for right in "CP")
    assert call is not None
    assert put is not None
    bought, sold = greeks(7, call, price, day), greeks(7, put, price, day)
    discounted = strike * 5 * math.exp(-RATE * (days + 1) / 365)

    assert abs(bought.price - sold.price - (price - discounted)) < 1e-6
    assert abs(bought.delta - sold.delta - 1) < 1e-9
    assert (bought.gamma, bought.vega) == pytest.approx((sold.gamma, sold.vega))
    assert -1 <= sold.delta <= 0 <= bought.delta <= 1


@pytest.mark.parametrize("right", ["C", "P"])
def test_greeks_are_slopes_of_the_price(right: str) -> None:
    option = an_option("440", right).option
    assert option is not None
    here, up, down = (greeks(7, option, price, THURSDAY) for price in (441.0, 441.1, 440.9))
    tomorrow = greeks(7, option, 441.0, THURSDAY + timedelta(days=1))

    assert here.delta == pytest.approx((up.price - down.price) / 0.2, rel=1e-3)
    assert here.gamma == pytest.approx((up.delta - down.delta) / 0.2, rel=1e-3)
    assert here.theta == pytest.approx(tomorrow.price - here.price, rel=0.05)


@pytest.mark.parametrize("right", ["C", "P"])
def test_a_day_of_an_option_adds_up_and_follows_its_underlying(right: str) -> None:
    option = an_option("440", right)
    session = option.calendar.session(THURSDAY)
    path, under, bar = world().path(option, session), world().path(APPLE, session), world().daily_bar(option, THURSDAY)

    assert path is not None
    assert under is not None
    assert bar is not None
    assert (path.open[0], path.high.max(), path.low.min(), path.close[-1]) == (bar.open, bar.high, bar.low, bar.close)
    assert path.volume.sum() == bar.volume
    assert (path.low <= np.minimum(path.open, path.close)).all()
    assert (np.sign(np.diff(path.close)) * np.sign(np.diff(under.close)) * (1 if right == "C" else -1) >= 0).all()


def test_the_quote_of_an_option_stands_around_its_model_price() -> None:
    option = an_option()
    quote, model = world().quote(option, NOON), world().greeks(option, NOON)

    assert quote is not None
    assert model is not None
    assert quote.bid < quote.last < quote.ask
    assert abs(quote.last / UNITS - model.price) < 0.02
    assert world().greeks(APPLE, NOON) is None


def test_every_kind_has_a_quote() -> None:
    kinds = {each.kind: each for each in CATALOGUE.by_id.values() if each.expiry in (None, MARCH)}
    kinds[Kind.OPTION] = an_option()

    assert set(kinds) == set(Kind)
    assert all(world().quote(each, NOON) is not None for each in kinds.values())
