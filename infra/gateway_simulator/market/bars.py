"""Bars of any size, added up from derived five-second bars and from daily bars, as they are known at a moment."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

import numpy as np

from infra.gateway_simulator.instruments.calendar import BAR_SECONDS, Calendar, Session
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.daily import DailyBar, DailyBook, DailySeries
from infra.gateway_simulator.market.intraday import DayPath, Days
from infra.gateway_simulator.market.prices import UNITS, PriceRule

DAY = 86_400
WEEK = 7 * DAY
MONTH = 30 * DAY

BAR_SIZES = {
    "5 secs": 5,
    "10 secs": 10,
    "15 secs": 15,
    "30 secs": 30,
    "1 min": 60,
    "2 mins": 120,
    "3 mins": 180,
    "5 mins": 300,
    "10 mins": 600,
    "15 mins": 900,
    "20 mins": 1200,
    "30 mins": 1800,
    "1 hour": 3600,
    "2 hours": 7200,
    "3 hours": 10800,
    "4 hours": 14400,
    "8 hours": 28800,
    "1 day": DAY,
    "1 week": WEEK,
    "1W": WEEK,
    "1 month": MONTH,
    "1M": MONTH,
}

TRADES, ADJUSTED_LAST = "TRADES", "ADJUSTED_LAST"
QUOTED = ("MIDPOINT", "BID", "ASK", "BID_ASK")
BARS_MAX = 50_000  # of one request

_DAYS_AT_ONCE = 250


@dataclass(frozen=True, slots=True)
class Candle:
    """One bar to be served: `start` in epoch seconds, prices in dollars; -1 where there is no volume to tell."""

    start: int
    day: date
    open: float
    high: float
    low: float
    close: float
    volume: int
    average: float
    count: int


@dataclass(frozen=True, slots=True)
class Span:
    """What was asked for: bars that start in [begin, end), of `size` seconds, seen from `now`."""

    begin: float
    end: float
    size: int
    what: str
    now: float
    regular: bool = True  # hours alone

    def hours(self, instrument: Instrument) -> Calendar:
        """The sessions of which the bars are."""
        return instrument.calendar if self.regular else instrument.hours


class View:
    """How prices as traded on one day look from another, for one kind of bar."""

    def __init__(self, series: DailySeries, days: tuple[date, date], what: str, rule: PriceRule) -> None:
        """`days` are the prices' own day and the one from which they are seen."""
        day, as_of = days
        self._what = what
        self._rule = rule
        self._factor = series.split_factor(day, as_of)
        self._total = series.total_return_factor(day, as_of) if what == ADJUSTED_LAST else 0.0

    def price(self, units: float) -> float:
        if self._what == ADJUSTED_LAST:
            return round(units / UNITS * self._total, 6)
        return units / (UNITS * self._factor)

    def candle(self, start: int, day: date, prices: tuple[int, int, int, int], traded: tuple[int, int, int]) -> Candle:
        """`prices` are open, high, low, close; `traded` is volume, money, count."""
        volume, money, count = traded
        if self._what in QUOTED:
            opened, high, low, close = (self.price(each) for each in self._quoted(prices))
            return Candle(start, day, opened, high, low, close, -1, -1, -1)
        opened, high, low, close = (self.price(each) for each in prices)
        average = round(self.price(money / volume), 6) if volume else close
        return Candle(start, day, opened, high, low, close, volume * self._factor, average, count)

    def _quoted(self, prices: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
        opened, high, low, close = prices
        bid_of, ask_of = self._rule.bid_of, self._rule.ask_of
        if self._what == "BID":
            return bid_of(opened), bid_of(high), bid_of(low), bid_of(close)
        if self._what == "ASK":
            return ask_of(opened), ask_of(high), ask_of(low), ask_of(close)
        if self._what == "BID_ASK":
            return bid_of(opened), ask_of(high), bid_of(low), ask_of(close)
        middle = [(bid_of(each) + ask_of(each)) / 2 for each in prices]
        return middle[0], middle[1], middle[2], middle[3]


class BarHistory:
    """Answers what the bars of an instrument were, seen from a moment."""

    def __init__(self, daily: DailyBook, days: Days) -> None:
        self._daily = daily
        self._days = days

    def candles(self, instrument: Instrument, span: Span) -> Iterator[list[Candle]]:
        """Bars in order, in portions that take a few milliseconds each."""
        if span.size < DAY:
            for session in self._sessions_of(instrument, span):
                bars = self.of_day(instrument, session, span)
                yield [each for each in bars if span.begin <= each.start < span.end]
        elif span.size == DAY:
            yield from self._daily_candles(instrument, span)
        else:
            yield self._long_candles(instrument, span)

    def of_day(self, instrument: Instrument, session: Session, span: Span) -> list[Candle]:
        """Intraday bars of one session, as far as they had come by the end of the span or now."""
        series = self._daily.series(instrument)
        bar = series.on(session.day)
        complete = self._complete(session, min(span.end, span.now))
        if bar is None or complete == 0:
            return []
        view = View(series, (session.day, self.as_of(instrument, span.now)), span.what, instrument.rule)
        path = self._days.path(instrument, bar, is_whole=session.is_extended)
        return _added_up(path, complete, span.size, view, session)

    def _daily_candles(self, instrument: Instrument, span: Span) -> Iterator[list[Candle]]:
        sessions = self._sessions_of(instrument, span)
        for at in range(0, len(sessions), _DAYS_AT_ONCE):
            made = (self._daily_candle(instrument, each, span) for each in sessions[at : at + _DAYS_AT_ONCE])
            yield [each for each in made if each is not None]

    def _daily_candle(self, instrument: Instrument, session: Session, span: Span) -> Candle | None:
        series, day = self._daily.series(instrument), session.day
        bar = series.on(day)
        if bar is None:
            return None
        view = View(series, (day, self.as_of(instrument, span.now)), span.what, instrument.rule)
        seen = min(span.end, span.now)
        if seen >= session.close:
            if session.is_extended:
                bar = self._days.whole_bar(instrument, bar)
            return view.candle(session.open, day, (bar.open, bar.high, bar.low, bar.close), _estimated(bar, session))
        complete = self._complete(session, seen)
        if complete == 0:
            return None
        path = self._days.path(instrument, bar, is_whole=session.is_extended)
        return _added_up(path, complete, DAY, view, session)[0]

    def _long_candles(self, instrument: Instrument, span: Span) -> list[Candle]:
        """Weeks or months, each under its last day."""
        daily = [each for portion in self._daily_candles(instrument, span) for each in portion]
        weekly = span.size == WEEK
        merged = []
        for _, group in groupby(daily, key=lambda each: _week(each.day) if weekly else _month(each.day)):
            merged.append(_merged(list(group)))
        return merged

    def _sessions_of(self, instrument: Instrument, span: Span) -> list[Session]:
        calendar = span.hours(instrument)
        first, last = calendar.latest(span.begin), calendar.latest(min(span.end, span.now) - 0.001)
        sessions = map(calendar.session, calendar.between(first.day, last.day))
        return [each for each in sessions if each.close > span.begin and each.open < span.end]

    def as_of(self, instrument: Instrument, now: float) -> date:
        """The day whose shares count: a split holds from the first trade of its day."""
        return instrument.hours.latest(now).day

    @staticmethod
    def _complete(session: Session, moment: float) -> int:
        """How many five-second bars of the session have closed by `moment`."""
        return max(0, min(session.bars, int((moment - session.open) // BAR_SECONDS)))


def _added_up(path: DayPath, complete: int, size: int, view: View, session: Session) -> list[Candle]:
    """Bars of `size` seconds on the clock's grid, from the first `complete` five-second bars."""
    clock = (session.open_second + np.arange(complete) * BAR_SECONDS) // size
    if size >= DAY:
        clock[:] = 0  # a session that began yesterday is one day
    starts = np.concatenate([[0], np.flatnonzero(np.diff(clock)) + 1])
    ends = np.concatenate([starts[1:], [complete]]) - 1
    highs = np.maximum.reduceat(path.high[:complete], starts)
    lows = np.minimum.reduceat(path.low[:complete], starts)
    sums = [np.add.reduceat(column[:complete], starts) for column in (path.volume, path.money, path.count)]
    return [
        view.candle(
            session.open + int(start) * BAR_SECONDS,
            session.day,
            (int(opened), int(high), int(low), int(close)),
            (int(volume), int(money), int(count)),
        )
        for start, opened, high, low, close, volume, money, count in zip(
            starts, path.open[starts], highs, lows, path.close[ends], *sums, strict=True
        )
    ]


def five_seconds(path: DayPath, bar: int, session: Session, view: View) -> Candle:
    """One five-second bar."""
    prices = (int(path.open[bar]), int(path.high[bar]), int(path.low[bar]), int(path.close[bar]))
    traded = (int(path.volume[bar]), int(path.money[bar]), int(path.count[bar]))
    return view.candle(session.open + bar * BAR_SECONDS, session.day, prices, traded)


def _estimated(bar: DailyBar, session: Session) -> tuple[int, int, int]:
    """Volume, money and count of a whole day, without deriving it: the average is that of its four prices."""
    money = (bar.open + bar.high + bar.low + bar.close) * bar.volume // 4
    return bar.volume, money, min(bar.volume, 3 * session.bars)


def _merged(days: list[Candle]) -> Candle:
    last, volumes = days[-1], [each.volume for each in days]
    traded = sum(volumes) if min(volumes) >= 0 else -1
    average = round(sum(each.average * each.volume for each in days) / traded, 6) if traded > 0 else last.average
    return Candle(
        last.start,
        last.day,
        days[0].open,
        max(each.high for each in days),
        min(each.low for each in days),
        last.close,
        traded,
        average,
        sum(each.count for each in days) if traded >= 0 else -1,
    )


def _week(day: date) -> tuple[int, int]:
    return day.isocalendar()[:2]


def _month(day: date) -> tuple[int, int]:
    return day.year, day.month


class Duration:
    """IB's duration text: a number and S, D, W, M or Y."""

    def __init__(self, text: str) -> None:
        count, _, unit = text.strip().upper().partition(" ")
        if not count.isdigit() or not 0 < int(count) <= 86_400 or unit not in ("S", "D", "W", "M", "Y"):
            raise ValueError("Invalid duration: a number and one of S, D, W, M, Y, with a space between")
        self.count, self.unit = int(count), unit

    def begin(self, calendar: Calendar, end: float, size: int) -> float:
        """The epoch second from which bars are wanted."""
        session = calendar.latest(end - 0.001)
        if self.unit == "S":
            return self._trading_seconds_back(calendar, session, min(end, session.close))
        if self.unit == "D":
            first = calendar.back(session.day, self.count - 1)
        else:
            first = self._days_back(session.day) + timedelta(days=1)
        if size == WEEK:
            first -= timedelta(days=first.weekday())
        if size == MONTH:
            first = first.replace(day=1)
        return calendar.opening(first)

    def _trading_seconds_back(self, calendar: Calendar, session: Session, end: float) -> float:
        left = float(self.count)
        while left > end - session.open and session.day > calendar.days[0]:
            left -= end - session.open
            session = calendar.session(calendar.back(session.day, 1))
            end = session.close
        return max(end - left, session.open)

    def _days_back(self, day: date) -> date:
        if self.unit == "W":
            return day - timedelta(weeks=min(self.count, 5000))
        months = self.count * (12 if self.unit == "Y" else 1)
        years, month = divmod(day.year * 12 + day.month - 1 - months, 12)
        if years < 1990:
            return date(1990, 1, 1)
        for back in range(4):  # the 31st has no counterpart in every month
            try:
                return date(years, month + 1, day.day - back)
            except ValueError:
                continue
        raise AssertionError("every month has a 28th")
