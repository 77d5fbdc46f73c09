"""When the day of an account begins."""

from datetime import date, timedelta

import pytest

from consumers.risk.watching import begins, begins_again

TODAY = date(2026, 3, 2)


@pytest.mark.parametrize(("known", "does"), [(None, True), (-1, True), (0, False), (1, False)])
def test_a_day_begins_once_and_never_because_of_older_prices(known: int | None, does: bool) -> None:
    assert begins(None if known is None else TODAY + timedelta(days=known), TODAY) is does


@pytest.mark.parametrize(("known", "does"), [(None, False), (-1, False), (7, False), (8, True)])
def test_only_market_time_that_falls_back_by_more_than_a_week_is_another_market(known: int | None, does: bool) -> None:
    assert begins_again(None if known is None else TODAY + timedelta(days=known), TODAY) is does
