"""Parts of the bars by session, with or without the bars before them that indicators need."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from engine.backtest import BacktestResult
from engine.columns import COLUMNS, BarColumns, Integers
from engine.ledger import Curve

DAY_US = 86_400_000_000
_CUTS_MAX = 8


@dataclass(frozen=True)
class Stretch:
    """Sessions from day `first` up to, not including, day `stop` (days since 1970).

    A `warm` one is preceded by just the bars that the strategy's indicators need, on which it is not asked yet.
    """

    first: int
    stop: int
    warm: bool = False


def days_of(ends_us: Integers) -> Integers:
    """The session, by days since 1970, that each bar's end belongs to: midnight belongs to the day before."""
    days: Integers = (ends_us - 1) // DAY_US
    return days


def part_of(columns: BarColumns, stretch: Stretch, before: int = 0) -> BarColumns:
    """The bars of a stretch, and of each contract that has some there as many as `before` of those before it."""
    day = days_of(columns.end_us)
    keep = (day >= stretch.first) & (day < stretch.stop)
    if before:
        for own in columns.rows.values():
            inside = np.flatnonzero(keep[own])
            if len(inside):
                keep[own[max(int(inside[0]) - before, 0) : int(inside[0])]] = True
    if bool(keep.all()):
        return columns
    return replace(columns, **{name: getattr(columns, name)[keep] for name in COLUMNS})


class Parts:
    """Parts of the same columns, the latest few of them kept."""

    def __init__(self, columns: BarColumns) -> None:
        self.of = lru_cache(maxsize=_CUTS_MAX)(lambda stretch, before: part_of(columns, stretch, before))


def shown_from(result: BacktestResult, stretch: Stretch) -> BacktestResult:
    """Without the sessions before the stretch, in which nothing was held."""
    curve = result.curve
    begin = int(np.searchsorted(days_of(curve.times_us), stretch.first))
    shown = Curve(curve.times_us[begin:], curve.equity[begin:], curve.gross[begin:], curve.cash)
    return replace(result, curve=shown)
