"""When exchanges trade, by the committed table."""

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from infra.calendars.calendar import CALENDARS, UnknownExchangeError, calendar_of
from infra.calendars.generate import TABLE, table_text
from infra.calendars.open_now import opens_at


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]  # year, month, day, hour, minute


@pytest.mark.parametrize(
    ("exchange", "day", "opens", "closes"),
    [
        ("NYSE", date(2013, 2, 28), at(2013, 2, 28, 14, 30), at(2013, 2, 28, 21)),
        ("NASDAQ", date(2012, 7, 2), at(2012, 7, 2, 13, 30), at(2012, 7, 2, 20)),
        ("NASDAQ", date(2024, 11, 29), at(2024, 11, 29, 14, 30), at(2024, 11, 29, 18)),
        ("ARCA", date(2024, 12, 24), at(2024, 12, 24, 14, 30), at(2024, 12, 24, 18)),
        ("NYSE", date(2025, 7, 3), at(2025, 7, 3, 13, 30), at(2025, 7, 3, 17)),
        ("ASX", date(2024, 12, 23), at(2024, 12, 22, 23), at(2024, 12, 23, 5)),
        ("ASX", date(2024, 12, 24), at(2024, 12, 23, 23), at(2024, 12, 24, 3, 10)),
        ("ASX", date(2024, 12, 31), at(2024, 12, 30, 23), at(2024, 12, 31, 3, 10)),
        ("ASX", date(2024, 7, 1), at(2024, 7, 1), at(2024, 7, 1, 6)),
        ("CME", date(2024, 12, 23), at(2024, 12, 22, 23), at(2024, 12, 23, 22)),
        ("CME", date(2024, 11, 28), at(2024, 11, 27, 23), at(2024, 11, 28, 18)),
        ("SNFE", date(2024, 7, 1), at(2024, 6, 30, 23, 50), at(2024, 7, 1, 6, 30)),
        ("IDEALPRO", date(2024, 7, 1), at(2024, 6, 30, 21, 15), at(2024, 7, 1, 21)),
        ("PAXOS", date(2024, 7, 6), at(2024, 7, 6), at(2024, 7, 7)),
    ],
)
def test_a_session_has_the_hours_of_its_exchange_in_utc(
    exchange: str, day: date, opens: datetime, closes: datetime
) -> None:
    found = calendar_of(exchange).session(day)

    assert found is not None
    assert (found.day, found.open, found.close) == (day, opens, closes)


@pytest.mark.parametrize(
    ("exchange", "day"),
    [
        ("NYSE", date(2025, 1, 9)),  # a day of mourning
        ("NYSE", date(2001, 9, 11)),
        ("NASDAQ", date(2012, 10, 29)),  # a hurricane
        ("NASDAQ", date(2024, 6, 19)),
        ("NASDAQ", date(2024, 6, 22)),  # a Saturday
        ("ASX", date(2025, 1, 27)),
        ("ASX", date(2025, 4, 25)),
        ("CME", date(2024, 3, 29)),
        ("SNFE", date(2024, 12, 26)),
        ("IDEALPRO", date(2024, 7, 6)),
    ],
)
def test_an_exchange_is_closed_on_its_holidays(exchange: str, day: date) -> None:
    assert calendar_of(exchange).session(day) is None


def test_half_days_say_that_they_are_short() -> None:
    calendar = calendar_of("NYSE")

    short = [each.day for each in calendar.sessions(date(2024, 7, 1), date(2025, 7, 31)) if each.is_short]

    assert short == [date(2024, 7, 3), date(2024, 11, 29), date(2024, 12, 24), date(2025, 7, 3)]


def test_sessions_come_in_order_with_both_ends() -> None:
    days = [each.day for each in calendar_of("ASX").sessions(date(2024, 12, 24), date(2025, 1, 2))]

    assert days == [date(2024, 12, 24), *(date(2024, 12, each) for each in (27, 30, 31)), date(2025, 1, 2)]


@pytest.mark.parametrize("exchange", CALENDARS)
def test_every_session_is_the_latest_from_its_open_on_and_is_followed_by_the_next(exchange: str) -> None:
    calendar = calendar_of(exchange)
    sessions = calendar.sessions(date(2024, 12, 1), date(2025, 3, 31))

    for one, following in pairwise(sessions):
        assert one.close <= following.open
        assert calendar.latest(one.open) is calendar.latest(one.close) or one.close == following.open
        assert calendar.latest(one.open) is one
        assert calendar.following(one.open) is following


def test_a_future_trades_in_the_session_of_the_next_day_from_the_evening_on() -> None:
    calendar = calendar_of("CME")

    assert calendar.latest(at(2024, 7, 1, 21, 59)).day == date(2024, 7, 1)
    assert calendar.latest(at(2024, 7, 1, 22)).day == date(2024, 7, 2)


def test_days_beyond_the_table_are_weekdays_and_said_to_be_unknown() -> None:
    calendar = calendar_of("NYSE")

    assert calendar.is_known(date(1990, 1, 1))
    assert calendar.is_known(date(2037, 12, 31))
    assert not calendar.is_known(date(2038, 12, 25))
    assert [each.day.weekday() for each in calendar.sessions(date(2039, 1, 1), date(2039, 1, 10))] == [0, 1, 2, 3, 4, 0]


def test_exchanges_of_one_calendar_share_it() -> None:
    assert calendar_of("NASDAQ").session(date(2024, 7, 1)) == calendar_of("NYSE").session(date(2024, 7, 1))
    assert {calendar_of(each).name for each in ("NYSE", "NASDAQ", "ARCA", "AMEX", "BATS", "SMART")} == {"XNYS"}


def test_an_unknown_exchange_is_told_with_those_that_are_known() -> None:
    with pytest.raises(UnknownExchangeError, match=r"'LSE'.*ASX.*NASDAQ"):
        calendar_of("LSE")


@pytest.mark.filterwarnings("ignore:Series.values")  # the library and pandas disagree about its future
def test_the_committed_table_is_what_the_library_says() -> None:
    pytest.importorskip("exchange_calendars", reason="extra `test`")

    assert table_text() == TABLE.read_text(encoding="ascii")


@pytest.mark.parametrize(
    ("exchange", "moment", "opens"),
    [
        ("NASDAQ", at(2013, 2, 28, 20, 59), None),
        ("NASDAQ", at(2013, 2, 28, 21), at(2013, 3, 1, 14, 30)),
        ("NASDAQ", at(2013, 3, 1, 14, 29), at(2013, 3, 1, 14, 30)),
        ("NYSE", at(2024, 11, 29, 18, 1), at(2024, 12, 2, 14, 30)),
        ("NYSE", at(2200, 1, 1), None),
        ("VALUE", at(2013, 2, 28, 21), None),
    ],
)
def test_when_a_closed_exchange_opens_is_told_where_it_is_known(
    exchange: str, moment: datetime, opens: datetime | None
) -> None:
    assert opens_at(exchange, moment) == opens
