"""Bars judged by column, a whole answer at once: the arrays find the suspects, `measures` has the say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.quality import measures
from infra.quality.measures import DAY_SECONDS, RATIOS, SECOND_US, Missing, Prices
from infra.quality.rules import (
    BAD_FACTOR,
    FUTURE_SECONDS,
    GAP_SECONDS,
    QUIET,
    RANGES_MIN,
    RULES,
    SPIKE_RANGES,
    SPLIT_TOLERANCE,
    STALE_REPEATS,
    TREND_MAX,
    WINDOW,
    Effect,
    Found,
)
from infra.quality.stream import Series
from infra.quality.values import broken_rule
from schemas.market import PriceKind

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]
Flags = NDArray[np.bool_]
_COLUMNS = Prices._fields
_LOW_MIDDLE = (WINDOW - 1) // 2
_COUNTS = np.arange(1, WINDOW)[:, None]
_ABSENT = np.arange(WINDOW) < WINDOW - _COUNTS
"""Of windows that begin before the first value: what of them is not there ..."""
_BEYOND = np.where(np.arange(WINDOW) < _LOW_MIDDLE - (_COUNTS - 1) // 2, -np.inf, np.inf)
"""... and what stands there, so many below and the rest above all values that the low median is in the same place."""
_Columns = Mapping[str, NDArray[Any]]
"""The arrays of a frame: of an answer's few hundred bars they are seen through much sooner than a frame is built."""


@dataclass(frozen=True)
class Judged:
    """What a frame showed: the rows that may pass, in their order, and what was found, by row of the frame."""

    passing: pl.DataFrame
    found: tuple[tuple[int, Found], ...]

    def kept_out(self) -> list[tuple[int, Found]]:
        return [(row, each) for row, each in self.found if RULES[each.rule].effect is Effect.KEPT_OUT]


def judge(
    frame: pl.DataFrame, series: Series, *, now_us: int | None = None, before: pl.DataFrame | None = None
) -> Judged:
    """Judge the bars of one series in the order in which the gateway gave them.

    `frame` has at least the columns of Prices. `before`: bars of the series that were judged earlier and come right
    before these, WINDOW of them at most count.
    """
    earlier = frame.head(0) if before is None else before.tail(2 * WINDOW)
    known = len(earlier)
    both = {name: np.concatenate([part[name].to_numpy() for part in (earlier, frame)]) for name in _COLUMNS}
    found: dict[int, list[Found]] = {}
    possible = _possible(both, series, now_us, found)
    ordered = _in_order(both, possible, found)
    if len(ordered):
        _against_the_past(_Arrays(both, ordered), series, found)
    told = tuple((row - known, each) for row in sorted(found) if row >= known for each in found[row])
    held = {row for row, each in told if not each.passes}
    passing = frame.filter(~pl.Series(np.isin(np.arange(len(frame)), list(held)))) if held else frame
    return Judged(passing, told)


def _bar(columns: _Columns, row: int) -> Prices:
    return Prices(*(columns[name][row].item() for name in _COLUMNS))


def _possible(values: _Columns, series: Series, now_us: int | None, found: dict[int, list[Found]]) -> Numbers:
    """The rows that can be true by themselves."""
    broken = ~np.isfinite([values[name] for name in _COLUMNS[2:]]).all(axis=0) | (values["volume"] < 0)
    broken |= values["low"] > np.minimum(values["open"], values["close"])
    broken |= values["high"] < np.maximum(values["open"], values["close"])
    for row in np.flatnonzero(broken).tolist():
        rule = broken_rule(_bar(values, row)._asdict())
        assert rule is not None, "the arrays and the rule ask the same"
        found[row] = [Found(*rule)]
    if now_us is not None:
        ahead = ~broken & (values["end_us"] - now_us > FUTURE_SECONDS * SECOND_US)
        for row in np.flatnonzero(ahead).tolist():
            found[row] = [each for each in [measures.future(_bar(values, row), now_us)] if each]
        broken |= ahead
    if series.hours is not None:
        outside = ~broken & series.hours.outside(values["start_us"], values["end_us"])
        found.update({row: [measures.outside()] for row in np.flatnonzero(outside).tolist()})
        broken |= outside
    return np.flatnonzero(~broken)


def _in_order(both: _Columns, rows: Numbers, found: dict[int, list[Found]]) -> Numbers:
    """Of the possible rows those that start later than all before them."""
    starts = both["start_us"][rows]
    highest = np.maximum.accumulate(starts)
    later = np.ones(len(rows), dtype=bool)
    later[1:] = starts[1:] > highest[:-1]
    last = np.maximum.accumulate(np.where(later, np.arange(len(rows)), 0))
    for place in np.flatnonzero(~later).tolist():
        bar, previous = _bar(both, rows[place]), _bar(both, rows[last[place]])
        rule = measures.order(bar, previous)
        assert rule is not None, "it does not start later"
        found[int(rows[place])] = [rule]
    return rows[later]


class _Arrays:
    """The bars that are compared with those before them; `rows` are their rows in the frame."""

    def __init__(self, both: _Columns, rows: Numbers) -> None:
        self.columns = {name: values[rows] for name, values in both.items()}
        self.rows = rows.tolist()
        self.start, self.end, self.open, self.high, self.low, self.close, self.volume = self.columns.values()
        self.last_close = _shifted(self.close)
        self.median_close = _shifted(_low_medians(self.close, 1))
        nearer = np.abs(self.open - self.last_close) <= np.abs(self.open - self.median_close)
        self.before = np.where(nearer, self.last_close, self.median_close)
        trend = np.abs(self.last_close - self.median_close) <= TREND_MAX * self.median_close
        self.undivided = np.where(trend, self.last_close, self.before)

    def bar(self, place: int) -> Prices:
        return _bar(self.columns, place)


def _shifted(values: Floats) -> Floats:
    return np.concatenate([[np.nan], values[:-1]])


def _low_medians(values: Floats, least: int) -> Floats:
    """Of each value and those before it, WINDOW at most; NaN where there are fewer than `least`."""
    windows = np.lib.stride_tricks.sliding_window_view(np.concatenate([np.zeros(WINDOW - 1), values]), WINDOW)
    short = min(WINDOW - 1, len(values))
    filled = np.concatenate([np.where(_ABSENT[:short], _BEYOND[:short], windows[:short]), windows[short:]])
    medians: Floats = np.partition(filled, _LOW_MIDDLE, axis=1)[:, _LOW_MIDDLE]
    medians[: least - 1] = np.nan
    return medians


def _against_the_past(some: _Arrays, series: Series, found: dict[int, list[Found]]) -> None:
    places: dict[int, list[Found | None]] = {}
    traded, sessions, other = _missing(some, series)
    daily = series.size_seconds >= DAY_SECONDS
    splits = _splits(some, other | daily)
    bad = _bad_prints(some, set(splits))
    for place, each in [*splits.items(), *_spikes(some, series, {*splits, *bad}), *_stale(some)]:
        places.setdefault(place, []).append(each)
    if series.hours is not None:
        suspects = (sessions > 0) if daily else (traded > GAP_SECONDS * SECOND_US)
        for place in (np.flatnonzero(suspects[1:]) + 1).tolist():
            missing = Missing(int(traded[place]), int(sessions[place]), bool(other[place]))
            each = measures.gap(missing, series.size_seconds, series.hours, int(some.end[place - 1]))
            places.setdefault(place, []).append(each)
    if series.price_kind is PriceKind.TRADES:
        for place in np.flatnonzero(some.volume == 0).tolist():
            places.setdefault(place, []).append(measures.zero_volume(some.bar(place), series.size_seconds))
    for place, all_of_it in places.items():
        if told := [each for each in all_of_it if each is not None]:
            found[some.rows[place]] = told
    found.update({some.rows[place]: [each] for place, each in bad.items()})


def _missing(some: _Arrays, series: Series) -> tuple[Numbers, Numbers, Flags]:
    """Before each bar; nothing before the first one."""
    count = len(some.start)
    if series.hours is None:
        return np.zeros(count, np.int64), np.zeros(count, np.int64), np.zeros(count, bool)
    ends = np.concatenate([some.start[:1], some.end[:-1]])
    traded, sessions, other = series.hours.missing(ends, some.start)
    other[:1] = False
    return traded, sessions, other


def _splits(some: _Arrays, firsts: Flags) -> dict[int, Found]:
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where((some.undivided > 0) & (some.low > 0), some.undivided / some.open, np.nan)
        near = np.zeros(len(ratio), dtype=bool)
        for each in RATIOS:
            near |= np.abs(ratio / each - 1) <= SPLIT_TOLERANCE
    found = {}
    for place in np.flatnonzero(near & firsts).tolist():
        if (split := measures.split(some.bar(place), float(some.undivided[place]))) is not None:
            found[place] = split
    return found


def _bad_prints(some: _Arrays, splits: set[int]) -> dict[int, Found]:
    far = np.ones(len(some.close), dtype=bool)
    with np.errstate(invalid="ignore"):
        for known in (some.last_close, some.median_close):
            far &= (known > 0) & ((some.high > known * BAD_FACTOR) | (some.low < known / BAD_FACTOR))
    found = {}
    for place in np.flatnonzero(far).tolist():
        each = measures.bad_print(some.bar(place), float(some.last_close[place]), float(some.median_close[place]))
        if each is not None and place not in splits:
            found[place] = each
    return found


def _spikes(some: _Arrays, series: Series, but: set[int]) -> Iterator[tuple[int, Found | None]]:
    width = some.high - some.low
    goes_on = np.ones(len(width), dtype=bool)
    if series.size_seconds < DAY_SECONDS:
        goes_on[1:] = some.start[1:] == some.end[:-1]
    goes_on[:1] = False
    true = np.maximum(some.high, some.before) - np.minimum(some.low, some.before)
    width = np.where(goes_on, true, width)
    usual = _shifted(_low_medians(width, RANGES_MIN))
    with np.errstate(invalid="ignore"):
        suspects = width > SPIKE_RANGES * np.maximum(usual, QUIET * np.abs(some.before))
    for place in np.flatnonzero(suspects).tolist():
        if place not in but:
            yield place, measures.spike(float(width[place]), float(usual[place]), float(some.before[place]))


def _stale(some: _Arrays) -> Iterator[tuple[int, Found | None]]:
    same = some.volume > 0
    for values in (some.open, some.high, some.low, some.close, some.volume):
        same[1:] &= values[1:] == values[:-1]
    same[:1] = False
    numbers = np.arange(len(same))
    repeats = numbers - np.maximum.accumulate(np.where(same, 0, numbers)) + 1
    for place in np.flatnonzero(repeats == STALE_REPEATS).tolist():
        yield place, measures.stale(int(repeats[place]))
