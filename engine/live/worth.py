"""How much what a strategy earns moves from bar to bar: the base of allocation."""

import math
from collections import deque
from itertools import pairwise

_SAMPLES_MAX = 250
STEPS_LEAST = 20
"""Fewer say nothing of how much it moves."""


class Worth:
    """What it had earned at each of the last bars."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=_SAMPLES_MAX)

    def sample(self, pnl: float) -> None:
        self._samples.append(pnl)

    @property
    def volatility(self) -> float | None:
        """Standard deviation of what it earns from one bar to the next; None while there is too little to tell."""
        steps = [after - before for before, after in pairwise(self._samples)]
        if len(steps) < STEPS_LEAST:
            return None
        mean = sum(steps) / len(steps)
        return math.sqrt(sum((each - mean) ** 2 for each in steps) / (len(steps) - 1)) or None
