"""Sessions of a curve: which bars end one, and how many of them a year has."""

import numpy as np

from engine.columns import Floats, Integers
from engine.ledger import Curve

DAY_US = 86_400_000_000


def session_ends(times_us: Integers) -> Integers:
    """Positions of the last time of each UTC date; midnight belongs to the date before."""
    days = (times_us - 1) // DAY_US
    return np.append(np.flatnonzero(np.diff(days)), len(times_us) - 1)


def periods_per_year(ends_us: Integers) -> float | None:
    """How many sessions a year has, from where they end; None for fewer than two."""
    if len(ends_us) < 2:
        return None
    distance = float(np.median(np.diff(ends_us))) / DAY_US
    if distance > 4:
        return 365.25 / distance
    weekday = ((ends_us - 1) // DAY_US + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    return 365.0 if np.count_nonzero(weekday >= 5) >= 0.1 * len(ends_us) else 252.0


def session_returns(curve: Curve, ends: Integers | None = None) -> Floats:
    """`equity / equity of the session before - 1`, the first against the starting cash; shape `(sessions,)`.

    Empty when equity fell to zero or below on the way, or when there are fewer than two sessions: no return means
    anything then. `ends` are the curve's `session_ends`, from whoever has them.
    """
    ends = session_ends(curve.times_us) if ends is None else ends
    equity = np.concatenate(([curve.cash], curve.equity[ends]))
    return equity[1:] / equity[:-1] - 1 if len(equity) > 2 and bool((equity > 0).all()) else np.empty(0)
