"""Historical bars of one second, of volatility and of all other kinds, and how they are dated."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import cache

import numpy as np

from infra.gateway_simulator.history.past_request import IMPLIED
from infra.gateway_simulator.instruments.calendar import BAR_SECONDS, Session
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.instruments.venues import Venue
from infra.gateway_simulator.market.bars import Candle, Span, View
from infra.gateway_simulator.market.figures import volatility
from infra.gateway_simulator.market.intraday import DayPath
from infra.gateway_simulator.market.market import World
from infra.gateway_simulator.market.prints import Prints
from infra.gateway_simulator.market.quote_bars import bid_ask_candles

BID_ASK = "BID_ASK"


@dataclass(frozen=True, slots=True)
class Dates:
    """How the bars of one answer are dated: by days, else in epoch seconds or in the venue's own time."""

    venue: Venue
    daily: bool
    epoch: bool

    def of(self, candle: Candle) -> str:
        if self.daily:
            return f"{candle.day:%Y%m%d}"
        return str(candle.start) if self.epoch else self.venue.ib_text(candle.start)


def candles(world: World, instrument: Instrument, span: Span) -> Iterator[list[Candle]]:
    """Bars in order, in portions that take a few milliseconds each."""
    if span.what == BID_ASK and span.size > 1:
        yield from bid_ask_candles(world, instrument, span)
        return
    if span.size > 1:
        yield from world.history.candles(instrument, span)
        return
    calendar = span.hours(instrument)
    session = calendar.latest(span.begin)
    while session.open < min(span.end, span.now):
        path = world.path(instrument, session)
        if path is not None:
            view = View(
                world.series(instrument),
                (session.day, world.history.as_of(instrument, span.now)),
                span.what,
                instrument.rule,
            )
            begin, end = max(span.begin, session.open), min(span.end, span.now, session.close)
            yield one_second(path, session, view, (int(begin), int(end)))
        session = calendar.following(session.day)


def one_second(path: DayPath, session: Session, view: View, ends: tuple[int, int]) -> list[Candle]:
    """The bars of the seconds between two moments; one without a trade stays where the last one was."""
    begin, end = ends[0] - session.open, ends[1] - session.open
    first, last = max(begin // BAR_SECONDS, 0), min(-(-end // BAR_SECONDS), session.bars)
    prints = Prints.of(path, first, last)
    seconds = prints.offset.astype(np.int64)
    price = int(path.open[first]) if first < last else 0
    made, at = [], 0
    for second in range(first * BAR_SECONDS, last * BAR_SECONDS):
        opened = high = low = close = price
        volume = money = count = 0
        while at < len(prints) and seconds[at] == second:
            close, size = int(prints.price[at]), int(prints.size[at])
            opened, high, low = (close, close, close) if not count else (opened, max(high, close), min(low, close))
            volume, money, count, at = volume + size, money + close * size, count + 1, at + 1
        price = close
        if begin <= second < end:
            start = session.open + second
            made.append(view.candle(start, session.day, (opened, high, low, close), (volume, money, count)))
    return made


def volatility_candles(world: World, instrument: Instrument, span: Span) -> Iterator[list[Candle]]:
    """A year's volatility in the place of prices: of thirty daily returns, or what options imply for thirty days.

    Both are known since the day began, and the same all day.
    """
    series = world.series(instrument)

    @cache
    def of_day(day: date) -> float | None:
        return world.implied_volatility(instrument, day) if span.what == IMPLIED else volatility(series, day)

    for portion in candles(world, instrument, replace(span, what="TRADES")):
        known = ((each, of_day(each.day)) for each in portion)
        yield [Candle(one.start, one.day, it, it, it, it, -1, -1, -1) for one, it in known if it is not None]
