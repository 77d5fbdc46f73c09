"""Which days' reports are made when: whatever is wrong with one account, the others have theirs, and fills count on."""

import asyncio
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from consumers.portfolio.reports import Due, Reports
from infra import day_reports
from infra.clock import ManualClock
from infra.service import Service
from infra.store.database import Store
from tests.builders import SEEN
from tests.unit.test_trading_mode import some_settings

EVENING = datetime(2013, 2, 28, 23, tzinfo=UTC)
NEW_YORK, CHICAGO = (datetime(2013, 2, 28, hour, tzinfo=UTC) for hour in (21, 22))
DAY, BEFORE = date(2013, 2, 28), date(2013, 2, 27)
NOWHERE = SecretStr("postgresql://nobody@localhost:1/nothing")


class Maker:
    """Makes what it can, and remembers what it was to make, and where."""

    def __init__(self, wrong: dict[str, Exception] | None = None) -> None:
        self.asked: list[Due] = []
        self.threads: set[threading.Thread] = set()
        self._wrong = wrong or {}

    async def make(self, due: Due) -> int | None:
        self.asked.append(due)
        self.threads.add(threading.current_thread())
        if due.account_id in self._wrong:
            raise self._wrong[due.account_id]
        return 1


async def some_reports(tmp_path: Path, maker: Maker, clock: ManualClock) -> Reports:
    settings = some_settings(tmp_path, database_url=NOWHERE)
    service = Service("portfolio", settings, clock=clock)
    return Reports(service, Store(settings, "portfolio"), maker.make)


@pytest.mark.parametrize("error", [ValueError("execution e-1 is of contract 1"), OSError("disk"), ZeroDivisionError()])
async def test_an_account_whose_report_fails_takes_no_other_one_s_and_waits_before_it_is_read_again(
    tmp_path: Path, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    maker, clock = Maker({"BROKEN": error}), ManualClock(SEEN)
    reports = await some_reports(tmp_path, maker, clock)

    for seconds in (0, 30, 300):
        clock.advance(seconds)
        await reports.make_of_each({"BROKEN": [], "GOOD": []}, EVENING, EVENING)

    assert [due.account_id for due in maker.asked] == ["BROKEN", "GOOD", "GOOD", "BROKEN", "GOOD"]
    assert "the day's report was not made" in capsys.readouterr().err


async def test_what_cannot_be_asked_at_all_does_not_end_the_counting_of_positions(tmp_path: Path) -> None:
    class Closed(Reports):
        looks = 0

        async def make_due(self) -> None:
            self.looks += 1
            raise ValueError("nobody thought of this")

    settings = some_settings(tmp_path, database_url=NOWHERE)
    reports = Closed(Service("portfolio", settings, clock=ManualClock(SEEN)), Store(settings, "portfolio"))
    task = asyncio.create_task(reports.run())
    while not reports.looks:
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()


async def test_reports_are_made_beside_the_loop_that_folds_fills(tmp_path: Path) -> None:
    maker = Maker()
    reports = await some_reports(tmp_path, maker, ManualClock(SEEN))

    await reports.make_of_each({"DU1": []}, EVENING, EVENING)

    assert threading.current_thread() not in maker.threads
    assert maker.asked == [Due("DU1", DAY, NEW_YORK, EVENING)]


@pytest.mark.parametrize(
    ("market_now", "closes"),
    [
        (NEW_YORK + timedelta(minutes=4), {BEFORE: CHICAGO - timedelta(days=1)}),
        (NEW_YORK + timedelta(minutes=6), {BEFORE: CHICAGO - timedelta(days=1), DAY: NEW_YORK}),
        (CHICAGO + timedelta(minutes=6), {DAY: CHICAGO}),
    ],
)
async def test_a_day_is_reported_once_after_each_close_of_the_exchanges_as_of_the_last(
    tmp_path: Path, market_now: datetime, closes: dict[date, datetime]
) -> None:
    maker = Maker()
    reports = await some_reports(tmp_path, maker, ManualClock(SEEN))

    await reports.make_of_each({"DU1": ["NASDAQ", "CME", "NYSE"]}, market_now, EVENING)

    assert {due.day: due.close for due in maker.asked} == closes
    assert len(maker.asked) == len(closes)


@pytest.mark.parametrize(("kept", "made"), [('{"closed_at": "2013-02-28T21:00:00+00:00"}', False), ("{", True)])
async def test_a_day_that_has_its_report_is_not_reported_again_and_half_a_file_is_none(
    tmp_path: Path, kept: str, made: bool
) -> None:
    place = day_reports.place_of(tmp_path, "DU1", DAY).with_suffix(".json")
    place.parent.mkdir(parents=True)
    place.write_text(kept, encoding="utf-8")
    maker = Maker()
    reports = await some_reports(tmp_path, maker, ManualClock(SEEN))

    await reports.make_of_each({"DU1": []}, EVENING, EVENING)

    assert bool(maker.asked) is made
