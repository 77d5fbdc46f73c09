"""The questions that both ways of judging ask, each answered in one place, for one bar at a time."""

import math
import re
from typing import NamedTuple

from infra.quality.hours import TradingHours
from infra.quality.rules import (
    BAD_FACTOR,
    FUTURE_SECONDS,
    GAP_SECONDS,
    GAP_SECONDS_AT_THE_EDGES,
    QUIET,
    SPIKE_RANGES,
    SPLIT_TOLERANCE,
    SPLITS,
    STALE_REPEATS,
    TREND_MAX,
    Found,
)
from schemas.market import QuarantineRule

SECOND_US = 1_000_000
DAY_SECONDS = 86_400
_JUMP = re.compile(r"open ([\d.e+-]+) after ([\d.e+-]+): like a split of ")
RATIOS = (*SPLITS, *(1 / each for each in SPLITS))


class Prices(NamedTuple):
    """What of a bar is judged; its times are microseconds since 1970."""

    start_us: int
    end_us: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Missing(NamedTuple):
    """What a calendar says of the time between two bars."""

    traded_us: int
    sessions: int
    other_session: bool


def future(bar: Prices, now_us: int) -> Found | None:
    if bar.end_us - now_us > FUTURE_SECONDS * SECOND_US:
        ahead = (bar.end_us - now_us) / SECOND_US
        return Found(QuarantineRule.FROM_THE_FUTURE, f"it ends {ahead:.0f} s after the market's present time")
    return None


def outside() -> Found:
    return Found(QuarantineRule.OUTSIDE_SESSION, "no session of the exchange has a moment of it")


def order(bar: Prices, last: Prices) -> Found | None:
    """How a bar stands to the one with the latest start so far."""
    if bar.start_us > last.start_us:
        return None
    if bar.start_us < last.start_us:
        behind = (last.start_us - bar.start_us) / SECOND_US
        return Found(QuarantineRule.OUT_OF_ORDER, f"it starts {behind:.0f} s before the bar that came before it")
    if bar[2:] == last[2:]:
        return Found(QuarantineRule.DUPLICATE, "the same bar again")
    return Found(QuarantineRule.CONTRADICTION, f"the bar of this start had close {last.close:g}, not {bar.close:g}")


def reference(opening: float, last_close: float, median_close: float) -> float:
    """The price that a bar is compared with: the nearer one of the last close, which may be a misprint, and the
    median close, which may be of before a change."""
    return last_close if abs(opening - last_close) <= abs(opening - median_close) else median_close


def split_reference(opening: float, last_close: float, median_close: float) -> float:
    """The price that a split would have divided: the last close, also after a rise, unless it looks like a misprint."""
    if abs(last_close - median_close) <= TREND_MAX * median_close:
        return last_close
    return reference(opening, last_close, median_close)


def split(bar: Prices, before: float) -> Found | None:
    """Whether a bar stands to the price before as after a split."""
    if before <= 0 or bar.low <= 0:
        return None
    found = before / bar.open
    near = min(RATIOS, key=lambda ratio: abs(math.log(found / ratio)))
    if abs(found / near - 1) > SPLIT_TOLERANCE or bar.high / bar.low >= BAD_FACTOR:
        return None
    words = f"{near:g} for 1" if near > 1 else f"1 for {1 / near:g}"
    return Found(QuarantineRule.SPLIT_LIKE, f"open {bar.open:g} after {before:g}: like a split of {words}")


def split_explains(reason: str, ratio: float) -> bool:
    """Whether new shares for one old make the jump that `split` gave this reason for."""
    told = _JUMP.match(reason)
    if told is None:
        return False
    opening, before = float(told[1]), float(told[2])
    return opening > 0 and abs(before / opening / ratio - 1) <= SPLIT_TOLERANCE


def bad_print(bar: Prices, last_close: float, median_close: float) -> Found | None:
    for known in (last_close, median_close):
        if known <= 0 or (bar.high <= known * BAD_FACTOR and bar.low >= known / BAD_FACTOR):
            return None
    return Found(QuarantineRule.BAD_PRINT, f"{bar.low:g}..{bar.high:g} after {last_close:g} (median {median_close:g})")


def true_range(high: float, low: float, before: float) -> float:
    """How far the price went, counted from where it was."""
    return max(high, before) - min(low, before)


def spike(width: float, median_range: float, price: float) -> Found | None:
    usual = max(median_range, QUIET * abs(price))
    if usual > 0 and width > SPIKE_RANGES * usual:
        return Found(QuarantineRule.SPIKE, f"a range of {width:g}, {width / usual:.1f} times the usual {usual:g}")
    return None


def stale(repeats: int) -> Found | None:
    if repeats != STALE_REPEATS:
        return None
    return Found(QuarantineRule.STALE, f"{STALE_REPEATS} bars in a row are the same in every price and in volume")


def gap(missing: Missing, size_seconds: int, hours: TradingHours, last_end_us: int) -> Found | None:
    if size_seconds >= DAY_SECONDS:
        found = size_seconds == DAY_SECONDS and missing.sessions > 0
        words = f"{missing.sessions} sessions are missing before it"
    else:
        patience = GAP_SECONDS_AT_THE_EDGES if missing.other_session else max(GAP_SECONDS, size_seconds)
        found = missing.traded_us > patience * SECOND_US
        words = f"{missing.traded_us / SECOND_US:.0f} s of trading are missing before it"
    return Found(QuarantineRule.GAP, words) if found and hours.knows(last_end_us) else None


def zero_volume(bar: Prices, size_seconds: int) -> Found | None:
    if bar.volume == 0 and (bar.high > bar.low or size_seconds >= DAY_SECONDS):
        return Found(QuarantineRule.ZERO_VOLUME, f"no volume in {bar.low:g}..{bar.high:g}")
    return None
