"""A person's own prices: a CSV or Parquet file as columns of bars."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl

from engine.columns import BarColumns, ColumnsError, Integers
from infra.bar_moments import bar_size_text
from infra.calendars.calendar import UnknownExchangeError, calendar_of
from infra.errors import UsageError
from infra.symbol_names import parse_symbol
from producers.cli.collect import BAR_SIZES
from schemas.moments import to_datetime, to_microseconds

HEADER = ("time", "open", "high", "low", "close", "volume")
_CONTRACT = 1  # a file knows no contract ids, and has one contract
BY_SIZE = "bar_size"
_OF_SYMBOL = "symbol"
_NAMES_SHOWN = 5
_DAY = timedelta(days=1)
_DAY_US = 86_400_000_000
_DAILY_MIN_US = 20 * 3_600_000_000  # summer time may begin between two opens
_DAILY_MAX_US = 2 * _DAY_US


def read_prices(path: Path, symbol: str) -> BarColumns:
    """The bars of a file that holds one size: see `read_sizes`."""
    found = read_sizes(path, symbol)
    if len(found) > 1:
        raise UsageError(f"{path} holds bars of {', '.join(map(bar_size_text, found))}: here one size is wanted")
    return next(iter(found.values()))


def read_sizes(path: Path, symbol: str) -> dict[timedelta, BarColumns]:
    """By size, the smallest first, the bars of a file with the columns of HEADER. Times without a zone are UTC and say
    when a bar began.

    `start` may stand for `time`; `end` and `source` are read when they are there, as `scizor data export` writes them.
    Else a daily bar lasts as long as the session of its exchange, another one as long as the bars' size, but no longer
    than until the next begins: IB's first hour of a session may be half of one. A file of several sizes says each row's
    in `bar_size`: 5m, 1d; one of one size is taken by the least distance between two bars. Raises UsageError, in one
    line, for what is wrong.
    """
    frame = _frame(path)
    symbols_in(frame, path)
    if BY_SIZE not in frame.columns:
        columns = columns_of(frame, path, symbol)
        return {bar_size_of(columns): columns}
    found = {}
    for (text,), part in frame.partition_by(BY_SIZE, as_dict=True).items():
        if text not in BAR_SIZES:
            raise UsageError(f"{path} has a {BY_SIZE} of {text!r}: write one of {', '.join(BAR_SIZES)}")
        size = BAR_SIZES[str(text)]
        found[size] = columns_of(part, path, symbol, size)
    return dict(sorted(found.items()))


def read_files(
    paths: Sequence[Path], symbol: str, wanted: Sequence[timedelta]
) -> list[tuple[Path, dict[timedelta, BarColumns]]]:
    """Several files, each of sizes of its own: see `read_sizes`. Of those that tell neither ends nor sizes, the sizes
    are those `wanted` that no other file has. Raises UsageError where that leaves a size open, but for days and the
    smallest: a bar taken for a shorter one would be seen before it ended; and for files of different symbols."""
    _of_one_symbol(paths)
    read = [(path, read_sizes(path, symbol)) for path in paths]
    silent = [each for each in read if not _tells_sizes(each[0])]
    silent.sort(key=lambda each: _distance(each[1]))
    others = {size for each in read if each not in silent for size in each[1]}
    left = sorted(set(wanted) - others)
    if len(left) == len(silent) and all(_may_be(size, each) for size, (_, each) in zip(left, silent, strict=True)):
        for size, (path, each) in zip(left, silent, strict=True):
            each.clear()
            each[size] = columns_of(_frame(path), path, symbol, size)
        return read
    found = sorted(size for _, each in read for size in each)
    for path, each in silent:
        ((size, columns),) = each.items()
        if found.index(size) + found.count(size) > 1 and not (size == _DAY and len(columns) > 1):
            raise UsageError(
                f"{path} does not tell how long its bars last: give it a column end or {BY_SIZE}, or name the size of "
                "each file, --bar-size 5m,1h"
            )
    return read


def _of_one_symbol(paths: Sequence[Path]) -> None:
    """Raises UsageError where two files name different symbols: their bars would run as those of one."""
    named = [(path, name) for path in paths for name in symbols_in(_frame(path), path)]
    for path, name in named[1:]:
        first, other = named[0]
        if name != other:
            raise UsageError(
                f"{first} has bars of {other}, {path} of {name}: several files are the bar sizes of one symbol; "
                "several symbols run over --source topic or database"
            )


def _tells_sizes(path: Path) -> bool:
    names = pl.read_parquet_schema(path) if is_parquet(path) else pl.read_csv(path, n_rows=0).columns
    return BY_SIZE in names or "end" in names


def _distance(of_one_size: dict[timedelta, BarColumns]) -> float:
    """Between most of a file's bars; 0 of a single one."""
    (columns,) = of_one_size.values()
    return float(np.median(np.diff(columns.start_us))) if len(columns) > 1 else 0.0


def _may_be(size: timedelta, of_one_size: dict[timedelta, BarColumns]) -> bool:
    """Whether most bars are that far apart; of days it is known already."""
    ((found, columns),) = of_one_size.items()
    return len(columns) < 2 or size == (found if found == _DAY else timedelta(microseconds=_distance(of_one_size)))


def bar_size_of(columns: BarColumns) -> timedelta:
    """The least distance between two bars, or what the longest of them lasts: an hour may be cut by its session. A day
    and its night are a day, be it that summer time begins."""
    starts, lasts = columns.start_us, columns.end_us - columns.start_us
    size = int(np.diff(starts).min()) if len(starts) > 1 else int(lasts[0])
    if _DAILY_MIN_US <= size < _DAILY_MAX_US:
        return _DAY
    return timedelta(microseconds=size if size >= _DAY_US else max(size, int(lasts.max())))


def columns_of(frame: pl.DataFrame, path: Path, symbol: str, size: timedelta | None = None) -> BarColumns:
    """Bars of one size, which rows tell when nobody does. Raises UsageError, in one line, for what is wrong."""
    if "time" not in frame.columns and "start" in frame.columns:
        frame = frame.rename({"start": "time"})
    missing = [name for name in HEADER if name not in frame.columns]
    if missing:
        raise UsageError(f"{path} has no column {', '.join(missing)}: its header has to be {','.join(HEADER)}")
    if frame.is_empty():
        raise UsageError(f"{path} holds no bars")
    moments = _moments(frame["time"], path)
    order = np.argsort(moments, kind="stable")
    starts = moments[order]
    try:
        opens, highs, lows, closes, volumes = (frame[name].cast(pl.Float64).to_numpy()[order] for name in HEADER[1:])
    except pl.exceptions.PolarsError:
        raise UsageError(f"{path} holds a price or volume that is no number") from None
    if len(starts) > 1 and not np.diff(starts).min():
        raise UsageError(f"{path} holds two bars of one time: a file has the bars of one symbol, each of them once")
    if "end" in frame.columns:
        ends = _moments(frame["end"], path)[order]
    else:
        starts, ends = _intervals(starts, symbol, size)
    sources = tuple(sorted(map(str, frame["source"].unique().to_list()))) if "source" in frame.columns else ()
    try:
        contract = np.full(len(starts), _CONTRACT)
        return BarColumns(contract, starts, ends, opens, highs, lows, closes, volumes, {_CONTRACT: symbol}, sources)
    except ColumnsError as error:
        raise UsageError(f"{path}: {error}") from None


def symbols_in(frame: pl.DataFrame, path: Path, before: Iterable[str] = ()) -> set[str]:
    """Whose bars the rows are, those `before` included. Raises UsageError for several: they would run as one symbol."""
    names = set(before)
    if _OF_SYMBOL in frame.columns:
        names |= {"none at all" if each is None else str(each) for each in frame[_OF_SYMBOL].unique()}
    if len(names) > 1:
        shown = ", ".join(sorted(names)[:_NAMES_SHOWN]) + (", ..." if len(names) > _NAMES_SHOWN else "")
        raise UsageError(
            f"{path} has bars of more than one symbol ({shown}): write those of each to a file of its own; several run "
            "over --source topic or database"
        )
    return names


def _intervals(starts: Integers, symbol: str, given: timedelta | None) -> tuple[Integers, Integers]:
    """When each bar began and ended: a day ends within itself, not at the next midnight."""
    if given is not None:
        size = given // timedelta(microseconds=1)
    else:
        size = int(np.diff(starts).min()) if len(starts) > 1 else _DAY_US
    if _DAILY_MIN_US <= size < _DAILY_MAX_US and (sessions := _sessions(starts, symbol)) is not None:
        return sessions
    ends = starts + size - (size >= _DAY_US)
    return starts, np.minimum(ends, np.append(starts[1:], ends[-1]))


def _sessions(starts: Integers, symbol: str) -> tuple[Integers, Integers] | None:
    """As the topics have daily bars: from the open to the close of the symbol's exchange; None when some bar is of no
    session of it, or does not begin with one."""
    try:
        calendar = calendar_of(parse_symbol(symbol).exchange)
    except UnknownExchangeError:
        return None
    found = []
    for start in map(to_datetime, starts.tolist()):
        is_date = start.time() == start.time().min
        session = calendar.session(start.date() if is_date else start.astimezone(calendar.zone).date())
        if session is None or not (is_date or start == session.open):
            return None
        found.append((to_microseconds(session.open), to_microseconds(session.close)))
    opened, closed = np.array(found, dtype=np.int64).T
    return opened, closed


def is_parquet(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in (".parquet", ".pq")


def _frame(path: Path) -> pl.DataFrame:
    try:
        if is_parquet(path):
            return pl.read_parquet(path)
        return pl.read_csv(path, infer_schema_length=None)
    except FileNotFoundError:
        raise UsageError(
            f"there is no file {path}: `scizor data export SYMBOL --out {path}` writes collected bars"
        ) from None
    except pl.exceptions.NoDataError:
        raise UsageError(f"{path} cannot be read: it is empty, its header has to be {','.join(HEADER)}") from None
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{path} cannot be read: {reason}") from None


def starts_of(frame: pl.DataFrame, path: Path) -> Integers:
    """When each row's bar began. Raises UsageError for what is no time."""
    return _moments(frame["time" if "time" in frame.columns else "start"], path)


def _moments(times: pl.Series, path: Path) -> Integers:
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
