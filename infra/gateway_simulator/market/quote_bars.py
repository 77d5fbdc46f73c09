"""Bars of BID_ASK as IB makes them: open and close are the averages of bid and ask over the bar's time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from infra.gateway_simulator.instruments.calendar import BAR_SECONDS, Session
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.bars import DAY, WEEK, Candle, Span
from infra.gateway_simulator.market.intraday import PRINT_OFFSETS, DayPath
from infra.gateway_simulator.market.market import World
from infra.gateway_simulator.market.noise import Integers
from infra.gateway_simulator.market.prices import UNITS, PriceRule

_QUARTERS = 4  # of a second: everything happens on them
_TURNS = np.array([round(each * _QUARTERS) for each in PRINT_OFFSETS[1:]])  # when a bar's next price holds
_BAR = BAR_SECONDS * _QUARTERS
_DAYS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Weighed:
    """Sums over a day's five-second bars of price times quarter-seconds, each beginning with 0: bid and ask."""

    bid: Integers
    ask: Integers

    @classmethod
    def of(cls, path: DayPath, rule: PriceRule) -> "Weighed":
        rising = path.close >= path.open
        first, second = np.where(rising, path.low, path.high), np.where(rising, path.high, path.low)
        way = np.stack([path.open, first, second, path.close])
        turns = np.vstack([np.zeros(way.shape[1], dtype=bool), way[1:] != way[:-1]])
        place = np.cumsum(turns, axis=0)
        begins = np.concatenate([[0], _TURNS])[place]
        # a price that is the one before again takes no time, its end being the same as its beginning
        ends = np.vstack([begins[1:], np.full(way.shape[1], _BAR)])
        held = ends - begins
        return cls(_summed(bids(rule, way) * held), _summed(asks(rule, way) * held))

    def between(self, first: int, last: int) -> tuple[float, float]:
        """Average bid and ask of the bars `first` to `last - 1`, in units."""
        time = (last - first) * _BAR
        return float(self.bid[last] - self.bid[first]) / time, float(self.ask[last] - self.ask[first]) / time


def bids(rule: PriceRule, prices: Integers) -> Integers:
    """`PriceRule.bid_of`, for many."""
    step = rule.steps_of(np.maximum(prices - rule.least, 0))
    found: Integers = np.maximum(prices // step - 1, 1) * step
    return found


def asks(rule: PriceRule, prices: Integers) -> Integers:
    """`PriceRule.ask_of`, for many."""
    step = rule.steps_of(prices)
    found: Integers = np.maximum(-(-prices // step) + 1, 2) * step
    return found


def _summed(weighed: Integers) -> Integers:
    found: Integers = np.concatenate([[0], np.cumsum(weighed.sum(axis=0))])
    return found


def bid_ask_candles(world: World, instrument: Instrument, span: Span) -> Iterator[list[Candle]]:
    """Bars in order, in portions that take some milliseconds each."""
    if span.size > DAY:
        yield _long(world, instrument, span)
        return
    for portion in world.history.candles(instrument, span):
        at_once = _DAYS_AT_ONCE if span.size == DAY else max(len(portion), 1)
        for at in range(0, len(portion), at_once):
            yield list(_averaged(world, instrument, span, portion[at : at + at_once]))


def _averaged(world: World, instrument: Instrument, span: Span, candles: list[Candle]) -> Iterator[Candle]:
    for day, group in groupby(candles, key=lambda each: each.day):
        session, of_day = span.hours(instrument).session(day), list(group)
        path = world.path(instrument, session)
        assert path is not None, "there are bars of the day"
        weighed, factor = Weighed.of(path, instrument.rule), _factor(world, instrument, session, span.now)
        complete = min(session.bars, int((min(span.end, span.now) - session.open) // BAR_SECONDS))
        starts = [(each.start - session.open) // BAR_SECONDS for each in of_day]
        ends = [*starts[1:], _end_of_last(starts[-1], span.size, session, complete)]
        for each, first, last in zip(of_day, starts, ends, strict=True):
            bid, ask = weighed.between(first, last)
            yield replace(each, open=round(bid / factor, 6), close=round(ask / factor, 6))


def _end_of_last(start: int, size: int, session: Session, complete: int) -> int:
    if size >= DAY:
        return complete
    clock = session.open_second + start * BAR_SECONDS
    return min(complete, ((clock // size + 1) * size - session.open_second) // BAR_SECONDS)


def _factor(world: World, instrument: Instrument, session: Session, now: float) -> int:
    as_of = world.history.as_of(instrument, now)
    return UNITS * world.series(instrument).split_factor(session.day, as_of)


def _long(world: World, instrument: Instrument, span: Span) -> list[Candle]:
    """Weeks or months: the averages of their days, by the time that each has."""
    daily_span = replace(span, size=DAY)
    daily = [each for portion in bid_ask_candles(world, instrument, daily_span) for each in portion]
    found = [each for portion in world.history.candles(instrument, span) for each in portion]
    made = []
    groups = [list(group) for _, group in groupby(daily, key=lambda each: _period(each, span.size))]
    for candle, days in zip(found, groups, strict=True):
        seen = min(span.end, span.now)
        sessions = [span.hours(instrument).session(each.day) for each in days]
        time = [min(each.close, seen) - each.open for each in sessions]
        opened = sum(each.open * part for each, part in zip(days, time, strict=True)) / sum(time)
        closed = sum(each.close * part for each, part in zip(days, time, strict=True)) / sum(time)
        made.append(replace(candle, open=round(opened, 6), close=round(closed, 6)))
    return made


def _period(candle: Candle, size: int) -> tuple[int, int]:
    return candle.day.isocalendar()[:2] if size == WEEK else (candle.day.year, candle.day.month)
