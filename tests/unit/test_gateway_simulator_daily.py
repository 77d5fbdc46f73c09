"""Daily bars: real, of files, invented; and the days on which there are some."""

from datetime import date
from functools import cache
from pathlib import Path

import pytest

from infra.errors import UsageError
from infra.gateway_simulator.instruments.calendar import ib_text, market_calendar
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.instruments.instrument import Source
from infra.gateway_simulator.market.daily import DailyBook, DailySeries, csv_files
from infra.gateway_simulator.market.prices import UNITS

HEADER = "time,open,high,low,close,volume\n"


NEW_YORK = market_calendar("XNYS")


@cache
def daily() -> DailyBook:
    return DailyBook(7, {})


@cache
def catalogue() -> Catalogue:
    return Catalogue()


def series(symbol: str, book: DailyBook | None = None) -> DailySeries:
    return (book or daily()).series(catalogue().by_symbol[symbol])


def test_real_days_are_as_they_were_traded() -> None:
    bar = series("AAPL").on(date(2000, 6, 20))

    assert bar is not None
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (9850000, 10394000, 9837000, 10125000, 4476700)


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
    assert series(symbol).split_factor(day, as_of) == factor


def test_total_return_takes_out_dividends_too() -> None:
    ibm = series("IBM")

    assert ibm.total_return_factor(date(2013, 2, 28), date(2013, 2, 28)) == 1.0
    assert ibm.total_return_factor(date(2000, 3, 1), date(2013, 2, 28)) < 0.9


def test_after_the_real_days_a_symbol_goes_on_by_invention() -> None:
    facebook = series("FB")
    first, after = facebook.on(date(2012, 5, 18)), facebook.on(date(2013, 3, 4))

    assert facebook.on(date(2012, 5, 17)) is None
    assert (facebook.first_day, facebook.last_sourced) == (date(2012, 5, 18), date(2013, 3, 1))
    assert first is not None
    assert after is not None
    assert abs(after.open / UNITS - 27.78) < 2
    assert facebook.before(date(2013, 3, 4)) == facebook.on(date(2013, 3, 1))


def test_invented_series_are_possible_and_repeat_with_their_seed() -> None:
    one, again, other = DailyBook(7, {}), DailyBook(7, {}), DailyBook(8, {})
    for symbol in ("SPY", "NVDA", "KO"):
        bars = [series(symbol, one).on(day) for day in NEW_YORK.days]
        assert bars == [series(symbol, again).on(day) for day in NEW_YORK.days]
        assert bars != [series(symbol, other).on(day) for day in NEW_YORK.days]
        assert all(each and 0 < each.low <= min(each.open, each.close) for each in bars)
        assert all(each and each.high >= max(each.open, each.close) and each.volume > 0 for each in bars)


@pytest.mark.parametrize("symbol", ["AAPL", "IBM", "MSFT"])
def test_the_calendar_has_the_days_of_the_real_data(symbol: str) -> None:
    days = NEW_YORK.between(date(2000, 3, 1), date(2013, 3, 1))

    assert [each for each in days if series(symbol).on(each) is None] == []
    assert len(days) == 3270


def test_the_market_is_closed_on_holidays() -> None:
    calendar = NEW_YORK

    assert not calendar.is_open_on(date(2001, 9, 12))
    assert not calendar.is_open_on(date(2012, 10, 29))
    assert calendar.is_open_on(date(2013, 2, 28))
    assert not calendar.is_open_on(date(2013, 7, 4))
    assert not calendar.is_open_on(date(2013, 7, 6))
    assert calendar.following(date(2013, 3, 1)).day == date(2013, 3, 4)
    assert calendar.latest(calendar.session(date(2013, 3, 4)).open - 1).day == date(2013, 3, 1)
    assert calendar.back(date(2013, 3, 4), 2) == date(2013, 2, 28)


def test_summer_and_winter_have_their_own_offsets() -> None:
    assert NEW_YORK.session(date(2013, 2, 28)).open == 1362061800
    assert NEW_YORK.session(date(2012, 7, 2)).open == 1341235800
    assert ib_text(1341235800) == "20120702 09:30:00 US/Eastern"
    assert NEW_YORK.days[0] == date(2000, 3, 1)


def test_a_file_replaces_or_adds_a_symbol(tmp_path: Path) -> None:
    (tmp_path / "acme.csv").write_text(HEADER + "2013-02-27T16:00:00-05:00,10.5,12,10,11.25,500\n")
    files = csv_files(tmp_path)
    known, book = Catalogue(files), DailyBook(7, files)
    acme = known.by_symbol["ACME"]

    assert acme.source is Source.FILE
    assert acme.contract_id >= 910_000_000
    assert known.by_id[acme.contract_id] is acme
    bar = book.series(acme).on(date(2013, 2, 27))
    assert bar is not None
    assert bar.close == 1125000
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
        DailyBook(7, csv_files(tmp_path)).series(Catalogue(["ACME"]).by_symbol["ACME"])


def test_the_catalogue_finds_by_beginning_and_by_name() -> None:
    assert next(each.symbol for each in Catalogue().matching("ms")) == "MSFT"
    assert "IBM" in [each.symbol for each in Catalogue().matching("business mach")]
    assert Catalogue().matching("  ") == []
    assert len(Catalogue().matching("A")) == 16
