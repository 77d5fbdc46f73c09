"""What a person means by a symbol's name."""

from typing import Any

import pytest

from infra.symbol_meanings import meanings, name_of
from infra.symbol_names import parse_symbol
from schemas.validation import Symbol, SymbolState
from tests.builders import SEEN, a_contract


def an_entry(name: str, state: SymbolState = SymbolState.VALID, listed: str = "") -> Symbol:
    parsed = parse_symbol(name)
    fields: dict[str, Any] = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "symbol_id": parsed.symbol_id,
        "symbol": parsed.symbol,
        "exchange": parsed.exchange,
        "currency": parsed.currency,
        "state": state,
    }
    if listed:
        where = parse_symbol(f"{parsed.symbol}:{listed}")
        fields["contract"] = a_contract(primary_exchange=where.exchange, currency=where.currency)
    return Symbol(**fields)


APPLE = an_entry("AAPL", listed="NASDAQ")
BROKEN_HILL = an_entry("BHP:ASX", listed="ASX")
RECEIPT = an_entry("BHP:NYSE", listed="NYSE")
UNCLEAR = an_entry("BHP", SymbolState.AMBIGUOUS)
REJECTED = an_entry("BHP:LSE", SymbolState.REJECTED)


@pytest.mark.parametrize(
    ("name", "registry", "meant"),
    [
        ("AAPL", [APPLE], ["AAPL"]),
        ("AAPL:NASDAQ", [APPLE], ["AAPL"]),
        ("AAPL:NYSE", [APPLE], []),
        ("BHP", [BROKEN_HILL], ["BHP:ASX"]),
        ("BHP", [BROKEN_HILL, RECEIPT], ["BHP:ASX", "BHP:NYSE"]),
        ("BHP:NYSE", [BROKEN_HILL, RECEIPT], ["BHP:NYSE"]),
        ("BHP:NYSE", [BROKEN_HILL], []),
        ("BHP", [UNCLEAR], ["BHP"]),
        ("BHP", [UNCLEAR, BROKEN_HILL], ["BHP:ASX"]),
        ("BHP", [REJECTED, BROKEN_HILL], ["BHP:ASX", "BHP:LSE"]),
        ("AAPL", [BROKEN_HILL], []),
        ("AAPL", [an_entry("AAPL", SymbolState.REMOVED, listed="NASDAQ")], []),
    ],
)
def test_the_entry_of_that_name_or_the_listings_it_can_be(name: str, registry: list[Symbol], meant: list[str]) -> None:
    assert [str(name_of(each)) for each in meanings(parse_symbol(name), registry)] == meant
