"""A person's own prices: a CSV or Parquet file as columns of bars."""

from pathlib import Path

import numpy as np
import polars as pl

from engine.columns import BarColumns, ColumnsError
from infra.errors import UsageError

HEADER = ("time", "open", "high", "low", "close", "volume")
_CONTRACT = 1  # a file knows no contract ids, and has one contract
_DAY_US = 86_400_000_000


def read_prices(path: Path, symbol: str) -> BarColumns:
    """The bars of a file with the columns of HEADER. Times without a zone are UTC and say when a bar began.

    The bars' size is the least distance between two of them. Raises UsageError, in one line, for what is wrong.
    """
    frame = _frame(path)
    missing = [name for name in HEADER if name not in frame.columns]
    if missing:
        raise UsageError(f"{path} has no column {', '.join(missing)}: its header has to be {','.join(HEADER)}")
    if frame.is_empty():
        raise UsageError(f"{path} holds no bars")
    starts = np.sort(_starts(frame["time"], path))
    order = np.argsort(_starts(frame["time"], path), kind="stable")
    size = int(np.diff(starts).min()) if len(starts) > 1 else _DAY_US
    try:
        numbers = [frame[name].cast(pl.Float64).to_numpy()[order] for name in HEADER[1:]]
    except pl.exceptions.PolarsError:
        raise UsageError(f"{path} holds a price or volume that is no number") from None
    if size == 0:
        raise UsageError(f"{path} holds two bars of one time")
    try:
        opens, highs, lows, closes, volumes = numbers
        ends = starts + size - (size >= _DAY_US)  # a day ends within itself, not at the next midnight
        contract = np.full(len(starts), _CONTRACT)
        return BarColumns(contract, starts, ends, opens, highs, lows, closes, volumes, {_CONTRACT: symbol})
    except ColumnsError as error:
        raise UsageError(f"{path}: {error}") from None


def _frame(path: Path) -> pl.DataFrame:
    try:
        if path.suffix.lower() in (".parquet", ".pq"):
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=None)
    except FileNotFoundError:
        raise UsageError(f"there is no file {path}") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{path} cannot be read: {reason}") from None


def _starts(times: pl.Series, path: Path) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    try:
        if times.dtype == pl.String:
            times = times.str.to_datetime(time_zone="UTC", time_unit="us", strict=True)
        if times.dtype == pl.Datetime and times.dtype.time_zone is not None:  # type: ignore[attr-defined] # a Datetime has one
            times = times.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        moments = times.cast(pl.Datetime("us"))
    except pl.exceptions.PolarsError:
        raise UsageError(f"{path} holds a time that is none: write 2013-02-28 or 2013-02-28T14:30:00Z") from None
    if moments.null_count():
        raise UsageError(f"{path} holds a bar without a time")
    return moments.to_physical().to_numpy()
