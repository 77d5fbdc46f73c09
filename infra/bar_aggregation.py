"""Larger bars out of smaller ones, by column: counted from the opening of each session."""

from datetime import timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.calendars.calendar import ExchangeCalendar
from schemas.moments import to_datetime, to_microseconds

_MARGIN = timedelta(days=5)
_DAY_SECONDS = 86_400
_SECOND_US = 1_000_000

Numbers = NDArray[np.int64]


def source_size(wanted_seconds: int, stored: list[int]) -> int | None:
    """The size to make bars of: the wanted one if it is stored, else the largest that divides it."""
    if wanted_seconds in stored:
        return wanted_seconds
    fitting = [size for size in stored if size < wanted_seconds <= _DAY_SECONDS and wanted_seconds % size == 0]
    return max(fitting, default=None)


def aggregated(frame: pl.DataFrame, size_seconds: int, calendar: ExchangeCalendar | None) -> pl.DataFrame:
    """Bars of `size_seconds`, of which each begins a whole number of them after its session's opening.

    A day is one session, from its opening to its close. Without a calendar bars begin at whole multiples since 1970
    UTC. A bar is what its parts are: late when one is, known since the last one was, of the last one's source.
    """
    if frame.is_empty():
        return frame
    begins, ends = _spans(frame["start_us"].to_numpy(), size_seconds, calendar)
    parts = frame.with_columns(begin=pl.Series(begins), finish=pl.Series(ends))
    together = parts.group_by("begin", maintain_order=True).agg(
        pl.col("finish").first(),
        pl.col("ingest_us").max(),
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
        *(pl.col(name).last() for name in ("source", "basis") if name in frame.columns),
        *(pl.col(name).max() for name in ("revision", "late") if name in frame.columns),
    )
    renamed = together.rename({"begin": "start_us", "finish": "end_us"})
    return renamed.select([name for name in frame.columns if name in renamed.columns])


def _spans(starts: Numbers, size_seconds: int, calendar: ExchangeCalendar | None) -> tuple[Numbers, Numbers]:
    """Begin and end of the bar that each start falls into."""
    size = size_seconds * _SECOND_US
    if calendar is None:
        begins = starts // size * size
        return begins, begins + size
    first, last = (to_datetime(int(each)) for each in (starts[0], starts[-1]))
    sessions = calendar.sessions((first - _MARGIN).date(), (last + _MARGIN).date())
    opens = np.array([to_microseconds(each.open) for each in sessions], dtype=np.int64)
    closes = np.array([to_microseconds(each.close) for each in sessions], dtype=np.int64)
    number = np.maximum(np.searchsorted(opens, starts, side="right") - 1, 0)
    opening, close = opens[number], closes[number]
    if size_seconds >= _DAY_SECONDS:
        return opening, close
    begins = opening + (starts - opening) // size * size
    # the last one of a session ends with it; what lies outside of sessions has its own
    ends = np.where(starts < close, np.minimum(begins + size, close), begins + size)
    return begins, ends
