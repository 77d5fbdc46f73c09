"""After how many bars a recursion has forgotten where it began, to a relative 1e-9.

An average whose newest value weighs `w` keeps `exp(-w * bars)` of its start. 24 exponents leave 4e-11, enough for a
start that was off by some times the value; an average of an average takes a few exponents more.
"""

import math

_EXPONENTS = 24.0
_EXPONENTS_EACH_STAGE = 4.0


def _bars(weight: float, stages: int) -> int:
    return math.ceil((_EXPONENTS + _EXPONENTS_EACH_STAGE * (stages - 1)) / weight)


def exponential(size: float, stages: int = 1) -> int:
    """Bars beyond the first value for `stages` exponential averages of `size`, whose values weigh 2 / (size + 1)."""
    return _bars(2.0 / (size + 1), stages)


def wilder(size: float, stages: int = 1) -> int:
    """The same for Wilder's averages, whose values weigh 1 / size."""
    return _bars(1.0 / size, stages)


def adaptive() -> int:
    """The same for Kaufman's average where it is slowest, in a market that goes nowhere: (2 / 31) squared."""
    return _bars((2.0 / 31.0) ** 2, 1)
