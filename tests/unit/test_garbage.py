"""A replay that makes the collector rest leaves it as it found it."""

import gc
from collections.abc import Iterator

import pytest

from infra.garbage import collecting_seldom


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_it_collects_seldom_until_the_last_of_several_that_overlap_has_ended() -> None:
    gc.set_threshold(700, 10, 10)
    first, second = collecting_seldom(), collecting_seldom()
    first.__enter__()
    second.__enter__()
    assert gc.get_threshold()[0] > 10_000
    first.__exit__(None, None, None)
    second.__exit__(None, None, None)
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("threshold", [0, 90_000], ids=["off", "even more seldom"])
def test_who_collects_more_seldom_already_is_left_alone(threshold: int) -> None:
    gc.set_threshold(threshold, 10, 10)
    with collecting_seldom():
        assert gc.get_threshold()[0] == threshold
    assert gc.get_threshold()[0] == threshold
