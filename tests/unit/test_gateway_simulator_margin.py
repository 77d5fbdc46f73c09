"""Margin: what positions tie up by the rules that the module names, what an order changes, and why it is refused."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from infra.gateway_simulator.accounts.account import Account
from infra.gateway_simulator.accounts.brokerage import Brokerage
from infra.gateway_simulator.accounts.commissions import Done, Schedule, Tariff, Trade
from infra.gateway_simulator.accounts.margin import LONG_INITIAL, Margin, Standing, required, short_option, standing_of
from infra.gateway_simulator.instruments.instrument import Instrument
from tests.unit.a_simulated_market import APPLE, CATALOGUE, IBM, TODAY, Still, an_account, an_instrument, an_option

D = Decimal
MINI = an_instrument("FUT", "ES", multiplier=50)
UNKNOWN = an_instrument("FUT", "XX", multiplier=10)
COIN = an_instrument("CRYPTO", "BTC")
CALL = an_option("C", "450")
RATES = {("EUR", "USD"): D("1.25"), ("AUD", "USD"): D("0.5"), ("RUB", "USD"): D("0.03")}


def a_market(**prices: int | str) -> Still:
    return Still({symbol: D(price) for symbol, price in prices.items()}, rates=dict(RATES))


def a_broker(market: Still, schedule: Schedule = Schedule.FIXED) -> Brokerage:
    return Brokerage(Tariff(schedule, market.rate), seed=7)


@pytest.mark.parametrize(
    ("instrument", "quantity", "price", "initial", "maintenance"),
    [
        (APPLE, "100", "440", "22000", "11000"),  # Regulation T: half of it; FINRA 4210: a quarter
        (APPLE, "-100", "440", "22000", "13200"),  # 150 % of which 100 are the proceeds; 30 %
        (APPLE, "-100", "10", "500", "500"),  # 5.00 a share at least
        (APPLE, "-100", "4", "400", "400"),  # all of a price below 5.00
        (APPLE, "-100", "1", "250", "250"),  # and 2.50 a share at least
        (MINI, "-2", "1500", "9626", "8750.91"),
        (UNKNOWN, "1", "1000", "1000", "909.09"),
        (CALL, "3", "10", "0", "0"),
        (CALL, "-3", "10", "22800", "22800"),  # 10 of value, and 20 % of 430 less 20 that it is out of the money: 76
        (COIN, "1", "20000", "0", "0"),
        (an_instrument("CASH", "EUR"), "100000", "1.25", "2500", "2500"),  # CFTC 5.9: 2 % of a major pair
        (an_instrument("CASH", "RUB"), "-100000", "0.03", "150", "150"),  # 5 % of another
    ],
)
def test_what_a_position_ties_up(
    instrument: Instrument, quantity: str, price: str, initial: str, maintenance: str
) -> None:
    found = required(instrument, D(quantity), D(price), a_market(AAPL=430))

    assert (round(found.initial, 2), round(found.maintenance, 2)) == (D(initial), D(maintenance))


@pytest.mark.parametrize(
    ("price", "under", "strike", "is_call", "each"),
    [
        # IB, Reg T margin of a short naked call: option value + max(20 % of underlying - out of the money, 10 %, 2.50)
        ("4.50", "128.50", "120", True, "30.2"),
        ("1", "100", "115", True, "11"),
        ("2", "95", "80", False, "11.5"),  # 20 % of 95 less 15 is 4; 10 % of the strike is 8, of the underlying 9.5
        ("1", "10", "10", True, "3.5"),
    ],
)
def test_a_short_option_ties_up_its_value_and_its_risk(
    price: str, under: str, strike: str, is_call: bool, each: str
) -> None:
    found = short_option(D(price), D(under), D(strike), is_call=is_call)

    expected = D(each) if is_call else D(price) + D(8)
    assert found == Margin(expected, expected)


def test_an_order_may_use_all_of_the_equity_but_no_more() -> None:
    market = a_market(AAPL=100)
    account, broker = an_account(market, USD=50_005), a_broker(market)

    assert broker.refusal(account, Trade(APPLE, D(1000), D(100))) == ""
    assert broker.refusal(account, Trade(APPLE, D(1020), D(100))) == (
        "YOUR ORDER IS NOT ACCEPTED. IN ORDER TO OBTAIN THE DESIRED POSITION YOUR EQUITY WITH LOAN VALUE "
        "[49999.90 USD] MUST EXCEED THE INITIAL MARGIN [51000.00 USD]"
    )


def test_orders_that_still_work_count_and_closing_ones_always_may() -> None:
    market = a_market(AAPL=100, IBM=200)
    account, broker = an_account(market, USD=100_000), a_broker(market)
    working = [Trade(IBM, D(800), D(200))]

    assert broker.refusal(account, Trade(APPLE, D(390), D(100)), working) == ""
    assert "MUST EXCEED" in broker.refusal(account, Trade(APPLE, D(410), D(100)), working)
    account.fill(APPLE, D(1900), D(100), D(1))
    market.prices["AAPL"] = D(40)
    assert broker.refusal(account, Trade(APPLE, D(-1900), D(40)), working) == ""
    assert "MUST EXCEED" in broker.refusal(account, Trade(APPLE, D(-4000), D(40)), working)


def test_buys_and_sells_that_work_do_not_pay_for_each_other() -> None:
    market = a_market(AAPL=100)
    account, broker = an_account(market, USD=60_000), a_broker(market)
    selling = [Trade(APPLE, D(-1000), D(100))]

    assert broker.refusal(account, Trade(APPLE, D(1100), D(100)), selling) == ""
    assert "MUST EXCEED" in broker.refusal(account, Trade(APPLE, D(1300), D(100)), selling)


@pytest.mark.parametrize("instrument", [CALL, COIN])
def test_what_cannot_be_lent_against_is_paid_in_full(instrument: Instrument) -> None:
    market = a_market(AAPL=100, BTC=100)
    account, broker = an_account(market, USD=10_000), a_broker(market)
    units = D(10_000) / 100 / instrument.multiplier

    assert broker.refusal(account, Trade(instrument, units - D("0.5"), D(100))) == ""
    assert "MUST EXCEED" in broker.refusal(account, Trade(instrument, units, D(100)))


def test_an_order_whose_currency_has_no_rate_is_refused_not_guessed() -> None:
    market = a_market(VOD=100)
    account, broker = an_account(market, AUD=10_000, base="AUD"), a_broker(market)

    assert "no quote turns EUR into AUD" in broker.refusal(
        account, Trade(an_instrument("FUT", "VOD", "EUR"), D(1), D(100))
    )


def test_an_order_for_what_nobody_can_charge_is_refused() -> None:
    market = a_market(VOLV=100)
    market.rates |= {("SEK", "USD"): D("0.15")}

    found = a_broker(market).refusal(an_account(market), Trade(an_instrument("STK", "VOLV", "SEK"), D(1), D(100)))
    assert "no commission schedule for STK in SEK" in found


def test_a_preview_tells_before_after_and_the_bounds_of_its_commission() -> None:
    market = a_market(AAPL=100)
    account = an_account(market, USD=100_000)
    account.fill(APPLE, D(100), D(100), D(1))
    fixed = a_broker(market).impact(account, Trade(APPLE, D(-100), D(100)))
    tiered = a_broker(market, Schedule.TIERED).impact(account, Trade(APPLE, D(1000), D(100)))

    assert fixed.before == Standing(D(5000), D(2500), D(99_999))
    assert fixed.after == Standing(D(0), D(0), D(99_998))
    assert (fixed.commission, fixed.least, fixed.most, fixed.currency) == (D(1), D(1), D(1), "USD")
    assert tiered.most - tiered.least == D("5.1")
    assert standing_of(account) == fixed.before


def test_a_preview_values_what_is_held_by_the_market_and_what_is_ordered_by_its_limit() -> None:
    market = a_market(AAPL=100)
    account = an_account(market, USD=100_000)
    account.fill(APPLE, D(200), D(100), D(1))

    def initial_after(signed: int, price: int) -> Decimal:
        return a_broker(market).impact(account, Trade(APPLE, D(signed), D(price))).after.initial

    assert initial_after(100, 80) == LONG_INITIAL * (200 * 100 + 100 * 80)
    assert initial_after(-50, 130) == LONG_INITIAL * 150 * 100
    assert initial_after(-300, 120) == D("0.5") * 100 * 120  # nothing of what was held is left


def test_a_fill_is_charged_booked_and_counted_in_the_month() -> None:
    market = a_market(AAPL=100)
    account, broker = an_account(market, USD=100_000), a_broker(market)
    first = broker.fill(account, Trade(APPLE, D(100), D(100)), Done())
    second = broker.fill(account, Trade(APPLE, D(300), D(100)), Done(D(100), D(10_000)))
    sold = broker.fill(account, Trade(APPLE, D(-400), D(101)), Done())

    assert [each.charge.amount for each in (first, second, sold)] == [D(1), D(1), D(2)]
    assert [each.realized for each in (first, second, sold)] == [None, None, D(396)]
    assert account.cash == D(100_000) + 400 - 4
    assert account.volume("STK.USD") == 800


# cash accounts


def a_cash_account(market: Still, **cash: int) -> Account:
    return Account("DU1", {currency: D(amount) for currency, amount in cash.items()}, market, is_cash_account=True)


def test_a_cash_account_buys_with_settled_cash_alone() -> None:
    market = replace(a_market(AAPL=100), pays=TODAY + timedelta(days=5))
    account, broker = a_cash_account(market, USD=10_000), a_broker(market)
    account.fill(APPLE, D(50), D(100), D(1))
    account.fill(APPLE, D(-50), D(100), D(1))

    assert broker.refusal(account, Trade(APPLE, D(40), D(100))) == ""
    assert broker.refusal(account, Trade(APPLE, D(50), D(100))) == (
        "Available settled cash converted to base: 4998.00 USD "
        "Cash needed for this order and other pending orders: <br>5001.00 USD"
    )
    assert "needed" in broker.refusal(account, Trade(APPLE, D(25), D(100)), [Trade(APPLE, D(25), D(100))])
    market.now = market.pays
    assert broker.refusal(account, Trade(APPLE, D(50), D(100))) == ""


def test_a_cash_account_sells_what_it_has_and_nothing_short() -> None:
    market = a_market(AAPL=100)
    account, broker = a_cash_account(market, USD=100_000), a_broker(market)
    account.fill(APPLE, D(100), D(100), D(1))

    assert broker.refusal(account, Trade(APPLE, D(-100), D(100))) == ""
    assert "Short" in broker.refusal(account, Trade(APPLE, D(-101), D(100)))
    assert "Short" in broker.refusal(account, Trade(APPLE, D(-60), D(100)), [Trade(APPLE, D(-60), D(100))])


def test_a_cash_account_ties_up_the_margin_of_a_future() -> None:
    market = a_market(ES=1500)
    account, broker = a_cash_account(market, USD=10_000), a_broker(market)

    assert broker.refusal(account, Trade(MINI, D(-2), D(1500))) == ""
    assert "needed" in broker.refusal(account, Trade(MINI, D(3), D(1500)))


# shares that nobody lends


def test_shares_that_are_hard_to_borrow_are_found_on_some_days() -> None:
    market = a_market()
    broker = a_broker(market)
    days = [date(2013, 1, 1) + timedelta(days=each) for each in range(60)]
    lent = {each.symbol: sum(broker.lends(each, day) for day in days) for each in CATALOGUE.by_id.values()}
    scarce = [count for count in lent.values() if count < len(days)]

    assert lent["AAPL"] == lent["SPY"] == len(days)
    assert 0 < len(scarce) < len(lent) / 5
    assert all(count > 0 for count in scarce)


def test_only_what_is_sold_short_has_to_be_located() -> None:
    market = a_market()
    broker = a_broker(market)
    days = [TODAY + timedelta(days=each) for each in range(60)]
    found = ((each, day) for each in CATALOGUE.by_id.values() for day in days if not broker.lends(each, day))
    scarce, market.now = next(found)
    account = an_account(market)
    account.fill(scarce, D(100), D(10), D(1))

    assert not broker.must_locate(account, Trade(scarce, D(-100), D(10)))
    assert broker.must_locate(account, Trade(scarce, D(-101), D(10)))
    assert broker.must_locate(account, Trade(scarce, D(-60), D(10)), [Trade(scarce, D(-60), D(10))])
    assert not broker.must_locate(account, Trade(scarce, D(1000), D(10)))
