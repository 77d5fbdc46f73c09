"""How far the gateway's clock is from ours, as far as whole seconds and a slow answer let anybody say."""

from datetime import UTC, datetime, timedelta

import pytest

from infra.clock import ManualClock
from infra.gateway.skew import ClockSkew

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)


def skew_after(offset: float, *, answer_takes: float = 0.0, seconds_max: float = 5.0) -> ClockSkew:
    """One question and its answer, by a gateway whose clock is `offset` ahead and told in whole seconds."""
    clock = ManualClock(NOON)
    skew = ClockSkew(clock, seconds_max)
    skew.asked()
    clock.advance(answer_takes)
    skew.heard(int((clock.now() + timedelta(seconds=offset)).timestamp()))
    return skew


@pytest.mark.parametrize(
    ("offset", "word"),
    [(0.0, None), (5.0, None), (-5.0, None), (7.0, "ahead of"), (-7.0, "behind"), (3600.0, "ahead of")],
)
def test_a_clock_that_is_off_for_certain_is_told_with_its_direction(offset: float, word: str | None) -> None:
    trouble = skew_after(offset).trouble

    assert (trouble is None) == (word is None)
    assert word is None or word in str(trouble)


def test_an_answer_that_takes_long_is_no_skew() -> None:
    assert skew_after(0.0, answer_takes=60.0).trouble is None


def test_before_the_first_answer_nobody_knows_and_unknown_is_a_trouble() -> None:
    skew = ClockSkew(ManualClock(NOON), 5.0)
    assert skew.trouble == "the gateway has not told its time yet"


def test_a_gateway_of_another_date_is_not_compared() -> None:
    skew = skew_after(-400_000_000.0, seconds_max=0.0)
    assert (skew.trouble, skew.seconds) == (None, 0.0)


def test_who_listens_hears_of_each_change_once() -> None:
    clock = ManualClock(NOON)
    skew, heard = ClockSkew(clock, 5.0), list[str | None]()
    skew.on_change(lambda: heard.append(skew.trouble))
    for offset in (0, 0, 3600, 3600, 0):
        skew.asked()
        skew.heard(int(clock.now().timestamp()) + offset)

    assert [trouble is None for trouble in heard] == [True, False, True]
