"""How a person names a symbol."""

import pytest

from infra.symbol_names import SymbolMisspeltError, SymbolName, parse_symbol


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("aapl", SymbolName("AAPL")),
        ("BRK B", SymbolName("BRK B")),
        ("BHP:ASX", SymbolName("BHP", "ASX", "AUD")),
        ("BHP:ASX:USD", SymbolName("BHP", "ASX", "USD")),
        ("A2M:ASX", SymbolName("A2M", "ASX", "AUD")),
    ],
)
def test_a_name_says_symbol_exchange_and_currency_and_reads_back(text: str, name: SymbolName) -> None:
    assert parse_symbol(text) == name
    assert parse_symbol(str(name)) == name


@pytest.mark.parametrize("text", ["", "A;B", "AAPL:", ":ASX", "AAPL:ASX:AUSD", "x" * 30, "../etc", "A\nB"])
def test_what_cannot_be_a_symbol_is_refused(text: str) -> None:
    with pytest.raises(SymbolMisspeltError):
        parse_symbol(text)


def test_ids_are_stable_and_tell_listings_apart() -> None:
    assert parse_symbol("BHP:ASX").symbol_id == parse_symbol("bhp:asx:aud").symbol_id
    assert parse_symbol("BHP:ASX").symbol_id != parse_symbol("BHP").symbol_id
    assert parse_symbol("AAPL").symbol_id == "46949beb-54ed-56d1-9434-fd3182907711"
