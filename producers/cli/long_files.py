"""A price file of more bars than are wanted in memory, block after block into a scratch file."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from engine.columns import COLUMNS, BarColumns
from infra.bar_scratch import Scratch, ScratchBars, ScratchWriter
from infra.errors import UsageError
from producers.cli.price_file import BY_SIZE, bar_size_of, columns_of, is_parquet, read_prices, starts_of, symbols_in
from schemas.backtest import BacktestRequested
from schemas.moments import to_microseconds

_ROWS = 32_768
_BYTES = 2 * 2**20
_DAY = timedelta(days=1)
_US = timedelta(microseconds=1)


def long_prices(
    path: Path, wanted: Sequence[timedelta], request: BacktestRequested, at_once: int, scratch: Scratch
) -> ScratchBars | None:
    """The bars of a file in the request's time; None for one of at most `at_once` bars, of days, of several sizes, or
    of another size than the one that is `wanted`.

    Raises UsageError, in one line, for what is wrong, and for bars that are not sorted by time.
    """
    try:
        if _count(path) <= at_once:
            return None
        first = next(_blocks(path))
    except (pl.exceptions.PolarsError, OSError, StopIteration):
        return None  # whoever reads it whole says what is wrong
    symbol = request.symbols[0]
    if BY_SIZE in first.columns:
        return None
    size = _size(path, first, symbol)
    if size >= _DAY or (wanted and tuple(wanted) != (size,)):
        return None
    writer, sources, named, last_us = scratch.writer("bars"), set[str](), set[str](), -(2**63)
    for block in _blocks(path):
        named = symbols_in(block, path, named)
        columns = columns_of(block, path, symbol, size)
        if columns.start_us[0] <= last_us:
            raise UsageError(f"{path} is not sorted by time, as a file of more than {at_once:,} bars has to be")
        last_us = int(columns.start_us[-1])
        sources |= set(columns.sources)
        _add(writer, columns.select(start_us=_us(request, "start"), end_us=_us(request, "end")))
    return writer.bars(dict.fromkeys(columns.contracts, symbol), sorted(sources))


def benchmark_prices(path: Path, request: BacktestRequested, scratch: Scratch) -> ScratchBars:
    """The bars of the benchmark's file."""
    columns = read_prices(path, request.benchmark)
    writer = scratch.writer("benchmark")
    _add(writer, columns)
    return writer.bars(columns.symbols, columns.sources)


def _us(request: BacktestRequested, name: str) -> int | None:
    moment = getattr(request, name)
    return None if moment is None else to_microseconds(moment)


def _add(writer: ScratchWriter, columns: BarColumns) -> None:
    writer.add({name: getattr(columns, name) for name in COLUMNS})


def _count(path: Path) -> int:
    if is_parquet(path):
        return int(pl.scan_parquet(path).select(pl.len()).collect().item())
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(_BYTES), b""))


def _size(path: Path, first: pl.DataFrame, symbol: str) -> timedelta:
    """By the least distance between any two bars, as of a short file; a file that tells its bars' ends needs none, and
    one in no order is refused later."""
    size = bar_size_of(columns_of(first, path, symbol))
    if "end" in first.columns or size >= _DAY:
        return size
    last_us = np.zeros(0, dtype=np.int64)
    for block in _blocks(path, ["time" if "time" in first.columns else "start"]):
        starts = np.sort(np.concatenate((last_us, starts_of(block, path))))
        least = int(np.diff(starts).min(initial=size // _US))
        size = min(size, timedelta(microseconds=least)) if least else size
        last_us = starts[-1:]
    return size


def _blocks(path: Path, only: list[str] | None = None) -> Iterator[pl.DataFrame]:
    """A block of Parquet is read column by column: each is decoded for a whole row group, and one at a time is less."""
    if is_parquet(path):
        rows = pl.scan_parquet(path)
        names = only or rows.collect_schema().names()
        for first in range(0, _count(path), _ROWS):
            columns = [rows.select(name).slice(first, _ROWS).collect() for name in names]
            yield pl.concat(columns, how="horizontal")
        return
    with path.open("rb") as file:
        header = file.readline()
        while block := file.read(_BYTES):
            yield pl.read_csv(header + block + file.readline(), infer_schema_length=None, columns=only)
