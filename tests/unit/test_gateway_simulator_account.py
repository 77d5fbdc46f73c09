"""Money: positions with their cost, cash by currency, days and splits, and accounts that know nothing of each other."""

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.errors import UsageError
from infra.gateway_simulator.accounts.account import Account, Position
from infra.gateway_simulator.accounts.account_values import BASE
from infra.gateway_simulator.accounts.account_watch import Statements
from infra.gateway_simulator.accounts.opened import Accounts, Opening, opening
from infra.gateway_simulator.accounts.worth import worth_of
from tests.unit.a_simulated_market import APPLE, IBM, TODAY, Still, an_account, an_instrument, an_option

D = Decimal
TOMORROW = date(2013, 3, 1)
BHP = an_instrument("STK", "BHP", "AUD")
EURO = an_instrument("CASH", "EUR")
MINI = an_instrument("FUT", "ES", multiplier=50)


def a_market(**prices: int | str) -> Still:
    rates = {("AUD", "USD"): D("1.02"), ("EUR", "USD"): D("1.25")}
    return Still({symbol: D(price) for symbol, price in prices.items()}, rates=rates)


fills = st.lists(
    st.tuples(st.sampled_from([APPLE, BHP, MINI]), st.integers(-500, 500).filter(bool), st.integers(1, 1000)),
    min_size=1,
    max_size=30,
)


@given(fills)
def test_what_is_owned_is_what_was_paid_in_and_earned(trades: list[tuple[object, int, int]]) -> None:
    market = a_market(AAPL=450, BHP=35, ES=1500)
    account = an_account(market, USD=1_000_000, AUD=50_000)
    begun = worth_of(account).net_liquidation
    for instrument, signed, price in trades:
        account.fill(instrument, D(signed), D(price), D(1))  # type: ignore[arg-type] # hypothesis tells no union
    worth = worth_of(account)

    for each in account.touched():
        assert each.quantity == sum(signed for instrument, signed, _ in trades if instrument == each.instrument)
    earned = sum(
        (each.realized + each.unrealized(market.mark(each.instrument))) * market.rate(each.instrument.currency, "USD")
        for each in account.touched()
    )
    assert abs(worth.net_liquidation - begun - earned) < D("0.0001")
    assert abs(worth.sum("daily") - (worth.net_liquidation - begun)) < D("0.0001")


@given(fills, st.data())
def test_several_accounts_know_nothing_of_each_other(
    trades: list[tuple[object, int, int]], data: st.DataObject
) -> None:
    market = a_market(AAPL=450, BHP=35, ES=1500)
    alone, one, two = (an_account(market, USD=1_000, AUD=0) for _ in range(3))
    for instrument, signed, price in trades:
        if data.draw(st.booleans()):
            alone.fill(instrument, D(signed), D(price), D(1))  # type: ignore[arg-type] # hypothesis tells no union
            one.fill(instrument, D(signed), D(price), D(1))  # type: ignore[arg-type] # hypothesis tells no union
        else:
            two.fill(instrument, D(signed), D(price), D(1))  # type: ignore[arg-type] # hypothesis tells no union

    assert Statements().everything(alone) == Statements().everything(one)
    assert len(alone.touched()) + len(two.touched()) >= len({instrument for instrument, _, _ in trades})


def test_a_position_that_turns_starts_anew_at_the_price_it_turned_at() -> None:
    position = Position(APPLE)
    assert position.apply(D(100), D(10), D(0)) is None
    assert position.apply(D(-150), D(12), D(0)) == 200

    assert [position.quantity, position.average_cost] == [D(-50), D(12)]
    assert position.apply(D(50), D(11), D(0)) == 50
    assert [position.quantity, position.average_cost, position.realized] == [D(0), D(0), D(250)]


def test_the_average_cost_of_a_contract_has_its_multiplier_and_its_commission() -> None:
    # IB: a future bought at 1500.00 with a multiplier of 50 and 2.25 commission costs 75,002.25
    account = an_account(a_market(ES=1500))
    account.fill(MINI, D(1), D(1500), D("2.25"))

    assert account.position(MINI).average_cost == D("75002.25")


def test_values_of_an_account_with_a_short_position() -> None:
    account = an_account(a_market(AAPL=110), USD=1000)
    account.fill(APPLE, D(-2), D(100), D(0))
    values = {each.key: each.value for each in Statements().values(account)}

    assert values["NetLiquidation"] == values["EquityWithLoanValue"] == "980.00"
    assert values["GrossPositionValue"] == "220.00"
    assert (values["InitMarginReq"], values["MaintMarginReq"]) == ("110.00", "66.00")


def test_the_ledger_has_a_line_for_each_currency_and_one_in_the_base() -> None:
    account = an_account(a_market(BHP=35), USD=1000, AUD=5000)
    account.fill(BHP, D(100), D(34), D(6))
    ledger = {(each.key, each.currency): each.value for each in Statements().ledger(account)}

    assert [ledger[("CashBalance", each)] for each in ("AUD", "USD", BASE)] == ["1594.00", "1000.00", "2625.88"]
    assert ledger[("StockMarketValue", "AUD")] == "3500.00"
    assert ledger[("StockMarketValue", BASE)] == "3570.00"
    assert ledger[("UnrealizedPnL", "AUD")] == "94.00"
    assert [ledger[("ExchangeRate", each)] for each in ("AUD", "USD", BASE)] == ["1.02", "1.00", "1.00"]
    assert {each.currency for each in Statements().ledger(account)} == {"AUD", "USD", BASE}


def test_a_forex_trade_moves_two_balances_and_pays_in_the_base_currency() -> None:
    account = an_account(a_market(EUR="1.30"), USD=100_000)
    account.fill(EURO, D(20_000), D("1.25"), D(2))

    assert account.balances == {"USD": D(100_000 - 25_000 - 2), "EUR": D(20_000)}
    assert worth_of(account).sum("gross") == 0


def test_a_future_moves_cash_by_its_profit_alone_day_by_day() -> None:
    market = a_market(ES=1510)
    account = an_account(market, USD=100_000)
    account.fill(MINI, D(2), D(1500), D("4.50"))
    pot = worth_of(account).pots["USD"]
    assert (pot.cash, pot.futures_profit) == (D("99995.5"), D(1000))
    market.closes["ES"], market.now = D(1510), TOMORROW
    market.prices["ES"] = D(1505)
    pot = worth_of(account).pots["USD"]

    assert (pot.cash, pot.futures_profit, pot.daily) == (D("100995.5"), D(-500), D(-500))


def test_daily_profit_runs_from_the_last_close_and_realised_profit_with_it() -> None:
    market = a_market(AAPL=110)
    account = an_account(market)
    account.fill(APPLE, D(100), D(100), D(1))
    account.fill(APPLE, D(-50), D(105), D(1))
    assert worth_of(account).sum("daily") == 50 * 5 + 50 * 10 - 2
    market.closes["AAPL"], market.now = D(110), TOMORROW
    market.prices["AAPL"] = D(112)

    pot = worth_of(account).pots["USD"]
    assert (pot.daily, pot.realized) == (D(100), D(0))


def test_a_split_changes_quantity_and_cost_once_and_nothing_of_the_worth() -> None:
    market = a_market(AAPL=90)
    account = an_account(market)
    account.fill(APPLE, D(100), D(80), D(1))
    before = worth_of(account).net_liquidation
    market.now, market.ratio = TOMORROW, 2
    market.prices["AAPL"] = market.closes["AAPL"] = D(45)
    for _ in range(2):
        position = account.position(APPLE)

    assert (position.quantity, position.average_cost, position.opening) == (D(200), D("40.005"), D(200))
    assert worth_of(account).net_liquidation == before
    assert worth_of(account).sum("daily") == 0


@pytest.mark.parametrize("signed", [3, -3])
def test_what_has_expired_is_paid_out_at_its_last_price(signed: int) -> None:
    market = a_market(AAPL=12)
    account, call = an_account(market, USD=100_000), an_option("C", "430")
    account.fill(call, D(signed), D(10), D(2))
    before = worth_of(account).net_liquidation
    market.now = date(2013, 3, 15)
    assert account.position(call).quantity == signed
    market.now = date(2013, 3, 18)

    assert account.position(call).quantity == 0
    assert abs(account.position(call).realized - (signed * 200 - 2)) < D("0.0001")
    assert worth_of(account).net_liquidation == account.cash == before
    assert worth_of(account).sum("daily") == 0


def test_proceeds_of_a_sale_are_settled_when_they_are_paid() -> None:
    market = replace(a_market(AAPL=100), pays=date(2013, 3, 5))
    account = an_account(market, USD=10_000)
    account.fill(APPLE, D(50), D(100), D(1))
    account.fill(APPLE, D(-50), D(100), D(1))
    assert (account.cash, account.settled("USD")) == (D(9_998), D(4_998))
    market.now = market.pays

    assert account.settled("USD") == D(9_998)


def test_volumes_are_those_of_the_month() -> None:
    market = a_market()
    account = an_account(market)
    account.add_volume("STK.USD", D(100))
    assert account.volume("STK.USD") == 100
    market.now = TOMORROW

    assert account.volume("STK.USD") == 0


def test_orders_name_one_account_and_requests_a_group() -> None:
    one, two = (Account(code, {"USD": D(1)}, a_market()) for code in ("DU1", "DU2"))
    single, both = Accounts([one]), Accounts([one, two])

    assert (single.named(""), both.named(""), both.named("DU2"), both.named("DU3")) == (one, None, two, None)
    assert both.group("All") == both.group("") == [one, two]
    assert (both.group("DU2"), both.group("DU3"), both.codes) == ([two], [], "DU1,DU2")
    with pytest.raises(UsageError, match="same code"):
        Accounts([one, one])


def test_an_account_can_be_written_in_one_word() -> None:
    assert opening("DU7:AUD=5000,usd=100.50") == Opening("DU7", {"AUD": D(5000), "USD": D("100.50")}, "AUD")
    assert opening("DU7:USD=1/cash").is_cash_account
    for each in ("", "DU7:USD", "DU7:USD=much", "DU7:USD=1/margin", "D U"):
        with pytest.raises(UsageError, match="write it as"):
            opening(each)


def test_the_day_of_the_test_market_is_a_trading_day() -> None:
    assert APPLE.calendar.is_open_on(TODAY)
    assert IBM.calendar.is_open_on(TOMORROW)
