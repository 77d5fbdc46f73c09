"""Cuts of time: what is tested is never trained on."""

import numpy as np
import pytest

from engine.research.folds import FoldError, combinatorial, paths, purged, walk_forward


def test_rolling_windows_keep_their_length_and_their_tests_tile_the_rest() -> None:
    windows = walk_forward(100, train=40, test=20, kind="rolling")

    assert [(each.train_first, each.train_stop, each.test_first, each.test_stop) for each in windows] == [
        (0, 40, 40, 60),
        (20, 60, 60, 80),
        (40, 80, 80, 100),
    ]


def test_anchored_windows_grow_and_a_gap_is_left_out() -> None:
    windows = walk_forward(100, train=40, test=25, kind="anchored", gap=5)

    assert [(each.train_first, each.train_stop, each.test_first, each.test_stop) for each in windows] == [
        (0, 40, 45, 70),
        (0, 65, 70, 95),
    ]


def test_a_last_test_of_less_than_half_its_length_is_left_out() -> None:
    assert walk_forward(69, train=40, test=20, kind="rolling")[-1].test_stop == 60
    assert walk_forward(70, train=40, test=20, kind="rolling")[-1].test_stop == 70


@pytest.mark.parametrize(("count", "train", "test"), [(50, 45, 20), (50, 0, 5), (10_000, 10, 1)])
def test_windows_that_cannot_be_are_refused(count: int, train: int, test: int) -> None:
    with pytest.raises(FoldError):
        walk_forward(count, train=train, test=test, kind="rolling")


def test_purging_keeps_training_away_from_the_test_on_both_sides_and_the_embargo_after_it() -> None:
    splits = purged(100, 5, purge=3, embargo=4)

    assert len(splits) == 5
    middle = splits[2]
    assert middle.test.tolist() == list(range(40, 60))
    assert middle.train.tolist() == [*range(37), *range(67, 100)]
    assert np.concatenate([each.test for each in splits]).tolist() == list(range(100))


def test_combinations_test_every_group_equally_often_and_never_train_on_it() -> None:
    splits = combinatorial(60, 6, 2, purge=1)

    assert len(splits) == 15
    for split in splits:
        assert not set(split.test) & set(split.train)
    found = paths(6, 2)
    assert len(found) == 5
    for path in found:
        assert [group for _, group in path] == list(range(6))
        assert all(group in splits[number].groups for number, group in path)
    assert len({step for path in found for step in path}) == 30


def test_folds_that_leave_nothing_to_train_on_are_refused() -> None:
    with pytest.raises(FoldError, match="nothing to train on"):
        purged(10, 2, purge=5)
    with pytest.raises(FoldError, match="at least one"):
        combinatorial(10, 3, 3)
