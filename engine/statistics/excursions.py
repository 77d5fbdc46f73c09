"""How far prices went against a trade, and for it, while it was held."""

from collections.abc import Sequence

import numpy as np

from engine.columns import BarColumns, Floats, Integers
from engine.ledger import RoundTrip


def excursions(columns: BarColumns, trips: Sequence[RoundTrip]) -> tuple[Floats, Floats]:
    """Maximum adverse and favourable excursion of each trip, as fractions of its entry price; shape `(trips,)` each.

    Looked at are the bars that end after the entry and begin before the exit, whole, and the exit's price: what a bar
    shows before an entry or after an exit within it cannot be told apart, so both ends err on the wide side. NaN for
    an entry at a price of zero.
    """
    adverse, favourable = np.full(len(trips), np.nan), np.full(len(trips), np.nan)
    ids = np.array([trip.contract_id for trip in trips], dtype=np.int64)
    for contract_id, own in columns.rows.items():
        mine = ids == contract_id
        chosen = [trip for trip in trips if trip.contract_id == contract_id]
        if chosen:
            low, high = _range(columns, own, chosen)
            entry = np.array([trip.entry_price for trip in chosen])
            long = np.array([trip.quantity > 0 for trip in chosen])
            size = np.where(entry == 0, np.nan, np.abs(entry))
            down, up = np.minimum(low - entry, 0) / size, np.maximum(high - entry, 0) / size
            adverse[mine], favourable[mine] = np.where(long, down, -up), np.where(long, up, -down)
    return adverse, favourable


def _range(columns: BarColumns, own: Integers, trips: Sequence[RoundTrip]) -> tuple[Floats, Floats]:
    """Lowest and highest price of each trip's time."""
    low, high = extremes(columns, own, [trip.entry_us for trip in trips], [trip.exit_us for trip in trips])
    left = np.array([trip.exit_price for trip in trips])
    return np.minimum(low, left), np.maximum(high, left)


def extremes(columns: BarColumns, own: Integers, entries: Sequence[int], exits: Sequence[int]) -> tuple[Floats, Floats]:
    """Lowest low and highest high of the bars that end after an entry and begin before its exit; infinite where there
    are none."""
    first = np.searchsorted(columns.end_us[own], entries, side="right")
    stop = np.searchsorted(columns.start_us[own], exits, side="left")
    cuts = np.stack((first, np.maximum(stop, first)), axis=1).ravel()
    low = np.minimum.reduceat(np.append(columns.low[own], np.inf), cuts)[::2]
    high = np.maximum.reduceat(np.append(columns.high[own], -np.inf), cuts)[::2]
    empty = stop <= first  # reduceat gives the bar at the cut where there is none between
    return np.where(empty, np.inf, low), np.where(empty, -np.inf, high)
