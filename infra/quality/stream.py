"""Bars judged one by one as they come: what live data gets, with the answers that a whole frame would get."""

from collections import deque
from dataclasses import dataclass

import numpy as np

from infra.quality import measures
from infra.quality.hours import TradingHours
from infra.quality.measures import DAY_SECONDS, Missing, Prices
from infra.quality.rules import RANGES_MIN, RULES, WINDOW, Effect, Found
from infra.quality.values import broken_rule
from schemas.market import PriceKind


@dataclass(frozen=True)
class Series:
    """What the bars that are compared with each other have in common."""

    size_seconds: int
    hours: TradingHours | None = None
    price_kind: PriceKind = PriceKind.TRADES


class BarJudge:
    """Remembers of one series what the rules look back at. Bars come in the order in which the gateway gave them."""

    def __init__(self, series: Series) -> None:
        self._series = series
        self._last: Prices | None = None
        self._closes: deque[float] = deque(maxlen=WINDOW)
        self._ranges: deque[float] = deque(maxlen=WINDOW)
        self._repeats = 1

    def judge(self, bar: Prices, now_us: int | None = None) -> list[Found]:
        """Everything found about a bar: an error comes alone; nothing, or warnings, when it may pass."""
        if (error := self._impossible(bar, now_us)) is not None:
            return [error]
        if self._last is not None and (misplaced := measures.order(bar, self._last)) is not None:
            return [misplaced]
        found = self._against_the_past(bar)
        if self._series.price_kind is PriceKind.TRADES and not _kept_out(found):
            found += [each for each in [measures.zero_volume(bar, self._series.size_seconds)] if each]
        self._remember(bar)
        return found

    def _impossible(self, bar: Prices, now_us: int | None) -> Found | None:
        if (broken := broken_rule(bar._asdict())) is not None:
            return Found(*broken)
        if now_us is not None and (found := measures.future(bar, now_us)) is not None:
            return found
        hours = self._series.hours
        if hours is not None and hours.outside(_one(bar.start_us), _one(bar.end_us))[0]:
            return measures.outside()
        return None

    def _against_the_past(self, bar: Prices) -> list[Found]:
        last, size = self._last, self._series.size_seconds
        if last is None:
            return []
        median = _low_median(self._closes)
        before = measures.reference(bar.open, last.close, median)
        missing = self._missing(bar, last)
        undivided = measures.split_reference(bar.open, last.close, median)
        split = measures.split(bar, undivided) if size >= DAY_SECONDS or missing.other_session else None
        if split is None and (bad := measures.bad_print(bar, last.close, median)) is not None:
            return [bad]
        found = [split]
        if split is None and len(self._ranges) >= RANGES_MIN:
            found.append(measures.spike(self._width(bar, last, before), _low_median(self._ranges), before))
        found.append(measures.stale(self._repeats + 1 if self._repeated(bar) else 1))
        if self._series.hours is not None:
            found.append(measures.gap(missing, size, self._series.hours, last.end_us))
        return [each for each in found if each is not None]

    def _missing(self, bar: Prices, last: Prices) -> Missing:
        if self._series.hours is None:
            return Missing(0, 0, other_session=False)
        traded, sessions, other = self._series.hours.missing(_one(last.end_us), _one(bar.start_us))
        return Missing(int(traded[0]), int(sessions[0]), bool(other[0]))

    def _width(self, bar: Prices, last: Prices, before: float) -> float:
        """Across a pause of small bars only a bar's own range counts."""
        if self._series.size_seconds >= DAY_SECONDS or bar.start_us == last.end_us:
            return measures.true_range(bar.high, bar.low, before)
        return bar.high - bar.low

    def _repeated(self, bar: Prices) -> bool:
        return self._last is not None and bar.volume > 0 and bar[2:] == self._last[2:]

    def _remember(self, bar: Prices) -> None:
        self._repeats = self._repeats + 1 if self._repeated(bar) else 1
        if self._last is None:
            self._ranges.append(bar.high - bar.low)
        else:
            before = measures.reference(bar.open, self._last.close, _low_median(self._closes))
            self._ranges.append(self._width(bar, self._last, before))
        self._closes.append(bar.close)
        self._last = bar


def _kept_out(found: list[Found]) -> bool:
    return any(RULES[each.rule].effect is not Effect.PASSES for each in found)


def _one(moment_us: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    return np.array([moment_us], dtype=np.int64)


def _low_median(values: deque[float]) -> float:
    """The lower one of the two in the middle, if there are two: a value that occurred."""
    return sorted(values)[(len(values) - 1) // 2]
