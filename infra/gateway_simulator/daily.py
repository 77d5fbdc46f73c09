"""Daily bars: the real ones of `bokeh_sampledata`, those of files, and seeded synthetic ones around and after them.

Prices are as traded: not adjusted for splits or dividends.
"""

import csv
import gzip
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from importlib import resources
from pathlib import Path

import numpy as np

from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.gateway_simulator.instruments import Instrument, Source
from infra.gateway_simulator.noise import Floats, Integers, Noise, pick
from infra.gateway_simulator.prices import UNITS, PriceRule

# Splits within the real data: date of the first adjusted price, new shares for one old.
SPLITS: dict[str, tuple[tuple[date, int], ...]] = {
    "AAPL": ((date(2000, 6, 21), 2), (date(2005, 2, 28), 2)),
    "MSFT": ((date(2003, 2, 18), 2),),
}

_DAILY_MOVE = 0.015
_DAILY_DRIFT = 0.0003
_CHEAPEST = 100  # increments


@dataclass(frozen=True, slots=True)
class DailyBar:
    """Prices in units, volume in shares, as traded on that day."""

    day: date
    open: int
    high: int
    low: int
    close: int
    volume: int


@dataclass(frozen=True)
class Rows:
    """Daily bars as columns; `adjusted` is the close with all later splits and dividends taken out, in dollars."""

    days: Integers  # proleptic ordinals, rising
    prices: Integers  # (days, 4): open, high, low, close
    volumes: Integers
    adjusted: Floats


class DailySeries:
    """One symbol's days, continued by invention after the last one that its source has."""

    def __init__(self, rows: Rows, source: Source, last_sourced: date, splits: tuple[tuple[date, int], ...]) -> None:
        self._rows = rows
        self.source = source
        self.last_sourced = last_sourced
        self.splits = splits
        self.first_day = date.fromordinal(int(rows.days[0]))

    def on(self, day: date) -> DailyBar | None:
        at = int(np.searchsorted(self._rows.days, day.toordinal()))
        if at == len(self._rows.days) or self._rows.days[at] != day.toordinal():
            return None
        return self._bar(at)

    def before(self, day: date) -> DailyBar | None:
        """The last bar of an earlier day."""
        at = int(np.searchsorted(self._rows.days, day.toordinal())) - 1
        return self._bar(at) if at >= 0 else None

    def split_factor(self, day: date, as_of: date) -> int:
        """Shares of `as_of` for one share of `day`."""
        factor = 1
        for split_day, ratio in self.splits:
            if day < split_day <= as_of:
                factor *= ratio
        return factor

    def total_return_factor(self, day: date, as_of: date) -> float:
        """What a price of `day` is multiplied by to take out splits and dividends until `as_of`."""
        then, now = self._ratio(day), self._ratio(as_of)
        return then / now

    def _ratio(self, day: date) -> float:
        at = max(int(np.searchsorted(self._rows.days, day.toordinal(), side="right")) - 1, 0)
        return float(self._rows.adjusted[at]) / (int(self._rows.prices[at, 3]) / UNITS)

    def _bar(self, at: int) -> DailyBar:
        opened, high, low, close = (int(each) for each in self._rows.prices[at])
        day = date.fromordinal(int(self._rows.days[at]))
        return DailyBar(day, opened, high, low, close, int(self._rows.volumes[at]))


def real_rows() -> dict[str, Rows]:
    """The five real symbols."""
    try:
        packed = resources.files("bokeh_sampledata").joinpath("_data/stocks.csv.gz").read_bytes()
    except ModuleNotFoundError:
        raise EnvironmentUnhealthyError(
            "the real prices are missing: install the package bokeh_sampledata==2026.1 (extra `demo`)"
        ) from None
    collected: dict[str, list[tuple[str, ...]]] = {}
    with gzip.open(io.BytesIO(packed), "rt", encoding="ascii", newline="") as lines:
        reader = csv.reader(lines)
        next(reader)
        for symbol, *row in reader:
            collected.setdefault(symbol, []).append(tuple(row))
    return {symbol: _columns(rows) for symbol, rows in collected.items()}


def file_rows(path: Path) -> Rows:
    """Daily bars of a CSV file with the header time,open,high,low,close,volume."""
    with path.open(encoding="utf-8", newline="") as lines:
        reader = csv.reader(lines)
        header = [each.strip().lower() for each in next(reader, [])]
        if header != ["time", "open", "high", "low", "close", "volume"]:
            raise UsageError(f"{path}: the first line must be time,open,high,low,close,volume")
        rows = [tuple(row) for row in _checked(path, reader)]
    if not rows:
        raise UsageError(f"{path}: holds no bars")
    return _columns(rows)


def _checked(path: Path, reader: Iterable[list[str]]) -> Iterator[list[str]]:
    """Rows with their close repeated as adjusted close, once each is a possible bar of a later day than the last."""
    last = date.min
    for number, row in enumerate(reader, 2):
        try:
            day = datetime.fromisoformat(row[0].strip()).date()
            opened, high, low, close, volume = (float(each) for each in row[1:6])
        except (ValueError, IndexError):
            raise UsageError(f"{path}:{number}: not time,open,high,low,close,volume: {','.join(row)[:80]}") from None
        if day <= last:
            raise UsageError(f"{path}:{number}: {day} does not come after {last}; one line a day, in order")
        if not 0 < low <= min(opened, close) <= max(opened, close) <= high or volume < 0:
            raise UsageError(f"{path}:{number}: open or close outside low..high, or a negative price or volume")
        last = day
        yield [day.isoformat(), *row[1:5], str(round(volume)), row[4]]


def _columns(rows: list[tuple[str, ...]]) -> Rows:
    return Rows(
        days=np.array([date.fromisoformat(row[0]).toordinal() for row in rows], dtype=np.int64),
        prices=np.array([[round(float(each) * UNITS) for each in row[1:5]] for row in rows], dtype=np.int64),
        volumes=np.array([int(row[5]) for row in rows], dtype=np.int64),
        adjusted=np.array([float(row[6]) for row in rows]),
    )


@dataclass(frozen=True, slots=True)
class Style:
    """How an invented series looks: its name for the noise, increments, first price in units, volume of a day."""

    name: str
    rule: PriceRule
    start: int
    volume: int


def synthetic_rows(seed: int, style: Style, days: list[date]) -> Rows:
    """A seeded random walk over `days`."""
    noise, rule = Noise(seed, "daily", style.name), style.rule
    count = len(days)
    moves = noise.bell(count) * _DAILY_MOVE + _DAILY_DRIFT
    closes = np.maximum(rule.nearest(style.start * np.cumprod(1.0 + moves)), _CHEAPEST * rule.least)
    before = np.concatenate(([float(style.start)], closes[:-1]))
    opens = rule.nearest(before * (1.0 + noise.bell(count) * _DAILY_MOVE / 3))
    upper, lower = np.maximum(opens, closes), np.minimum(opens, closes)
    highs = rule.nearest(upper * (1.0 + np.abs(noise.bell(count)) * _DAILY_MOVE / 2))
    lows = rule.nearest(lower * (1.0 - np.abs(noise.bell(count)) * _DAILY_MOVE / 2))
    volumes = np.rint(style.volume * (0.5 + noise.uniform(count)) / 100) * 100
    prices = np.stack([opens, np.maximum(highs, upper), np.minimum(lows, lower), closes], axis=1)
    ordinals = np.array([day.toordinal() for day in days], dtype=np.int64)
    return Rows(ordinals, prices.astype(np.int64), volumes.astype(np.int64), closes / UNITS)


def continued(seed: int, instrument: Instrument, rows: Rows) -> Rows:
    """`rows`, and synthetic days after them until the calendar ends."""
    calendar = instrument.calendar
    later = calendar.between(date.fromordinal(int(rows.days[-1]) + 1), calendar.days[-1])
    if not later:
        return rows
    last_close, volume = int(rows.prices[-1, 3]), max(int(rows.volumes[-60:].mean()), 1)
    more = synthetic_rows(seed, Style(instrument.key, instrument.rule, last_close, volume), later)
    ratio = float(rows.adjusted[-1]) / (last_close / UNITS)  # later adjusted closes stay on the same scale
    return Rows(
        np.concatenate([rows.days, more.days]),
        np.concatenate([rows.prices, more.prices]),
        np.concatenate([rows.volumes, more.volumes]),
        np.concatenate([rows.adjusted, more.adjusted * ratio]),
    )


class DailyBook:
    """Daily series of all instruments, made when first asked for."""

    def __init__(self, seed: int, files: dict[str, Path]) -> None:
        self._seed = seed
        self._real = real_rows()
        self._files = files
        self._series: dict[int, DailySeries] = {}

    def series(self, instrument: Instrument) -> DailySeries:
        found = self._series.get(instrument.contract_id)
        if found is None:
            found = self._series[instrument.contract_id] = self._made(instrument)
        return found

    def _made(self, instrument: Instrument) -> DailySeries:
        symbol, source = instrument.symbol, instrument.source
        if source is Source.SYNTHETIC:
            days = instrument.calendar.days
            return DailySeries(synthetic_rows(self._seed, self._style(instrument), days), source, days[0], ())
        rows = file_rows(self._files[symbol]) if source is Source.FILE else self._real[symbol]
        splits = SPLITS.get(symbol, ()) if source is Source.REAL else ()
        last = date.fromordinal(int(rows.days[-1]))
        return DailySeries(continued(self._seed, instrument, rows), source, last, splits)

    def _style(self, instrument: Instrument) -> Style:
        name = instrument.key
        start = (20 + pick(180, self._seed, "price", name)) * UNITS
        volume = (2 + pick(40, self._seed, "volume", name)) * 1_000_000
        return Style(name, instrument.rule, start, volume)


def csv_files(folder: Path) -> dict[str, Path]:
    """SYMBOL.csv files of a folder, by symbol."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; --data takes a folder of SYMBOL.csv files")
    return {path.stem.upper(): path for path in sorted(folder.glob("*.csv"))}
