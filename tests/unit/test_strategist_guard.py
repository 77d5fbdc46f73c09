"""A strategy that does not come back is broken off, however it was written; one that does is left alone."""

import time

import pytest

from consumers.strategist import guard
from consumers.strategist.guard import bounded
from engine.live.hosts import StoppedFromOutsideError


def test_an_endless_loop_is_broken_off_and_told_where() -> None:
    def endless() -> None:
        while True:
            pass

    with pytest.raises(StoppedFromOutsideError, match=r"longer than .* for one input in endless"), bounded(0.05):
        endless()


def test_a_loop_that_catches_everything_once_is_broken_off_the_next_time() -> None:
    def stubborn() -> None:
        try:
            while True:
                pass
        except StoppedFromOutsideError:
            while True:
                pass

    with pytest.raises(StoppedFromOutsideError), bounded(0.05):
        stubborn()


def test_what_waits_for_the_machine_is_not_broken_off_and_what_waits_for_ever_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with bounded(0.05):
        time.sleep(0.2)
    monkeypatch.setattr(guard, "_HELD_UP_SECONDS_MAX", 0.1)
    with pytest.raises(StoppedFromOutsideError), bounded(0.05):
        time.sleep(300)


def test_what_comes_back_in_time_is_left_alone() -> None:
    with bounded(30.0):
        found = sum(range(1000))
    assert found == 499_500
