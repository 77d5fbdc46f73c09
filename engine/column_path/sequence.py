"""In which order executions of several contracts happen."""

import numpy as np
from numpy.typing import NDArray

from engine.columns import BarColumns, Integers

Booleans = NDArray[np.bool_]


def in_order(columns: BarColumns, rows: Integers, inside: Booleans | None = None) -> Integers:
    """The places of executions, told contract after contract, in the order they happen in a run: those at an open, by
    time and contract, as soon as a bar that ends after it is in hand; those `inside` a bar with its end."""
    starts, contracts = columns.start_us[rows], columns.contract_id[rows]
    if inside is None:
        return np.argsort(starts, kind="stable")
    met = np.searchsorted(columns.end_us, starts, side="right")
    return np.lexsort(
        (np.where(inside, 0, contracts), np.where(inside, 0, starts), inside, np.where(inside, rows, met))
    )
