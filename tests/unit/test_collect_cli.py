"""What `scizor collect history` makes of its arguments."""

from datetime import UTC, datetime, timedelta

import pytest

from infra.errors import UsageError
from producers.cli.collect import history_request


def test_the_last_day_is_included_and_symbols_are_named_once() -> None:
    request = history_request(["aapl", "BHP:ASX", "AAPL"], "1h", "2013-02-01", "2013-02-15")

    assert request.symbols == ("AAPL", "BHP:ASX")
    assert request.bar_size == timedelta(hours=1)
    assert (request.start, request.end) == (datetime(2013, 2, 1, tzinfo=UTC), datetime(2013, 2, 16, tzinfo=UTC))


def test_without_dates_all_there_is_is_wanted() -> None:
    request = history_request(["AAPL"], "1d", "", "")

    assert (request.start, request.end) == (None, None)


@pytest.mark.parametrize(
    ("symbols", "size", "start", "end", "told"),
    [
        (["A;B"], "1d", "", "", "'A;B' is no symbol: write AAPL"),
        (["AAPL:"], "1d", "", "", "'AAPL:' is no symbol"),
        (["AAPL"], "1d", "2013-02-30", "", "'2013-02-30' is no date: write YYYY-MM-DD"),
        (["AAPL"], "1d", "", "yesterday", "'yesterday' is no date"),
        (["AAPL"], "2d", "", "", "no bars of size '2d': choose one of 1d, 1h, 1m, 5s"),
        (["AAPL"], "1d", "2013-03-01", "2013-02-01", "2013-03-01 is after --end-date 2013-02-01"),
        ([f"S{n}" for n in range(1001)], "1d", "", "", "at most 1000"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(
    symbols: list[str], size: str, start: str, end: str, told: str
) -> None:
    with pytest.raises(UsageError, match=told) as refused:
        history_request(symbols, size, start, end)
    assert "\n" not in str(refused.value)
