"""Durations, and the kinds of bars that IB tells apart."""

from datetime import date
from functools import cache

import pytest

from infra.gateway_simulator.instruments.calendar import local, market_calendar
from infra.gateway_simulator.instruments.catalogue import Catalogue
from infra.gateway_simulator.market.bars import DAY, WEEK, BarHistory, Candle, Duration, Span
from infra.gateway_simulator.market.daily import DailyBook
from infra.gateway_simulator.market.intraday import Days
from infra.gateway_simulator.market.prices import US_STOCKS

NEW_YORK = market_calendar("XNYS")
THURSDAY, FRIDAY = NEW_YORK.session(date(2013, 2, 28)), NEW_YORK.session(date(2013, 3, 1))


@cache
def history() -> BarHistory:
    daily = DailyBook(7, {})
    return BarHistory(daily, Days(daily, 7))


def candles(symbol: str, span: Span) -> list[Candle]:
    return [each for portion in history().candles(Catalogue().by_symbol[symbol], span) for each in portion]


@pytest.mark.parametrize(
    ("text", "size", "begin"),
    [
        ("3600 S", 60, "2013-02-28 15:00"),
        ("25000 S", 60, "2013-02-27 15:33"),
        ("1 D", 60, "2013-02-28 09:30"),
        ("2 D", DAY, "2013-02-27 09:30"),
        ("1 W", DAY, "2013-02-22 09:30"),
        ("1 W", WEEK, "2013-02-18 09:30"),
        ("1 M", DAY, "2013-01-29 09:30"),
        ("1 Y", DAY, "2012-02-29 09:30"),
        ("900 Y", DAY, "1990-01-02 09:30"),
    ],
)
def test_a_duration_reaches_back_from_its_end(text: str, size: int, begin: str) -> None:
    found = Duration(text).begin(NEW_YORK, THURSDAY.close, size)

    assert f"{local(found):%Y-%m-%d %H:%M}" == begin


@pytest.mark.parametrize("text", ["", "D", "1", "1D", "0 D", "-1 D", "1 X", "999999999 D", "1.5 D"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Invalid duration"):
        Duration(text)


def test_a_bar_is_told_as_far_as_it_has_come() -> None:
    now = THURSDAY.open + 95
    minutes = candles("AAPL", Span(THURSDAY.open, now, 60, "TRADES", now))
    (day,) = candles("AAPL", Span(THURSDAY.open, now, DAY, "TRADES", now))

    assert [each.start - THURSDAY.open for each in minutes] == [0, 60]
    assert day.volume == sum(each.volume for each in minutes)
    assert (day.open, day.close) == (minutes[0].open, minutes[-1].close)
    assert candles("AAPL", Span(THURSDAY.open, now, 60, "TRADES", THURSDAY.open + 4)) == []


def test_hours_lie_on_the_clock() -> None:
    span = Span(THURSDAY.open, THURSDAY.close, 3600, "TRADES", THURSDAY.close)

    assert [f"{local(each.start):%H:%M}" for each in candles("IBM", span)][:3] == ["09:30", "10:00", "11:00"]


def test_quotes_surround_the_trades() -> None:
    kinds = {
        what: candles("GOOG", Span(THURSDAY.open, THURSDAY.close, DAY, what, FRIDAY.close))[0]
        for what in ("TRADES", "MIDPOINT", "BID", "ASK", "BID_ASK")
    }

    assert kinds["MIDPOINT"].close == kinds["TRADES"].close == 801.2
    assert (kinds["BID"].close, kinds["ASK"].close) == (801.19, 801.21)
    assert (kinds["BID_ASK"].low, kinds["BID_ASK"].high) == (kinds["BID"].low, kinds["ASK"].high)
    assert {kinds[what].volume for what in ("MIDPOINT", "BID", "ASK", "BID_ASK")} == {-1}
    assert (US_STOCKS.bid_of(1), US_STOCKS.ask_of(1)) == (1000, 2000)


def test_weeks_stand_under_their_last_day_and_span_a_split() -> None:
    span = Span(
        NEW_YORK.session(date(2000, 6, 19)).open,
        NEW_YORK.session(date(2000, 6, 30)).close,
        WEEK,
        "TRADES",
        FRIDAY.close,
    )
    first, second = candles("AAPL", span)

    assert (first.day, second.day) == (date(2000, 6, 23), date(2000, 6, 30))
    assert first.high == 57.63 / 2
    assert first.volume == sum(
        each.volume
        for each in candles(
            "AAPL", Span(span.begin, NEW_YORK.session(date(2000, 6, 23)).close, DAY, "TRADES", FRIDAY.close)
        )
    )


def test_a_split_is_not_known_before_its_day() -> None:
    eve = NEW_YORK.session(date(2000, 6, 20))
    (bar,) = candles("AAPL", Span(eve.open, eve.close, DAY, "TRADES", eve.close))

    assert (bar.close, bar.volume) == (101.25, 4476700)


def test_adjusted_last_takes_dividends_out() -> None:
    day = NEW_YORK.session(date(2005, 2, 25))
    (traded,) = candles("IBM", Span(day.open, day.close, DAY, "TRADES", FRIDAY.close))
    (adjusted,) = candles("IBM", Span(day.open, day.close, DAY, "ADJUSTED_LAST", FRIDAY.close))

    assert adjusted.close < traded.close == 92.8
    assert adjusted.volume == traded.volume
