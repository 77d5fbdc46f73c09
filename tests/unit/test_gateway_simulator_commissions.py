"""What a fill costs: IB's published examples, least and most of an order, months that make it cheaper."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.gateway_simulator.accounts.commissions import Charge, Done, Schedule, ScheduleMissingError, Tariff, Trade
from infra.gateway_simulator.instruments.instrument import Instrument
from tests.unit.a_simulated_market import APPLE, CATALOGUE, Still, an_instrument

D = Decimal
BHP = an_instrument("STK", "BHP", "AUD")
RATES = Still(rates={("EUR", "USD"): D("1.25"), ("AUD", "USD"): D("1.00")})
FIXED, TIERED = Tariff(Schedule.FIXED, RATES.rate), Tariff(Schedule.TIERED, RATES.rate)


def charged(
    tariff: Tariff, trade: Trade, *, before: Done | None = None, volume: str = "0", base: str = "USD"
) -> Charge:
    return tariff.charge(trade, before or Done(), base=base, volume=D(volume))


@pytest.mark.parametrize(
    ("quantity", "price", "paid"),
    [
        # IB, commissions of stocks, fixed examples: 100 at 25 = 1.00; 1,000 at 25 = 5.00; 1,000 at 0.25 = 2.50
        ("100", "25", "1.00"),
        ("1000", "25", "5.00"),
        ("1000", "0.25", "2.50"),
        ("1", "440", "1"),
        ("10", "0.5", "0.05"),
    ],
)
def test_the_fixed_rate_of_american_stocks_has_a_least_and_a_most(quantity: str, price: str, paid: str) -> None:
    assert charged(FIXED, Trade(APPLE, D(quantity), D(price))) == Charge(D(paid), "USD")


@pytest.mark.parametrize(("quantity", "price", "paid"), [("400", "50", "16.00"), ("10", "50", "6.00")])
def test_australian_stocks_cost_a_share_of_their_worth(quantity: str, price: str, paid: str) -> None:
    # IB, commissions of stocks, Asia-Pacific, fixed example: 400 shares at AUD 50 = AUD 16.00
    assert charged(FIXED, Trade(BHP, D(quantity), D(price))) == Charge(D(paid), "AUD")


def test_a_tiered_sale_carries_the_fees_of_exchange_clearing_house_and_regulators() -> None:
    paid = charged(TIERED, Trade(APPLE, D(-1000), D(100))).amount

    broker = D("3.5")
    exchange, clearing, audit = D("3.0"), D("0.2"), D("0.072")
    passed = broker * D("0.000738")
    sale = 100_000 * D("0.0000278") + D("0.166")
    assert paid == (broker + exchange + clearing + audit + passed + sale).quantize(D("0.0001")) == D("9.7206")


def test_who_adds_liquidity_gets_a_rebate_in_the_tiered_schedule_alone() -> None:
    taken, added = (Trade(APPLE, D(1000), D(100), adds) for adds in (False, True))

    assert charged(TIERED, taken).amount - charged(TIERED, added).amount == D("5.1")
    assert charged(FIXED, taken) == charged(FIXED, added)


def test_a_month_of_trading_makes_the_next_share_cheaper() -> None:
    # IB: tiers are marginal: 300,000 shares at 0.0035, then 0.0020
    cheap, dear = (charged(TIERED, Trade(APPLE, D(1000), D(100)), volume=each).amount for each in ("300000", "0"))
    across = charged(TIERED, Trade(APPLE, D(1000), D(100)), volume="299500").amount

    cent = D("0.01")
    assert (dear - cheap).quantize(cent) == D("1.50")
    assert (across - cheap).quantize(cent) == D("0.75")


@pytest.mark.parametrize(
    ("instrument", "signed", "price", "charge"),
    [
        (an_instrument("FUT", "ES", multiplier=50), "2", "1500", Charge(D("4.50"), "USD")),  # 2.25 a contract
        (an_instrument("OPT", "AAPL", multiplier=100), "1", "3", Charge(D("1.00"), "USD")),
        (an_instrument("OPT", "AAPL", multiplier=100), "-10", "3", Charge(D("6.50"), "USD")),
        (an_instrument("CASH", "EUR"), "100000", "1.25", Charge(D("2.50"), "USD")),  # 0.2 basis points
        (an_instrument("CASH", "EUR"), "20000", "1.25", Charge(D("2.00"), "USD")),
        (an_instrument("CRYPTO", "BTC"), "1", "10000", Charge(D("18.00"), "USD")),
        (an_instrument("CRYPTO", "BTC"), "0.05", "10000", Charge(D("1.75"), "USD")),
        (an_instrument("CRYPTO", "BTC"), "0.01", "10000", Charge(D("1.00"), "USD")),  # 1 % at most
    ],
)
def test_each_product_has_its_rate(instrument: Instrument, signed: str, price: str, charge: Charge) -> None:
    assert charged(FIXED, Trade(instrument, D(signed), D(price))) == charge


def test_forex_is_charged_in_the_base_currency() -> None:
    euro = an_instrument("CASH", "EUR")

    assert charged(FIXED, Trade(euro, D(1000), D("1.25")), base="AUD") == Charge(D("2.00"), "AUD")


def test_a_product_without_a_schedule_is_told() -> None:
    with pytest.raises(ScheduleMissingError, match="STK in SEK"):
        charged(FIXED, Trade(an_instrument("STK", "VOLV", "SEK"), D(1), D(1)))


parts = st.lists(st.integers(1, 400), min_size=1, max_size=12)


@given(parts, st.sampled_from([FIXED, TIERED]), st.sampled_from([APPLE, BHP]), st.integers(1, 500))
def test_the_parts_of_an_order_cost_what_it_costs_at_once(
    quantities: list[int], tariff: Tariff, instrument: Instrument, price: int
) -> None:
    done, volume, paid = Done(), D(0), D(0)
    for each in quantities:
        trade = Trade(instrument, D(each), D(price))
        paid += tariff.charge(trade, done, base="USD", volume=volume).amount
        volume += tariff.counted(trade)
        done = Done(done.quantity + trade.quantity, done.value + trade.value)

    whole = charged(tariff, Trade(instrument, D(sum(quantities)), D(price))).amount
    assert abs(paid - whole) <= D("0.0001") * len(quantities)


def test_all_that_can_be_traded_here_can_be_charged() -> None:
    kinds = {(each.kind, each.currency): each for each in CATALOGUE.by_id.values() if each.is_tradable}
    rates = Still(rates={(currency, "USD"): D("0.9") for currency in ("AUD", "JPY", "CAD", "CHF", "GBP")})

    for schedule in Schedule:
        tariff = Tariff(schedule, rates.rate)
        for instrument in kinds.values():
            assert charged(tariff, Trade(instrument, D(10), D(100))).amount > 0
