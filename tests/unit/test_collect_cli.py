"""What `scizor collect history` makes of its arguments."""

from datetime import date, timedelta

import pytest

from infra.errors import UsageError
from producers.cli.collect import daily_request, history_request
from schemas.market import Basis, PriceKind


def test_days_are_those_of_the_exchange_and_symbols_are_named_once() -> None:
    request = history_request(["aapl", "BHP:ASX", "AAPL"], "1h", ("2013-02-01", "2013-02-15"))

    assert request.symbols == ("AAPL", "BHP:ASX")
    assert request.bar_size == timedelta(hours=1)
    assert (request.first_day, request.last_day) == (date(2013, 2, 1), date(2013, 2, 15))
    assert (request.start, request.end, request.years) == (None, None, None)


def test_without_dates_three_years_are_wanted() -> None:
    request = history_request(["AAPL"], "1d", ("", ""))

    assert (request.first_day, request.last_day, request.years) == (None, None, 3)


def test_prices_are_chosen_by_ib_s_words() -> None:
    request = history_request(["AAPL"], "1d", ("", ""), what="adjusted_last", refresh=True)

    assert (request.price_kind, request.basis, request.refresh) == (PriceKind.TRADES, Basis.TOTAL_RETURN, True)
    with pytest.raises(UsageError, match="no prices 'last': choose one of trades, adjusted_last, midpoint"):
        history_request(["AAPL"], "1d", ("", ""), what="last")


def test_a_daily_collection_is_for_all_or_for_an_exchange_that_has_a_calendar() -> None:
    assert daily_request("", 30).exchange is None
    assert daily_request("asx", 30).exchange == "ASX"
    with pytest.raises(UsageError, match="no trading calendar for the exchange 'MOON'"):
        daily_request("moon", 30)


@pytest.mark.parametrize(
    ("symbols", "size", "start", "end", "told"),
    [
        (["A;B"], "1d", "", "", "'A;B' is no symbol: write AAPL"),
        (["AAPL:"], "1d", "", "", "'AAPL:' is no symbol"),
        (["AAPL"], "1d", "2013-02-30", "", "'2013-02-30' is no date: write YYYY-MM-DD"),
        (["AAPL"], "1d", "", "yesterday", "'yesterday' is no date"),
        (["AAPL"], "2d", "", "", "no bars of size '2d': choose one of 1d, 8h, 4h"),
        (["AAPL"], "1d", "2013-03-01", "2013-02-01", "2013-03-01 is after --end-date 2013-02-01"),
        ([f"S{n}" for n in range(1001)], "1d", "", "", "at most 1000"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(
    symbols: list[str], size: str, start: str, end: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        history_request(symbols, size, (start, end))
    assert "\n" not in str(refused.value)
