"""How many independent trials there were: those that move together are one family, counted by what differs inside it.

Two hundred neighbours of one parameter set are not two hundred chances to be lucky, nor are they one.
"""

from dataclasses import dataclass

import numpy as np

from engine.columns import Floats, Integers

ALIKE = 0.5
"""Correlation from which two trials belong to one family."""

SERIES_MAX = 5_000
"""Series that are compared; what goes beyond counts as independent, which errs on the careful side."""

_BLOCK = 256
_STILL = 1e-12


@dataclass(frozen=True)
class Families:
    """`trials` as they were run, in how many `families` they fall, and how many `independent` ones they amount to."""

    trials: int
    families: int
    independent: float


def families(returns: Floats, others: int = 0) -> Families:
    """Count the columns of `returns` (times, trials); `others` are trials without a series, each on its own.

    Series that never move are one family together: without a trade there is nothing to be lucky with.
    """
    beyond = max(returns.shape[1] - SERIES_MAX, 0)
    standard, still = _standardised(returns[:, :SERIES_MAX])
    standard = _different(standard)
    labels = _led(standard)
    independent = sum(_inside(standard[:, labels == each]) for each in range(labels.max(initial=-1) + 1))
    alone = beyond + others
    return Families(
        trials=returns.shape[1] + others,
        families=int(labels.max(initial=-1)) + 1 + (still > 0) + alone,
        independent=float(independent + (still > 0) + alone),
    )


def _standardised(returns: Floats) -> tuple[Floats, int]:
    """Columns of mean zero and length one, those that never move taken out; and how many these were."""
    centred = returns - returns.mean(axis=0) if len(returns) else returns
    length = np.sqrt(np.sum(centred * centred, axis=0))
    moving = length > _STILL
    return centred[:, moving] / length[moving], int(np.count_nonzero(~moving))


def _different(standard: Floats) -> Floats:
    """Of columns that are the same the first: a run that is repeated is no other chance."""
    rounded = np.round(standard, 9) + 0.0  # -0.0 and 0.0 are the same, but not byte by byte
    found = {rounded[:, number].tobytes(): number for number in reversed(range(rounded.shape[1]))}
    return standard[:, sorted(found.values())]


def _led(standard: Floats) -> Integers:
    """A family for each column: that of the leader most like it, from ALIKE on; else it leads one of its own.

    Leader clustering (Hartigan, "Clustering Algorithms", 1975, chapter 3): one pass, in the order of the columns.
    """
    count = standard.shape[1]
    labels = np.empty(count, dtype=np.int64)
    leaders: list[int] = []
    for first in range(0, count, _BLOCK):
        block = standard[:, first : first + _BLOCK]
        known = len(leaders)
        to_known = standard[:, leaders].T @ block if known else np.empty((0, block.shape[1]))
        among = block.T @ block
        fresh: list[int] = []
        for place in range(block.shape[1]):
            likeness = np.concatenate((to_known[:, place], among[fresh, place]))
            if len(likeness) and likeness.max() >= ALIKE:
                labels[first + place] = int(likeness.argmax())
            else:
                labels[first + place] = known + len(fresh)
                fresh.append(place)
        leaders += [first + place for place in fresh]
    return labels


def _inside(standard: Floats) -> float:
    """The effective number of independent series among correlated ones, from their correlations' eigenvalues.

    Li and Ji, "Adjusting multiple testing in multilocus analyses using the eigenvalues of a correlation matrix",
    Heredity 95, 2005: the sum over eigenvalues e of [e >= 1] + (e - floor(e)).
    """
    if standard.shape[1] == 1:
        return 1.0
    small = standard.T @ standard if standard.shape[1] <= standard.shape[0] else standard @ standard.T
    values = np.round(np.maximum(np.linalg.eigvalsh(small), 0.0), 8)  # 2.9999999 is 3: nothing is left over
    return float(np.sum((values >= 1) + (values - np.floor(values))))
