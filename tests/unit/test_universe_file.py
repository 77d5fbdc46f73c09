"""The universe file: what is in it, and what is said of one that cannot be."""

from collections import Counter
from pathlib import Path

import pytest

from infra.symbol_names import parse_symbol
from producers.cli.universe import COLUMNS, UNIVERSE, UniverseError, read_universe

HEAD = ",".join(COLUMNS)


def test_the_universe_is_309_symbols_on_the_exchanges_that_are_promised() -> None:
    entries = read_universe(UNIVERSE)
    names = [parse_symbol(entry.symbol) for entry in entries]

    assert len({name.symbol_id for name in names}) == 309
    assert Counter(name.exchange for name in names).most_common(2) == [("ASX", 200), ("NASDAQ", 105)]
    assert {name.currency for name in names if name.exchange == "ASX"} == {"AUD"}
    assert sum(entry.kind == "etf" for entry in entries) == 52


def test_exchange_and_currency_may_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "few.csv"
    file.write_text(f"{HEAD}\naapl,,USD,Stock,Apple\nBHP,ASX,AUD,stock,BHP\nBHP,NYSE,USD,stock,BHP\n", encoding="utf-8")

    assert [entry.symbol for entry in read_universe(file)] == ["AAPL", "BHP:ASX", "BHP:NYSE"]
    assert read_universe(file)[0].kind == "stock"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("symbol,exchange\nAAPL,NASDAQ\n", "currency, kind, name is missing"),
        (f"{HEAD}\n", "names no symbols"),
        (f"{HEAD}\nAAPL,NASDAQ,USD\n", ":2: 5 columns are wanted"),
        (f"{HEAD}\nAAPL,NASDAQ,USD,stock,Apple,more\n", ":2: 5 columns are wanted"),
        (f"{HEAD}\nAAPL,NASDAQ,USD,stock,Apple\naapl,NASDAQ,USD,stock,Apple\n", ":3: AAPL:NASDAQ is on line 2"),
        (f"{HEAD}\nA;B,NASDAQ,USD,stock,x\n", ":2: 'A;B:NASDAQ:USD' is no symbol"),
        (f"{HEAD}\nAAPL,NASDAQ,USD,a kind,x\n", ":2: String should match pattern"),
    ],
)
def test_a_line_that_cannot_be_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "bad.csv"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(UniverseError) as refused:
        read_universe(file)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    picture = tmp_path / "picture.csv"
    picture.write_bytes(b"\x89PNG\xff\xfe")

    with pytest.raises(UniverseError, match="cannot read"):
        read_universe(tmp_path / "none.csv")
    with pytest.raises(UniverseError, match="no CSV text"):
        read_universe(picture)
