"""The universe file, and that the simulator knows all of it under numbers that stay."""

from collections import Counter

from infra.gateway_simulator.instruments.catalogue import Catalogue, universe
from infra.gateway_simulator.instruments.instrument import Kind
from infra.gateway_simulator.instruments.products import synthetic_id

CATALOGUE = Catalogue()
ROWS = universe()


def test_the_universe_has_309_tickers_of_which_none_comes_twice() -> None:
    symbols = [row["symbol"] for row in ROWS]

    assert len(symbols) == len(set(symbols)) == 309
    assert all(each == each.strip().upper() for each in symbols)
    assert all(row["name"].strip() for row in ROWS)
    assert {"AAPL", "GOOG", "MSFT", "IBM"} <= set(symbols)


def test_the_universe_is_of_sydney_and_nasdaq_but_for_four() -> None:
    exchanges = Counter(row["exchange"] for row in ROWS)

    assert (exchanges.pop("ASX"), exchanges.pop("NASDAQ"), sum(exchanges.values())) == (200, 105, 4)
    assert Counter(row["kind"] for row in ROWS) == {"stock": 257, "etf": 52}
    assert {(row["exchange"] == "ASX", row["currency"]) for row in ROWS} == {(True, "AUD"), (False, "USD")}


def test_the_simulator_knows_every_ticker() -> None:
    for row in ROWS:
        found = CATALOGUE.by_symbol[row["symbol"]]
        told = found.exchange, found.currency, found.is_fund
        assert told == (row["exchange"], row["currency"], row["kind"] == "etf")
        assert CATALOGUE.by_id[found.contract_id] is found


def test_no_two_instruments_share_a_number_or_a_name_for_the_noise() -> None:
    every = list(CATALOGUE.by_id.values())

    assert len({each.key for each in every}) == len(every)
    assert Counter(each.kind for each in every)[Kind.STOCK] == 336  # 309, those before it, and second listings


def test_a_synthetic_number_follows_from_symbol_and_exchange_alone() -> None:
    assert CATALOGUE.by_symbol["CBA"].contract_id == synthetic_id("CBA", "ASX") == 901512095
    assert CATALOGUE.by_symbol["BHP"].contract_id == 4036812  # IB's own
    assert synthetic_id("BHP", "NYSE") in CATALOGUE.by_id
    synthetic = [each.contract_id for each in CATALOGUE.by_id.values() if each.contract_id >= 900_000_000]
    assert all(number < 910_000_000 or 1_000_000_000 < number < 1_100_000_000 for number in synthetic)


def test_what_was_known_before_is_known_still() -> None:
    before = (
        "AAPL",
        "GOOG",
        "IBM",
        "MSFT",
        "FB",
        "SPY",
        "QQQ",
        "IWM",
        "DIA",
        "TLT",
        "GLD",
        "NVDA",
        "AMZN",
        "ORCL",
        "V",
    )

    assert all(symbol in CATALOGUE.by_symbol for symbol in before)
    assert CATALOGUE.by_symbol["FB"].contract_id == 107113386
