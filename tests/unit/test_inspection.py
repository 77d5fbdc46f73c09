"""Answers of the gateway before they are published: judged in a row, whatever order they come in."""

from datetime import UTC, datetime, timedelta

import polars as pl

from infra.clock import SystemClock
from infra.columns import frame_of
from infra.gateway import Series
from producers.data_farmer.inspection import Inspection
from schemas.market import QuarantineRule, Severity
from tests.builders import a_contract, a_historical_bar

OPENING = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MINUTES = Series(MINUTE)
APPLE = a_contract()


def minutes(first: int, count: int, *, start: datetime = OPENING, price: float = 440.0) -> pl.DataFrame:
    return frame_of(
        a_historical_bar(
            bar_size=MINUTE, start=start + n * MINUTE, volume=100.0 + n, open=price, high=price + 0.3,
            low=price - 0.3, close=price,
        )
        for n in range(first, first + count)
    )  # fmt: skip


def rules_of(inspection: Inspection, bars: pl.DataFrame) -> tuple[int, list[QuarantineRule]]:
    passing, findings = inspection.judged(APPLE, MINUTES, bars)
    return len(passing), [finding.rule for finding in findings]


def test_an_answer_is_judged_by_the_one_before_it() -> None:
    inspection = Inspection(SystemClock())
    assert rules_of(inspection, minutes(0, 30)) == (30, [])
    assert rules_of(inspection, minutes(30, 30, price=4400.0)) == (29, [QuarantineRule.BAD_PRINT])


def test_an_answer_about_an_earlier_time_stands_alone() -> None:
    inspection = Inspection(SystemClock())
    inspection.judged(APPLE, MINUTES, minutes(60, 30))
    assert rules_of(inspection, minutes(0, 30)) == (30, []), "it is not out of order"


def test_a_year_of_days_and_a_holiday_are_told_apart_by_the_exchange_of_the_contract() -> None:
    inspection = Inspection(SystemClock())
    night = minutes(0, 5, start=OPENING - timedelta(hours=8))
    passing, findings = inspection.judged(APPLE, MINUTES, night)
    assert (len(passing), {each.rule for each in findings}) == (0, {QuarantineRule.OUTSIDE_SESSION})
    assert {each.severity for each in findings} == {Severity.ERROR}
    elsewhere = a_contract(primary_exchange="NOWHERE")
    assert len(inspection.judged(elsewhere, MINUTES, night)[0]) == 5, "without a calendar nobody can say"


def test_nothing_is_nothing() -> None:
    assert rules_of(Inspection(SystemClock()), minutes(0, 0)) == (0, [])
