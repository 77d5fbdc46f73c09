"""Cutting time into training and test: walk-forward windows, purged folds, and all combinations of folds.

Source: Lopez de Prado, "Advances in Financial Machine Learning", 2018, chapters 7 (purging, embargo) and 12
(combinatorial purged cross-validation). Times are counted as sessions 0..count-1.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np

from engine.columns import Integers

FOLDS_MAX = 200
SPLITS_MAX = 20_000


class FoldError(ValueError):
    """Time cannot be cut like that: one line that says why."""


@dataclass(frozen=True)
class Window:
    """Training is [train_first, train_stop), the test that follows it [test_first, test_stop), in sessions."""

    train_first: int
    train_stop: int
    test_first: int
    test_stop: int


def walk_forward(
    count: int, *, train: int, test: int, kind: Literal["anchored", "rolling"], gap: int = 0
) -> tuple[Window, ...]:
    """Windows one after the other whose tests tile what follows the first training; the last test may be shorter.

    Anchored training begins at 0 and grows, rolling training keeps its length. `gap` sessions between training and
    test are left out. Raises FoldError when there is no room for one test of at least half its length.
    """
    if train < 1 or test < 1 or gap < 0:
        raise FoldError(f"training ({train}) and test ({test}) need sessions, and a gap ({gap}) is none or more")
    windows = []
    for first in range(train + gap, count, test):
        stop = min(first + test, count)
        if stop - first < (test + 1) // 2:
            break
        train_stop = first - gap
        windows.append(Window(0 if kind == "anchored" else train_stop - train, train_stop, first, stop))
    if not windows:
        raise FoldError(f"{count} sessions leave no room for {train} of training and {test} of test")
    if len(windows) > FOLDS_MAX:
        raise FoldError(f"{len(windows)} folds are too many: at most {FOLDS_MAX}, so make the test longer")
    return tuple(windows)


@dataclass(frozen=True, eq=False)
class Split:
    """Sessions to train on and to test on, both ascending; `groups` are the numbers of the test's groups."""

    train: Integers
    test: Integers
    groups: tuple[int, ...]


def purged(count: int, folds: int, *, purge: int = 0, embargo: int = 0) -> tuple[Split, ...]:
    """Each of `folds` parts is the test once; training keeps `purge` sessions away on both sides of it, and
    `embargo` further ones after it (2018, 7.4)."""
    return combinatorial(count, folds, 1, purge=purge, embargo=embargo)


def combinatorial(count: int, groups: int, tests: int, *, purge: int = 0, embargo: int = 0) -> tuple[Split, ...]:
    """Every way to take `tests` of `groups` parts as the test (2018, 12.3). Raises FoldError for what cannot be."""
    if not 1 <= tests < groups or count < groups:
        raise FoldError(f"{tests} of {groups} groups over {count} sessions: at least one, and not all of them")
    if comb(groups, tests) > SPLITS_MAX:
        raise FoldError(f"{comb(groups, tests):,} splits are too many: at most {SPLITS_MAX:,}")
    edges = np.linspace(0, count, groups + 1).astype(np.int64)
    found = []
    for chosen in combinations(range(groups), tests):
        test = np.zeros(count, dtype=bool)
        near = np.zeros(count, dtype=bool)
        for each in chosen:
            test[edges[each] : edges[each + 1]] = True
            near[max(edges[each] - purge, 0) : edges[each + 1] + purge + embargo] = True
        train = np.flatnonzero(~near & ~test)
        if not len(train):
            raise FoldError("purging leaves nothing to train on: fewer groups, or a shorter purge")
        found.append(Split(train, np.flatnonzero(test), chosen))
    return tuple(found)


def paths(groups: int, tests: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """The backtest paths through combinatorial splits: each is, group by group, (split number, group).

    Every group is tested in comb(groups - 1, tests - 1) splits, which is how many paths there are (2018, 12.4.1).
    """
    tested: list[list[int]] = [[] for _ in range(groups)]
    for number, chosen in enumerate(combinations(range(groups), tests)):
        for group in chosen:
            tested[group].append(number)
    return tuple(
        tuple((tested[group][path], group) for group in range(groups)) for path in range(comb(groups - 1, tests - 1))
    )
