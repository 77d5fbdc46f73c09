"""What happened within a day: five-second bars and their prints, derived so that they add up to the daily bar.

The path starts at the day's open, ends at its close, touches its high and low, stays between them, and its volumes sum
to the day's. Interior prices are whole increments; extremes are exactly those of the day.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import numpy as np

from infra.gateway_simulator.instruments.calendar import BAR_SECONDS
from infra.gateway_simulator.instruments.instrument import Instrument, Option
from infra.gateway_simulator.instruments.options import option_prices
from infra.gateway_simulator.market.daily import DailyBar, DailyBook
from infra.gateway_simulator.market.derivatives import OPTION_PRINTS
from infra.gateway_simulator.market.noise import Floats, Integers, Noise
from infra.gateway_simulator.market.prices import PriceRule
from infra.gateway_simulator.market.wings import BUSY_PART, wings

PRINTS_A_BAR = 4
COLUMNS = ("open", "high", "low", "close", "volume", "money", "count")
PRINT_OFFSETS = (0.5, 1.75, 3.0, 4.25)  # seconds after the bar's start

_STEP = 0.35  # a step's size, as a share of the day's range over the square root of the number of steps


@dataclass(frozen=True, slots=True)
class Print:
    """One trade; `offset` is seconds after the session's open."""

    offset: float
    price: int
    size: int


@dataclass(frozen=True, slots=True)
class DayPath:
    """Five-second bars as columns: prices in units as traded, shares, money (price times shares), number of prints."""

    open: Integers
    high: Integers
    low: Integers
    close: Integers
    volume: Integers
    money: Integers
    count: Integers

    def prints(self, bar: int) -> list[Print]:
        """The trades of one bar, in order; they reach its four prices, and their sizes sum to its volume."""
        volume = int(self.volume[bar])
        if volume == 0:
            return []
        prices = _distinct(*(int(column[bar]) for column in (self.open, self.high, self.low, self.close)))
        share, rest = divmod(volume, len(prices))
        sizes = [share] * (len(prices) - 1) + [share + rest]
        start = bar * BAR_SECONDS
        return [
            Print(start + offset, price, size)
            for offset, price, size in zip(PRINT_OFFSETS, prices, sizes, strict=False)
            if size
        ]

    def last_before(self, offset: float) -> Print | None:
        """The last trade at or before `offset` seconds after the open."""
        bar = min(int(offset // BAR_SECONDS), len(self.open) - 1)
        for each in range(bar, -1, -1):
            done = [trade for trade in self.prints(each) if trade.offset <= offset]
            if done:
                return done[-1]
        return None

    def trades(self, first: int, last: int) -> Iterator[Print]:
        """The trades of the bars `first` to `last - 1`."""
        for bar in range(first, last):
            yield from self.prints(bar)


def _distinct(opened: int, high: int, low: int, close: int) -> list[int]:
    """The way through a bar: its far end first, none repeated at once."""
    turns = (low, high) if close >= opened else (high, low)
    prices = [opened]
    for price in (*turns, close):
        if price != prices[-1]:
            prices.append(price)
    return prices


@dataclass(frozen=True, slots=True)
class Frame:
    """What a day's path has to fit into: the instrument's name for the noise, its increments, its number of bars.

    At most `busy` of the bars have trades, where that is said.
    """

    name: str
    rule: PriceRule
    bars: int
    busy: int | None = None


def derive(seed: int, frame: Frame, day: DailyBar) -> DayPath:
    """The day's path: the same for the same seed, frame and daily bar."""
    noise = Noise(seed, "intraday", frame.name, day.day.toordinal())
    active = min(frame.bars if frame.busy is None else frame.busy, max(day.volume // PRINTS_A_BAR, 1))
    bounds, highs, lows = _walk(noise, frame.rule, day, active)
    volumes = _volumes(noise, day.volume, active)
    if active < frame.bars:
        bounds, highs, lows, volumes = _spread(noise, frame.bars, bounds, highs, lows, volumes)
    return _path(bounds[:-1], highs, lows, bounds[1:], volumes)


def _walk(noise: Noise, rule: PriceRule, day: DailyBar, count: int) -> tuple[Integers, Integers, Integers]:
    """Prices at the edges of `count` bars, and the bars' highs and lows."""
    first_at, second_at = sorted(int(each * count) for each in noise.uniform(2))
    high_first = bool(noise.uniform(1)[0] < 0.5)
    high_at, low_at = (first_at, second_at) if high_first else (second_at, first_at)
    pins = {0: day.open, count: day.close}
    for at, price in ((high_at, day.high), (low_at, day.low)):
        pins.setdefault(at, price)
    edges = _bridge(noise, pins, count, day.high - day.low)
    least, most = rule.step_at(day.low), rule.step_at(day.high)
    floor, ceiling = -(-day.low // least) * least, day.high // most * most
    if floor > ceiling:  # a range within one increment holds no whole one
        floor = ceiling = day.open
    bounds = np.clip(rule.nearest(edges).astype(np.int64), floor, ceiling)
    bounds[0], bounds[count] = day.open, day.close
    reach = max((day.high - day.low) // most // 40, 1)
    wicks = np.floor(noise.uniform(2 * count) ** 2 * (reach + 1)).astype(np.int64).reshape(2, count) * most
    upper, lower = np.maximum(bounds[:-1], bounds[1:]), np.minimum(bounds[:-1], bounds[1:])
    highs = np.maximum(np.minimum(rule.whole(upper + wicks[0]), ceiling), upper)
    lows = np.minimum(np.maximum(rule.whole(lower - wicks[1]), floor), lower)
    highs[high_at], lows[low_at] = day.high, day.low
    return bounds, highs, lows


def _bridge(noise: Noise, pins: dict[int, int], count: int, span: int) -> Floats:
    """A random path through the pinned points, folded at nothing: the caller clips it."""
    steps = noise.bell(count) * (_STEP * span / np.sqrt(float(count)))
    edges = np.zeros(count + 1)
    known = sorted(pins.items())
    for (start, begin), (end, finish) in pairwise(known):
        free = np.cumsum(steps[start:end])
        share = np.arange(1, end - start + 1) / (end - start)
        edges[start] = begin
        edges[start + 1 : end + 1] = begin + free - share * free[-1] + share * (finish - begin)
    return edges


def _volumes(noise: Noise, total: int, count: int) -> Integers:
    """Shares of each bar: more at the day's ends, at least one for each print while there is enough, `total` in sum."""
    place = (np.arange(count) + 0.5) / count * 2 - 1
    weights = (0.5 + 1.5 * place * place) * (0.2 + noise.uniform(count) * noise.uniform(count) * 3)
    least = PRINTS_A_BAR if total >= PRINTS_A_BAR * count else 0
    spare = total - least * count
    grown = np.cumsum(weights)
    reached = np.floor(grown / grown[-1] * spare).astype(np.int64)
    reached[-1] = spare
    shares: Integers = np.diff(reached, prepend=0) + least
    return shares


def _spread(
    noise: Noise, count: int, bounds: Integers, highs: Integers, lows: Integers, volumes: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    """A thin day: the bars with trades, scattered over the `count` of the day; nothing happens in the others."""
    order = np.argsort(noise.uniform(count), kind="stable")
    at = np.sort(order[: len(volumes)])
    passed = np.searchsorted(at, np.arange(count), side="right")
    edges = np.concatenate([bounds[:1], bounds[passed]])
    flat = edges[:-1].copy()
    wide_highs, wide_lows, wide_volumes = flat.copy(), flat.copy(), np.zeros(count, dtype=np.int64)
    wide_highs[at], wide_lows[at], wide_volumes[at] = highs, lows, volumes
    return edges, wide_highs, wide_lows, wide_volumes


def _path(opened: Integers, highs: Integers, lows: Integers, closed: Integers, volumes: Integers) -> DayPath:
    """The bars with their money and number of prints, by the rule of `DayPath.prints`."""
    rising = closed >= opened
    way: list[Integers] = [opened, np.where(rising, lows, highs), np.where(rising, highs, lows), closed]
    count: Integers = np.ones(len(opened), dtype=np.int64)
    total: Integers = opened.copy()
    for before, price in pairwise(way):
        turns = price != before
        count += turns
        total += np.where(turns, price, 0)
    share: Integers = volumes // count
    money: Integers = share * total
    money += (volumes - share * count) * closed
    count[share == 0] = np.minimum(volumes[share == 0], 1)
    return DayPath(opened, highs, lows, closed, volumes, money, count)


class Days:
    """Derived days, the most recently used ones kept."""

    def __init__(self, daily: DailyBook, seed: int, kept: int = 48) -> None:
        self._daily = daily
        self._seed = seed
        self._kept = kept
        self._paths: OrderedDict[tuple[int, int, bool], DayPath] = OrderedDict()

    def keep(self, kept: int) -> None:
        """How many from now on."""
        self._kept = kept

    def known(self, instrument: Instrument, day: date, *, is_whole: bool = False) -> DayPath | None:
        """The day if it has been derived lately."""
        key = (instrument.contract_id, day.toordinal(), is_whole)
        found = self._paths.get(key)
        if found is not None:
            self._paths.move_to_end(key)
        return found

    def path(self, instrument: Instrument, day: DailyBar, *, is_whole: bool = False) -> DayPath:
        """The regular hours, or with `is_whole` those before and after as well."""
        found = self.known(instrument, day.day, is_whole=is_whole)
        if found is None:
            found = self._whole(instrument, day) if is_whole else self._derived(instrument, day)
            self._paths[(instrument.contract_id, day.day.toordinal(), is_whole)] = found
            while len(self._paths) > self._kept:
                self._paths.popitem(last=False)
        return found

    def whole_bar(self, instrument: Instrument, day: DailyBar) -> DailyBar:
        """The day with the hours before and after as one bar, without deriving what happens within it."""
        return wings(self._seed, instrument, self._daily.series(instrument), day).around(day)

    def _whole(self, instrument: Instrument, day: DailyBar) -> DayPath:
        session, regular = instrument.hours.session(day.day), self.known(instrument, day.day)
        found = wings(self._seed, instrument, self._daily.series(instrument), day)
        parts = [
            self._wing(instrument, found.before, session.before, "before"),
            regular or self._derived(instrument, day),
            self._wing(instrument, found.after, session.after, "after"),
        ]
        return DayPath(*(np.concatenate([getattr(each, column) for each in parts]) for column in COLUMNS))

    def _wing(self, instrument: Instrument, day: DailyBar, bars: int, name: str) -> DayPath:
        return derive(self._seed, Frame(f"{instrument.key}/{name}", instrument.rule, bars, bars // BUSY_PART), day)

    def _derived(self, instrument: Instrument, day: DailyBar) -> DayPath:
        if instrument.option is not None:
            return self._option_path(instrument.option, day.day)
        shaped_like = instrument.future.underlying if instrument.future is not None else instrument
        bars = instrument.calendar.session(day.day).bars
        return derive(self._seed, Frame(shaped_like.key, instrument.rule, bars), day)

    def _option_path(self, option: Option, day: date) -> DayPath:
        """Bar by bar what the option was worth at its underlying's prices; it trades whenever that does."""
        traded = self._daily.series(option.underlying).on(day)
        assert traded is not None, "an option has the days of its underlying"
        under = self.path(option.underlying, traded)
        prices = np.stack([under.open, under.high, under.low, under.close])
        opened, high, low, close = option_prices(self._seed, option, day, prices)
        if option.right == "P":
            high, low = low, high
        return _path(opened, high, low, close, np.full(len(opened), OPTION_PRINTS, dtype=np.int64))
