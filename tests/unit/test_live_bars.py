"""Larger live bars: told when they are whole, held back where something is missing, corrected for a while."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.aggregation import BarAggregator
from engine.facts import Bar
from engine.live_bars import CORRECTED_FOR_US, LargerBar, SessionBars

SECOND = 1_000_000
STEP, MINUTE, HOUR, DAY = 5 * SECOND, 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
OPEN = 34_200 * SECOND
HALF_DAY = OPEN + 210 * MINUTE


def a_small(number: int, price: float = 10.0, volume: float = 1.0) -> Bar:
    start = OPEN + number * STEP
    return Bar(7, start, start + STEP, price, price + 1, price - 1, price + 0.5, volume)


def a_session(close: int = HALF_DAY) -> SessionBars:
    return SessionBars(7, OPEN, close, STEP)


def put(session: SessionBars, *numbers: int, size: int = MINUTE) -> list[LargerBar]:
    found: list[LargerBar] = []
    for number in numbers:
        session.put(a_small(number, price=10.0 + number))
        found += session.due(size)
    return found


def test_a_minute_is_told_with_its_last_part() -> None:
    session = a_session()

    assert put(session, *range(11)) == []
    (minute,) = put(session, 11)
    assert minute == LargerBar(Bar(7, OPEN, OPEN + MINUTE, 10.0, 22.0, 9.0, 21.5, 12.0), 0, late=False)


def test_what_was_not_seen_from_its_beginning_is_never_told() -> None:
    session = a_session()
    (minute,) = put(session, *range(5, 24))
    assert minute.bar.start_us == OPEN + MINUTE


def test_a_part_that_was_not_traded_is_known_to_be_empty() -> None:
    session = a_session()
    assert put(session, *range(10)) == []
    session.nothing_else(OPEN + 10 * STEP, OPEN + 12 * STEP)
    (minute,) = session.due(MINUTE)
    assert (minute.bar.end_us, minute.bar.volume) == (OPEN + MINUTE, 10.0)
    session.nothing_else(OPEN + MINUTE, OPEN + 2 * MINUTE)
    assert list(session.due(MINUTE)) == [], "a minute without any trade has no prices"


def test_a_hole_holds_its_bar_back_until_it_is_filled() -> None:
    session = a_session()
    later = put(session, *range(6), *range(7, 24))
    assert [each.bar.start_us for each in later] == [OPEN + MINUTE]
    session.put(a_small(6), late=True)
    (minute,) = session.due(MINUTE)
    assert (minute.bar.start_us, minute.revision, minute.late) == (OPEN, 0, True)


def test_a_changed_part_corrects_by_the_next_revision_and_the_same_again_does_not() -> None:
    session = a_session()
    put(session, *range(12))
    session.put(a_small(3, price=13.0))
    assert list(session.due(MINUTE)) == []
    session.put(a_small(3, price=99.0), late=True)
    (corrected,) = session.due(MINUTE)
    assert (corrected.bar.high, corrected.revision, corrected.late) == (100.0, 1, True)
    session.put(a_small(3, price=98.0), late=True)
    assert [each.revision for each in session.due(MINUTE)] == [2]


def test_after_a_while_only_history_corrects() -> None:
    session = a_session()
    put(session, *range(12))
    last = (CORRECTED_FOR_US + MINUTE) // STEP
    put(session, *range(12, last))
    session.put(a_small(3, price=99.0))
    assert len(list(session.due(MINUTE))) == 1, "still within the time"
    put(session, last)
    session.put(a_small(3, price=90.0))
    assert list(session.due(MINUTE)) == []


def test_a_day_and_the_last_hour_end_with_a_short_session() -> None:
    session = a_session()
    small = range((HALF_DAY - OPEN) // STEP)
    hours: list[LargerBar] = []
    days: list[LargerBar] = []
    for number in small:
        session.put(a_small(number))
        hours += session.due(HOUR)
        days += session.due(DAY)
    assert [(each.bar.end_us - each.bar.start_us) // MINUTE for each in hours] == [60, 60, 60, 30]
    assert [(each.bar.start_us, each.bar.end_us, each.bar.volume) for each in days] == [
        (OPEN, HALF_DAY, float(len(small)))
    ]


def test_what_a_former_process_told_is_not_told_again() -> None:
    first, second = a_session(), a_session()
    (told,) = put(first, *range(12))
    for number in range(12):
        second.put(a_small(number, price=10.0 + number))
    second.recall(told.bar, MINUTE, told.revision)
    assert list(second.due(MINUTE)) == []
    second.put(a_small(0, price=50.0))
    assert [each.revision for each in second.due(MINUTE)] == [1]


@given(st.lists(st.floats(1, 1000), min_size=40, max_size=60))
def test_without_holes_they_are_what_the_strategies_make_of_the_same_bars(prices: list[float]) -> None:
    session, other = SessionBars(7, 0, DAY, STEP), BarAggregator(MINUTE)
    mine, theirs = [], []
    for number, price in enumerate(prices):
        bar = Bar(7, number * STEP, (number + 1) * STEP, price, price, price, price, 1.0)
        session.put(bar)
        mine += [each.bar for each in session.due(MINUTE)]
        theirs += other.on_bar(bar)
    assert mine == theirs


def test_a_session_has_a_length() -> None:
    with pytest.raises(ValueError, match="length"):
        SessionBars(7, OPEN, OPEN, STEP)
