"""What trades before and after the regular hours: thin days of their own, a bridge from each close to the next open.

Both are drawn from the seed, also around real days, whose own bars are those of the regular hours alone.
"""

from dataclasses import dataclass

from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.daily import DailyBar, DailySeries
from infra.gateway_simulator.market.noise import pick

BUSY_PART = 6  # one bar in so many has trades
_SHARE = (20, 60)  # of the way to the next open that is gone in the evening: per cent, and at most so many more
_VOLUME = (5, 25)  # of the day's volume, in thousandths
_REACH = 20  # by at most so many ten-thousandths of the price a wing goes beyond its ends


@dataclass(frozen=True, slots=True)
class Wings:
    """The hours before and those after, each as a bar in units of its day."""

    before: DailyBar
    after: DailyBar

    def around(self, day: DailyBar) -> DailyBar:
        """The whole day as one bar."""
        every = (self.before, day, self.after)
        return DailyBar(
            day.day,
            self.before.open,
            max(each.high for each in every),
            min(each.low for each in every),
            self.after.close,
            sum(each.volume for each in every),
        )


def wings(seed: int, instrument: Instrument, series: DailySeries, day: DailyBar) -> Wings:
    """Those of one day; the first and the last day that there is begin and end where their regular hours do."""
    last = series.before(day.day)
    opened = day.open
    if last is not None:
        opened = _evening(seed, instrument, series, last) // series.split_factor(last.day, day.day)
    evening = _evening(seed, instrument, series, day)
    return Wings(
        _bar(seed, instrument, day, "before", (opened, day.open)),
        _bar(seed, instrument, day, "after", (day.close, evening)),
    )


def _evening(seed: int, instrument: Instrument, series: DailySeries, day: DailyBar) -> int:
    """The price at which the last trade of the evening happens: part of the way to the next open."""
    following = series.after(day.day)
    if following is None or not day.volume:
        return day.close
    target = following.open * series.split_factor(day.day, following.day)
    gone = _SHARE[0] + pick(_SHARE[1], seed, instrument.key, "evening", day.day.toordinal())
    step = instrument.rule.step_at(day.close)
    return max((day.close + (target - day.close) * gone // 100) // step * step, step)


def _bar(seed: int, instrument: Instrument, day: DailyBar, part: str, ends: tuple[int, int]) -> DailyBar:
    step = instrument.rule.step_at(min(ends))
    name = (seed, instrument.key, part, day.day.toordinal())
    above, below = (pick(_REACH, *name, side) * ends[0] // 10_000 // step * step for side in ("above", "below"))
    volume = day.volume * (_VOLUME[0] + pick(_VOLUME[1], *name, "volume")) // 1000
    if not volume:  # nothing trades, so nothing moves on the way
        above = below = 0
    return DailyBar(day.day, ends[0], max(ends) + above, max(min(ends) - below, min(*ends, step)), ends[1], volume)
