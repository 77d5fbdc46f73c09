"""Prices in another basis: raw, adjusted for splits, or for dividends too, computed from those that are stored.

A bar was adjusted by whoever gave it for the splits that were in effect then. So a split divides a bar of a time before
it, unless the bar came when the split was in effect already: then it was divided before it came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.errors import UsageError
from schemas.corporate import CorporateAction, Dividend, Split
from schemas.market import Basis
from schemas.moments import to_microseconds

Floats = NDArray[np.float64]
Moments = NDArray[np.int64]
_PRICES = ("open", "high", "low", "close")


class AdjustmentError(UsageError):
    """The actions and the prices contradict each other."""


@dataclass(frozen=True)
class Known:
    """What adjusting is done by. Times in microseconds."""

    actions: Sequence[CorporateAction]
    """In force at the moment that is asked about, see `in_force`."""
    traded_until_us: int
    """Up to here there are bars: what takes effect later has not moved any price yet."""
    closes: pl.DataFrame
    """`end_us`, `ingest_us` and `close` of stored bars of the basis `closes_basis`, sorted: what dividends reduce."""
    closes_basis: Basis = Basis.SPLIT_ADJUSTED


def in_force(actions: Sequence[CorporateAction], now: datetime, as_of: datetime | None = None) -> list[CorporateAction]:
    """The newest revision of each action as known at `as_of` (default: now), without what was taken back."""
    known_by = as_of or now
    newest: dict[tuple[str, object], CorporateAction] = {}
    for action in sorted(actions, key=lambda action: (action.revision, action.ingest_time)):
        if action.ingest_time <= known_by:
            newest[(action.type, action.ex_date)] = action
    held = [action for action in newest.values() if not action.canceled and action.event_time <= known_by]
    return sorted(held, key=lambda action: (action.event_time, action.type))


def adjusted(frame: pl.DataFrame, basis: Basis, known: Known) -> pl.DataFrame:
    """Bars of one contract (columns of BAR_SCHEMA, one stored basis) in another basis."""
    if frame.is_empty():
        return frame.with_columns(basis=pl.lit(basis.value))
    (stored,) = frame["basis"].unique().to_list()
    start, seen = frame["start_us"].to_numpy(), frame["ingest_us"].to_numpy()
    splits = _splits(known)
    shares, price = np.ones(len(frame)), np.ones(len(frame))
    if Basis(stored) is not Basis.RAW:
        shares = shares / _left(splits, start, seen)
    if Basis(stored) is Basis.TOTAL_RETURN:
        price = price / _left(_dividends(known, splits), start, seen)
    if basis is not Basis.RAW:
        shares = shares * _left(splits, start)
    if basis is Basis.TOTAL_RETURN:
        price = price * _left(_dividends(known, splits), start)
    return frame.with_columns(
        *(pl.Series(name, frame[name].to_numpy() * (shares * price)) for name in _PRICES),
        pl.Series("volume", frame["volume"].to_numpy() / shares),
        basis=pl.lit(basis.value),
    )


class _Change(NamedTuple):
    """What an action does to all prices before it."""

    moment_us: int
    seen_since_us: int
    """Prices of before that were first seen from then on have it in them already."""
    part: float
    """What is left of a price."""


def _splits(known: Known) -> list[_Change]:
    return [
        _Change(
            to_microseconds(action.event_time),
            to_microseconds(action.answers_since or action.event_time),
            action.old_shares / action.new_shares,
        )
        for action in known.actions
        if isinstance(action, Split) and to_microseconds(action.event_time) <= known.traded_until_us
    ]


def _left(changes: Sequence[_Change], start: Moments, seen: Moments | None = None) -> Floats:
    """What part of each bar's price the changes after it leave; with `seen`, only those it came after."""
    left = np.ones(len(start))
    for change in changes:
        applies = start < change.moment_us
        if seen is not None:
            applies &= seen >= change.seen_since_us
        left = np.where(applies, left * change.part, left)
    return left


def _dividends(known: Known, splits: Sequence[_Change]) -> list[_Change]:
    """The close before a dividend counts, as it was traded.

    One that came adjusted for dividends too is undone from the last dividend backwards:
    close = what later ones left * (traded - amount).
    """
    ends, closes = known.closes["end_us"].to_numpy(), known.closes["close"].to_numpy()
    seen = known.closes["ingest_us"].to_numpy()
    found: list[_Change] = []
    for action in sorted(known.actions, key=lambda each: each.event_time, reverse=True):
        moment = to_microseconds(action.event_time)
        place = int(np.searchsorted(ends, moment, side="right")) - 1
        if not isinstance(action, Dividend) or moment > known.traded_until_us or place < 0:
            continue
        one = slice(place, place + 1)
        traded = float(closes[place])
        if known.closes_basis is not Basis.RAW:
            traded /= float(_left(splits, ends[one], seen[one])[0])
        if known.closes_basis is Basis.TOTAL_RETURN:
            traded /= float(_left(found, ends[one], seen[one])[0])
            traded += action.amount if seen[place] >= moment else 0.0
        if action.amount >= traded:
            raise AdjustmentError(
                f"the dividend of {action.amount:g} on {action.ex_date} is not less than the close of {traded:g} "
                "before it: correct it with `scizor data action add`"
            )
        found.append(_Change(moment, moment, 1 - action.amount / traded))
    return found
