"""Daily bars: the real ones of `bokeh_sampledata`, those of files, and seeded synthetic ones around and after them.

Prices are as traded: not adjusted for splits or dividends.
"""

import csv
import gzip
import io
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from importlib import resources
from pathlib import Path

import numpy as np

from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.gateway_simulator.instruments.instrument import Instrument, Source
from infra.gateway_simulator.market.derivatives import cross_rows, future_rows, option_rows
from infra.gateway_simulator.market.invention import continued, style_of, synthetic_rows
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.market.rows import Rows

# Splits within the real data: date of the first adjusted price, new shares for one old.
SPLITS: dict[str, tuple[tuple[date, int], ...]] = {
    "AAPL": ((date(2000, 6, 21), 2), (date(2005, 2, 28), 2)),
    "MSFT": ((date(2003, 2, 18), 2),),
}


@dataclass(frozen=True, slots=True)
class DailyBar:
    """Prices in units, volume in shares, as traded on that day."""

    day: date
    open: int
    high: int
    low: int
    close: int
    volume: int


class DailySeries:
    """One symbol's days, continued by invention after the last one that its source has."""

    def __init__(self, rows: Rows, source: Source, last_sourced: date, splits: tuple[tuple[date, int], ...]) -> None:
        self.rows = rows
        self.source = source
        self.last_sourced = last_sourced
        self.splits = splits
        self.first_day = date.fromordinal(int(rows.days[0]))

    def on(self, day: date) -> DailyBar | None:
        at = int(np.searchsorted(self.rows.days, day.toordinal()))
        if at == len(self.rows.days) or self.rows.days[at] != day.toordinal():
            return None
        return self._bar(at)

    def before(self, day: date) -> DailyBar | None:
        """The last bar of an earlier day."""
        at = int(np.searchsorted(self.rows.days, day.toordinal())) - 1
        return self._bar(at) if at >= 0 else None

    def after(self, day: date) -> DailyBar | None:
        """The first bar of a later day."""
        at = int(np.searchsorted(self.rows.days, day.toordinal(), side="right"))
        return self._bar(at) if at < len(self.rows.days) else None

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
        at = max(int(np.searchsorted(self.rows.days, day.toordinal(), side="right")) - 1, 0)
        if self.rows.adjusted is None:
            return 1.0
        return float(self.rows.adjusted[at]) / (int(self.rows.prices[at, 3]) / UNITS)

    def _bar(self, at: int) -> DailyBar:
        opened, high, low, close = (int(each) for each in self.rows.prices[at])
        day = date.fromordinal(int(self.rows.days[at]))
        return DailyBar(day, opened, high, low, close, int(self.rows.volumes[at]))


@cache
def real_rows() -> Mapping[str, Rows]:
    """The five real symbols; read once, as they are the same for every gateway of a process."""
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


class DailyBook:
    """Daily series of instruments: made when first asked for, the most recently used ones kept."""

    def __init__(self, seed: int, files: dict[str, Path], kept: int = 160) -> None:
        self._seed = seed
        self._real = real_rows()
        self._files = files
        self._kept = kept
        self._series: OrderedDict[int, DailySeries] = OrderedDict()

    def series(self, instrument: Instrument) -> DailySeries:
        found = self._series.get(instrument.contract_id)
        if found is None:
            found = self._series[instrument.contract_id] = self._made(instrument)
            if len(self._series) > self._kept:
                self._series.popitem(last=False)
        else:
            self._series.move_to_end(instrument.contract_id)
        return found

    def _made(self, instrument: Instrument) -> DailySeries:
        symbol, source = instrument.symbol, instrument.source
        if source is Source.SYNTHETIC:
            rows = self._invented(instrument)
            return DailySeries(rows, source, date.fromordinal(int(rows.days[0])), ())
        rows = file_rows(self._files[symbol]) if source is Source.FILE else self._real[symbol]
        splits = SPLITS.get(symbol, ()) if source is Source.REAL else ()
        last = date.fromordinal(int(rows.days[-1]))
        return DailySeries(continued(self._seed, instrument, rows), source, last, splits)

    def _invented(self, instrument: Instrument) -> Rows:
        if instrument.option is not None:
            return option_rows(self._seed, self.series(instrument.option.underlying).rows, instrument)
        if instrument.future is not None:
            return future_rows(self.series(instrument.future.underlying).rows, instrument)
        if instrument.cross is not None:
            first, second = (self.series(each).rows for each in instrument.cross)
            return cross_rows(self._seed, instrument, first, second)
        return synthetic_rows(
            self._seed, style_of(self._seed, instrument), instrument.rule, instrument.calendar.ordinals
        )


def csv_files(folder: Path) -> dict[str, Path]:
    """SYMBOL.csv files of a folder, by symbol."""
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; --data takes a folder of SYMBOL.csv files")
    return {path.stem.upper(): path for path in sorted(folder.glob("*.csv"))}
