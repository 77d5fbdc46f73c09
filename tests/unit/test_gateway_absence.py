"""When a gateway that is away is overdue."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from infra.clock import ManualClock
from infra.gateway.absence import Absence, expected_back

NEW_YORK = ZoneInfo("America/New_York")
TEN = timedelta(minutes=10)


@pytest.mark.parametrize(
    ("began", "back"),
    [
        ("2026-11-18 15:00", "2026-11-18 15:10"),
        ("2026-11-18 23:44", "2026-11-18 23:54"),
        ("2026-11-18 23:45", "2026-11-19 00:55"),
        ("2026-11-19 00:30", "2026-11-19 00:55"),
        ("2026-11-19 00:45", "2026-11-19 00:55"),
        ("2026-11-20 23:00", "2026-11-21 03:10"),
        ("2026-11-21 02:59", "2026-11-21 03:10"),
        ("2026-11-21 23:00", "2026-11-21 23:10"),
    ],
)
def test_a_reset_of_ibs_may_take_as_long_as_it_takes_and_anything_else_ten_minutes(began: str, back: str) -> None:
    moment, wanted = (datetime.fromisoformat(text).replace(tzinfo=NEW_YORK) for text in (began, back))

    assert expected_back(moment.astimezone(UTC), TEN) == wanted


def test_an_absence_is_overdue_after_its_time_and_no_more_when_it_is_over() -> None:
    clock = ManualClock(datetime(2026, 11, 18, 15, tzinfo=UTC))
    absence = Absence(clock, 10)
    absence.came()
    assert (absence.seconds, absence.overdue()) == (0.0, None)

    absence.went()
    clock.advance(600)
    absence.went()
    assert (absence.seconds, absence.overdue()) == (600.0, None)
    clock.advance(1)
    assert "away since 2026-11-18 15:00Z, longer than a reset takes" in str(absence.overdue())

    absence.came()
    assert absence.overdue() is None


def test_a_gateway_that_never_was_there_is_overdue_too() -> None:
    clock = ManualClock(datetime(2026, 11, 18, 15, tzinfo=UTC))
    absence = Absence(clock, 10)
    clock.advance(601)

    assert absence.overdue() is not None
