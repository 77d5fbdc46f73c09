"""Daily bars: real, of files, invented; and the days on which there are some."""

from datetime import date
from functools import cache
from pathlib import Path

import pytest

from infra.errors import UsageError
from infra.gateway_simulator.calendar import Calendar, ib_text, session_of
from infra.gateway_simulator.daily import UNITS, DailyBook, csv_files
from infra.gateway_simulator.instruments import Catalogue, Source

HEADER = "time,open,high,low,close,volume\n"


@cache
def daily() -> DailyBook:
    return DailyBook(7, {})


def test_real_days_are_as_they_were_traded() -> None:
    bar = daily().series("AAPL").on(date(2000, 6, 20))

    assert bar is not None
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (985000, 1039400, 983700, 1012500, 4476700)


@pytest.mark.parametrize(
    ("symbol", "day", "as_of", "factor"),
    [
        ("AAPL", date(2000, 6, 20), date(2013, 2, 28), 4),
        ("AAPL", date(2000, 6, 20), date(2000, 6, 20), 1),
        ("AAPL", date(2000, 6, 20), date(2000, 6, 21), 2),
        ("AAPL", date(2005, 2, 28), date(2013, 2, 28), 1),
        ("MSFT", date(2003, 2, 14), date(2013, 2, 28), 2),
        ("IBM", date(2000, 3, 1), date(2013, 2, 28), 1),
    ],
)
def test_splits_count_from_their_day(symbol: str, day: date, as_of: date, factor: int) -> None:
    assert daily().series(symbol).split_factor(day, as_of) == factor


def test_total_return_takes_out_dividends_too() -> None:
    ibm = daily().series("IBM")

    assert ibm.total_return_factor(date(2013, 2, 28), date(2013, 2, 28)) == 1.0
    assert ibm.total_return_factor(date(2000, 3, 1), date(2013, 2, 28)) < 0.9


def test_after_the_real_days_a_symbol_goes_on_by_invention() -> None:
    series = daily().series("FB")
    first, after = series.on(date(2012, 5, 18)), series.on(date(2013, 3, 4))

    assert series.on(date(2012, 5, 17)) is None
    assert (series.first_day, series.last_sourced) == (date(2012, 5, 18), date(2013, 3, 1))
    assert first is not None
    assert after is not None
    assert abs(after.open / UNITS - 27.78) < 2
    assert series.before(date(2013, 3, 4)) == series.on(date(2013, 3, 1))


def test_invented_series_are_possible_and_repeat_with_their_seed() -> None:
    one, again, other = DailyBook(7, {}), DailyBook(7, {}), DailyBook(8, {})
    for symbol in ("SPY", "NVDA", "KO"):
        bars = [one.series(symbol).on(day) for day in one.calendar.days]
        assert bars == [again.series(symbol).on(day) for day in one.calendar.days]
        assert bars != [other.series(symbol).on(day) for day in one.calendar.days]
        assert all(each and 0 < each.low <= min(each.open, each.close) for each in bars)
        assert all(each and each.high >= max(each.open, each.close) and each.volume > 0 for each in bars)


def test_the_market_opens_on_the_days_of_the_real_data_and_on_weekdays_outside_of_them() -> None:
    calendar = daily().calendar

    assert not calendar.is_open_on(date(2001, 9, 12))
    assert not calendar.is_open_on(date(2012, 10, 29))
    assert calendar.is_open_on(date(2013, 2, 28))
    assert calendar.is_open_on(date(2013, 7, 4))
    assert not calendar.is_open_on(date(2013, 7, 6))
    assert calendar.following(date(2013, 3, 1)).day == date(2013, 3, 4)
    assert calendar.latest(session_of(date(2013, 3, 4)).open - 1).day == date(2013, 3, 1)
    assert calendar.back(date(2013, 3, 4), 2) == date(2013, 2, 28)


def test_summer_and_winter_have_their_own_offsets() -> None:
    assert session_of(date(2013, 2, 28)).open == 1362061800
    assert session_of(date(2012, 7, 2)).open == 1341235800
    assert ib_text(1341235800) == "20120702 09:30:00 US/Eastern"
    assert Calendar([]).days[0] == date(2000, 3, 1)


def test_a_file_replaces_or_adds_a_symbol(tmp_path: Path) -> None:
    (tmp_path / "acme.csv").write_text(HEADER + "2013-02-27T16:00:00-05:00,10.5,12,10,11.25,500\n")
    files = csv_files(tmp_path)
    catalogue, book = Catalogue(files), DailyBook(7, files)
    acme = catalogue.by_symbol["ACME"]

    assert acme.source is Source.FILE
    assert acme.contract_id >= 910_000_000
    assert catalogue.by_id[acme.contract_id] is acme
    bar = book.series("ACME").on(date(2013, 2, 27))
    assert bar is not None
    assert bar.close == 112500
    assert Catalogue(["AAPL"]).by_symbol["AAPL"].contract_id == 265598


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "first line"),
        ("date,open\n", "first line"),
        (HEADER, "no bars"),
        (HEADER + "2013-02-27,1,2,3\n", "csv:2: not time"),
        (HEADER + "yesterday,1,2,1,1,1\n", "csv:2: not time"),
        (HEADER + "2013-02-27,1,2,1.5,1,1\n", "csv:2: open or close outside"),
        (HEADER + "2013-02-27,1,2,1,1,1\n2013-02-27,1,2,1,1,1\n", "csv:3: 2013-02-27 does not come after"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "ACME.csv").write_text(text)
    with pytest.raises(UsageError, match=complaint):
        DailyBook(7, csv_files(tmp_path)).series("ACME")


def test_the_catalogue_finds_by_beginning_and_by_name() -> None:
    assert next(each.symbol for each in Catalogue().matching("ms")) == "MSFT"
    assert "IBM" in [each.symbol for each in Catalogue().matching("business mach")]
    assert Catalogue().matching("  ") == []
    assert len(Catalogue().matching("A")) == 16
