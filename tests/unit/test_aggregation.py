"""Small bars become larger ones, by event time alone."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.aggregation import BarAggregator
from engine.facts import Bar
from tests.bars import APPLE, FIRST, IBM, bars_of

SECOND = timedelta(seconds=1)
MINUTE_US = 60_000_000


def _five_seconds(count: int, contract_id: int = APPLE) -> list[Bar]:
    closes = [10 + (number * 7 % 5) / 10 for number in range(count)]
    return bars_of(closes, contract_id=contract_id, first=FIRST, step=5 * SECOND)


def test_twelve_bars_of_five_seconds_are_a_minute_that_closes_with_the_last() -> None:
    small = _five_seconds(24)
    minutes = BarAggregator(MINUTE_US)

    closed = [minutes.on_bar(bar) for bar in small]

    assert [number for number, bars in enumerate(closed) if bars] == [11, 23]
    (minute,) = closed[23]
    part = small[12:]
    assert minute == Bar(
        APPLE,
        part[0].start_us,
        part[-1].end_us,
        part[0].open,
        max(bar.high for bar in part),
        min(bar.low for bar in part),
        part[-1].close,
        12_000.0,
    )


def test_a_gap_closes_what_it_leaves_behind_before_what_it_brings() -> None:
    small = _five_seconds(36)
    minutes = BarAggregator(MINUTE_US)
    for bar in small[:3]:
        assert minutes.on_bar(bar) == []

    (late_closed,) = minutes.on_bar(small[13])
    assert (late_closed.end_us - late_closed.start_us, late_closed.volume) == (MINUTE_US, 3000.0)
    first, second = minutes.on_bar(small[35])
    assert [first.volume, second.volume] == [1000.0, 1000.0]
    assert second.end_us == small[35].end_us


def test_time_of_other_events_closes_a_bar_and_a_straggler_is_left_out() -> None:
    small = _five_seconds(12)
    minutes = BarAggregator(MINUTE_US)
    for bar in (*_five_seconds(4, contract_id=IBM), *small[:10]):
        minutes.on_bar(bar)

    assert minutes.on_time(small[11].end_us - 1) == []
    assert [bar.contract_id for bar in minutes.on_time(small[11].end_us)] == [IBM, APPLE]
    assert minutes.on_time(small[11].end_us) == []
    assert minutes.on_bar(small[11]) == []
    assert minutes.late == 1


@given(repeats=st.lists(st.integers(0, 23), max_size=20))
def test_bars_that_come_again_change_nothing(repeats: list[int]) -> None:
    small = _five_seconds(24)
    once, often = BarAggregator(MINUTE_US), BarAggregator(MINUTE_US)
    expected = [closed for bar in small for closed in once.on_bar(bar)]

    got = []
    for number, bar in enumerate(small):
        got += often.on_bar(bar)
        for again in repeats:
            if again <= number:
                got += often.on_bar(small[again])

    assert got == expected


def test_the_first_bar_of_a_session_may_be_short_and_large_bars_pass() -> None:
    hours = BarAggregator(3600_000_000)
    half = bars_of([10.0], first=FIRST, step=timedelta(minutes=30))[0]  # 14:30 to 15:00

    assert hours.on_bar(half) == [half]
    (day,) = bars_of([10.0])
    assert BarAggregator(MINUTE_US).on_bar(day) == [day]
    with pytest.raises(ValueError, match="above zero"):
        BarAggregator(0)
