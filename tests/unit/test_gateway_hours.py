"""Sessions as the gateway describes them, in UTC."""

from datetime import UTC, date, datetime, timedelta

import pytest

from infra.gateway import hours
from tests.builders import a_contract


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type] # year, month, day, hour, minute


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("US/Eastern", "US/Eastern"),
        ("EST (Eastern Standard Time)", "America/New_York"),
        ("EST5EDT", "America/New_York"),
        ("Australia/NSW", "Australia/NSW"),
    ],
)
def test_ib_s_names_of_time_zones_are_understood(name: str, key: str) -> None:
    assert hours.zone(name).key == key


def test_a_day_that_is_not_listed_has_the_usual_session_in_summer_and_winter() -> None:
    contract = a_contract(time_zone="US/Eastern")

    assert hours.session(contract, date(2013, 2, 28)) == (utc(2013, 2, 28, 14, 30), utc(2013, 2, 28, 21, 0))
    assert hours.session(contract, date(2013, 7, 1)) == (utc(2013, 7, 1, 13, 30), utc(2013, 7, 1, 20, 0))


def test_liquid_hours_win_for_their_day_and_the_most_usual_ones_for_other_days() -> None:
    listed = "20131129:0930-20131129:1300;20131130:CLOSED;20131202:1000-20131202:1600;20131203:1000-20131203:1600"
    contract = a_contract(primary_exchange="LSE", time_zone="US/Eastern", liquid_hours=listed)

    assert hours.session(contract, date(2013, 11, 29)) == (utc(2013, 11, 29, 14, 30), utc(2013, 11, 29, 18, 0))
    assert hours.session(contract, date(2013, 12, 9))[0] == utc(2013, 12, 9, 15, 0)


def test_a_half_day_that_is_not_listed_is_known_from_the_exchange_s_calendar() -> None:
    contract = a_contract(time_zone="US/Eastern", liquid_hours="20130228:0930-20130228:1600")

    assert hours.session(contract, date(2012, 11, 23)) == (utc(2012, 11, 23, 14, 30), utc(2012, 11, 23, 18, 0))


def test_holidays_have_no_session() -> None:
    contract = a_contract(time_zone="US/Eastern")

    assert [each.day.day for each in hours.trading_days(contract, date(2012, 12, 24), date(2012, 12, 28))] == [
        24,
        26,
        27,
        28,
    ]


def test_a_session_of_sydney_begins_on_the_utc_day_before() -> None:
    contract = a_contract(time_zone="Australia/Sydney", liquid_hours="20130228:1000-20130228:1600")

    assert hours.session(contract, date(2013, 2, 28)) == (utc(2013, 2, 27, 23, 0), utc(2013, 2, 28, 5, 0))


def test_sessions_between_two_moments_leave_out_weekends_and_closed_days_and_are_cut_to_the_range() -> None:
    contract = a_contract(time_zone="US/Eastern", liquid_hours="20130304:CLOSED;20130305:0930-20130305:1600")
    begin, end = utc(2013, 3, 1, 20, 0), utc(2013, 3, 5, 15, 0)

    assert list(hours.sessions(contract, begin, end)) == [
        (begin, utc(2013, 3, 1, 21, 0)),
        (utc(2013, 3, 5, 14, 30), end),
    ]
    assert (
        sum((close - opening for opening, close in hours.sessions(contract, begin, begin)), timedelta()) == timedelta()
    )
