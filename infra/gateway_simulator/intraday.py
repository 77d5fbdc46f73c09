"""What happened within a day: 4680 five-second bars and their prints, derived so that they add up to the daily bar.

The path starts at the day's open, ends at its close, touches its high and low, stays between them, and its volumes sum
to the day's. Interior prices are whole cents; extremes are exactly those of the day.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from infra.gateway_simulator.calendar import BAR_SECONDS, BARS_A_DAY
from infra.gateway_simulator.daily import CENT, DailyBar, DailyBook
from infra.gateway_simulator.instruments import Instrument
from infra.gateway_simulator.noise import Floats, Integers, Noise

PRINTS_A_BAR = 4
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
        bar = min(int(offset // BAR_SECONDS), BARS_A_DAY - 1)
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


def derive(seed: int, symbol: str, day: DailyBar) -> DayPath:
    """The day's path: the same for the same seed, symbol, date and daily bar."""
    noise = Noise(seed, "intraday", symbol, day.day.toordinal())
    active = min(BARS_A_DAY, max(day.volume // PRINTS_A_BAR, 1))
    bounds, highs, lows = _walk(noise, day, active)
    volumes = _volumes(noise, day.volume, active)
    if active < BARS_A_DAY:
        bounds, highs, lows, volumes = _spread(noise, active, bounds, highs, lows, volumes)
    return _path(bounds[:-1], highs, lows, bounds[1:], volumes)


def _walk(noise: Noise, day: DailyBar, count: int) -> tuple[Integers, Integers, Integers]:
    """Prices at the edges of `count` bars, and the bars' highs and lows."""
    first_at, second_at = sorted(int(each * count) for each in noise.uniform(2))
    high_first = bool(noise.uniform(1)[0] < 0.5)
    high_at, low_at = (first_at, second_at) if high_first else (second_at, first_at)
    pins = {0: day.open, count: day.close}
    for at, price in ((high_at, day.high), (low_at, day.low)):
        pins.setdefault(at, price)
    edges = _bridge(noise, pins, count, day.high - day.low)
    floor, ceiling = -(-day.low // CENT) * CENT, day.high // CENT * CENT
    if floor > ceiling:  # a range within one cent holds no whole cent
        floor = ceiling = day.open
    bounds = np.clip(np.rint(edges / CENT).astype(np.int64) * CENT, floor, ceiling)
    bounds[0], bounds[count] = day.open, day.close
    reach = max((day.high - day.low) // CENT // 40, 1)
    wicks = np.floor(noise.uniform(2 * count) ** 2 * (reach + 1)).astype(np.int64).reshape(2, count) * CENT
    upper, lower = np.maximum(bounds[:-1], bounds[1:]), np.minimum(bounds[:-1], bounds[1:])
    highs = np.maximum(np.minimum(upper + wicks[0], ceiling), upper)
    lows = np.minimum(np.maximum(lower - wicks[1], floor), lower)
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
    noise: Noise, active: int, bounds: Integers, highs: Integers, lows: Integers, volumes: Integers
) -> tuple[Integers, Integers, Integers, Integers]:
    """A thin day: `active` bars with trades, scattered over the day; nothing happens in the others."""
    order = np.argsort(noise.uniform(BARS_A_DAY), kind="stable")
    at = np.sort(order[:active])
    passed = np.searchsorted(at, np.arange(BARS_A_DAY), side="right")
    edges = np.concatenate([bounds[:1], bounds[passed]])
    flat = edges[:-1].copy()
    wide_highs, wide_lows, wide_volumes = flat.copy(), flat.copy(), np.zeros(BARS_A_DAY, dtype=np.int64)
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
        self._paths: OrderedDict[tuple[str, int], DayPath] = OrderedDict()

    def path(self, instrument: Instrument, day: DailyBar) -> DayPath:
        key = (instrument.symbol, day.day.toordinal())
        found = self._paths.get(key)
        if found is None:
            found = self._paths[key] = derive(self._seed, instrument.symbol, day)
            if len(self._paths) > self._kept:
                self._paths.popitem(last=False)
        else:
            self._paths.move_to_end(key)
        return found
