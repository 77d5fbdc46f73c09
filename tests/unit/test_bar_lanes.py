"""Lanes by hand: what waits for missing bars, how long, and what becomes of those that come too late."""

import asyncio
from datetime import timedelta

from infra.clock import ManualClock
from infra.errors import ScizorError
from producers.market_data.lanes import BarLanes
from producers.market_data.missing import Stretch
from schemas.market import LIVE_BAR, Bar, Quarantined, QuarantineRule
from schemas.validation import Contract
from tests.builders import APPLE, NOON, SEEN, a_bar, a_contract


class Desk:
    """Fetches when a test says so, and keeps what is told."""

    def __init__(self, patience: float) -> None:
        self.told: list[tuple[int, bool, bool]] = []
        self.findings: list[Quarantined] = []
        self.corrected: list[int] = []
        self.asked: list[Stretch] = []
        self.answers: asyncio.Queue[list[Bar] | ScizorError] = asyncio.Queue()
        self.clock = ManualClock(SEEN)
        self.lanes = BarLanes(self.fetch, self, self.clock, patience=patience)

    async def fetch(self, stretch: Stretch) -> list[Bar]:
        self.asked.append(stretch)
        answer = await self.answers.get()
        if isinstance(answer, ScizorError):
            raise answer
        return answer

    async def tell(self, bar: Bar, contract: Contract, *, joined: bool) -> None:
        self.told.append((_number(bar), bar.late, joined))

    async def find(self, finding: Quarantined) -> None:
        self.findings.append(finding)

    async def correct(self, contract: Contract, bars: list[Bar], stretch: Stretch) -> None:
        self.corrected += [_number(bar) for bar in bars]

    async def bars(self, *numbers: int) -> None:
        for number in numbers:
            await self.lanes.on_bar(bar_number(number), a_contract())
        await self.settle()

    @staticmethod
    async def settle() -> None:
        for _ in range(10):
            await asyncio.sleep(0)


def bar_number(number: int, *, late: bool = False) -> Bar:
    return a_bar(start=NOON + number * LIVE_BAR, volume=float(100 + number), late=late)


def late_bars(*numbers: int) -> list[Bar]:
    return [bar_number(number, late=True) for number in numbers]


def _number(bar: Bar) -> int:
    return (bar.start - NOON) // LIVE_BAR


async def test_live_bars_wait_for_the_missing_ones_and_all_come_in_order_once() -> None:
    desk = Desk(patience=60)
    await desk.bars(0, 1)
    desk.lanes.interrupted(APPLE)
    await desk.bars(5, 6)
    assert [number for number, *_ in desk.told] == [0, 1]
    assert not desk.lanes.settled(APPLE)
    desk.answers.put_nowait(late_bars(1, 2, 3, 4))
    await desk.settle()
    await desk.bars(6, 7)
    assert desk.told == [
        (0, False, False),
        (1, False, True),
        *((number, True, True) for number in (2, 3, 4)),
        *((number, False, True) for number in (5, 6, 7)),
    ]
    assert [(each.start, each.end) for each in desk.asked] == [(NOON + 2 * LIVE_BAR, NOON + 5 * LIVE_BAR)]
    assert desk.lanes.settled(APPLE)
    await desk.lanes.stop()


async def test_what_comes_too_late_is_not_told_any_more_but_corrects() -> None:
    desk = Desk(patience=0.01)
    await desk.bars(0)
    desk.lanes.interrupted(APPLE)
    await desk.bars(3)
    async with asyncio.timeout(5):
        while not desk.findings:
            await asyncio.sleep(0.001)
    await desk.bars(4)
    assert desk.told == [(0, False, False), (3, False, False), (4, False, True)]
    assert [each.rule for each in desk.findings] == [QuarantineRule.GAP]
    desk.answers.put_nowait(late_bars(1, 2))
    await desk.settle()
    assert (desk.corrected, len(desk.told)) == ([1, 2], 3)
    await desk.lanes.stop()


async def test_a_refusal_is_told_and_live_goes_on_at_once() -> None:
    desk = Desk(patience=60)
    await desk.bars(0)
    desk.lanes.interrupted(APPLE)
    desk.answers.put_nowait(ScizorError("no permissions"))
    await desk.bars(3, 4)
    assert desk.told == [(0, False, False), (3, False, False), (4, False, True)]
    assert desk.findings[0].reason == "no live bars from 2013-02-28 17:00:05 to 2013-02-28 17:00:15: no permissions"
    await desk.lanes.stop()


async def test_an_interruption_while_a_gap_is_filled_is_a_gap_of_its_own() -> None:
    desk = Desk(patience=60)
    await desk.bars(0)
    desk.lanes.interrupted(APPLE)
    await desk.bars(3)
    desk.lanes.interrupted(APPLE)
    await desk.bars(6)
    desk.answers.put_nowait(late_bars(1, 2))
    desk.answers.put_nowait(late_bars(4, 5))
    await desk.settle()
    assert [(number, late) for number, late, _ in desk.told] == [
        (0, False), (1, True), (2, True), (3, False), (4, True), (5, True), (6, False)
    ]  # fmt: skip
    assert len(desk.asked) == 2
    await desk.lanes.stop()


async def test_what_the_rules_keep_out_is_told_as_a_finding_and_leaves_a_hole() -> None:
    desk = Desk(patience=60)
    await desk.bars(0, 1, 2)
    absurd = bar_number(3).revised(open=1.0, high=900_000.0, low=1.0, close=900_000.0)
    await desk.lanes.on_bar(absurd, a_contract())
    await desk.bars(4)
    assert [number for number, *_ in desk.told] == [0, 1, 2, 4]
    assert desk.told[-1] == (4, False, False), "whoever makes larger bars knows that one is missing"
    assert [each.rule for each in desk.findings] == [QuarantineRule.BAD_PRINT]


async def test_no_more_than_a_day_is_asked_for() -> None:
    desk = Desk(patience=60)
    await desk.bars(0)
    desk.lanes.interrupted(APPLE)
    late = bar_number(0).start + timedelta(days=4, seconds=5)
    await desk.lanes.on_bar(a_bar(start=late), a_contract())
    desk.answers.put_nowait([])
    await desk.settle()
    assert (desk.asked[0].end - desk.asked[0].start) == timedelta(days=1)
    assert desk.told[-1][2] is False
    await desk.lanes.stop()


async def test_a_bar_that_a_feed_left_out_without_a_word_is_brought_late_before_the_next() -> None:
    desk = Desk(patience=60)
    await desk.bars(0, 1, 3, 4)
    assert [number for number, *_ in desk.told] == [0, 1]
    desk.answers.put_nowait(late_bars(2))
    await desk.settle()
    assert desk.told[2:] == [(2, True, True), (3, False, True), (4, False, True)]
    assert [(each.start, each.end) for each in desk.asked] == [(NOON + 2 * LIVE_BAR, NOON + 3 * LIVE_BAR)]
    assert desk.findings == []
    await desk.lanes.stop()


async def test_a_feed_that_leaves_out_bar_after_bar_is_asked_after_once_a_minute_and_each_hole_is_told() -> None:
    desk = Desk(patience=60)
    desk.answers.put_nowait(late_bars(1))
    await desk.bars(0, 2, 4)
    assert [number for number, *_ in desk.told] == [0, 1, 2, 4]
    assert desk.told[-1] == (4, False, False), "whoever makes larger bars knows that one is missing"
    (finding,) = desk.findings
    assert finding.reason.startswith("no live bars from 2013-02-28 17:00:15 to 2013-02-28 17:00:20: the feed went on")
    desk.clock.advance(60)
    desk.answers.put_nowait(late_bars(5))
    await desk.bars(6)
    assert [number for number, *_ in desk.told] == [0, 1, 2, 4, 5, 6]
    await desk.lanes.stop()


async def test_a_hole_among_bars_that_wait_is_one_too() -> None:
    desk = Desk(patience=60)
    await desk.bars(0)
    desk.lanes.interrupted(APPLE)
    await desk.bars(2, 4)
    desk.answers.put_nowait(late_bars(1))
    desk.answers.put_nowait(late_bars(3))
    await desk.settle()
    assert [number for number, *_ in desk.told] == [0, 1, 2, 3, 4]
    await desk.lanes.stop()


async def test_between_two_sessions_nothing_is_missing() -> None:
    desk = Desk(patience=60)
    close = NOON.replace(hour=21)
    await desk.lanes.on_bar(a_bar(start=close - LIVE_BAR), a_contract())
    await desk.lanes.on_bar(a_bar(start=close + timedelta(hours=17, minutes=30)), a_contract())
    await desk.settle()
    assert (len(desk.told), desk.asked, desk.findings) == (2, [], [])
