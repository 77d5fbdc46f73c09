"""What has to be known of the bars of a long run before it begins: how many there are, of whom, and their digest."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.columns import COLUMNS, BarColumns, Integers
from engine.long_run import regrouped
from engine.options import BacktestError
from engine.statistics.sessions import DAY_US


class Bars(Protocol):
    """Bars that are read again and again, sorted by end and contract, in portions of any size."""

    @property
    def symbols(self) -> Mapping[int, str]:
        """By contract."""

    @property
    def sources(self) -> tuple[str, ...]:
        """Where their prices come from."""

    def chunks(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        """The columns of COLUMNS."""

    def column(self, name: str) -> Iterator[NDArray[Any]]:
        """One of them."""


PIECE = 16_384
"""Bars of a piece where an answer is gathered beside the run: as fast as larger ones, in 10 MB less."""


def pieces(bars: Bars, size: int = PIECE) -> Iterator[BarColumns]:
    """What a long run is played over."""
    return regrouped(bars.chunks(), bars.symbols, bars.sources, size)


@dataclass(frozen=True, eq=False)
class Survey:
    """See the module. `session_ends` are places among the `times` distinct ends of bars."""

    bars: int
    by_contract: Mapping[int, int]
    times: int
    session_ends: Integers
    start_us: int
    end_us: int
    digest: str

    @classmethod
    def of(cls, bars: Bars) -> "Survey":
        """Reads every column once. Raises BacktestError without bars."""
        count: Counter[int] = Counter()
        for ids in bars.column("contract_id"):
            numbers, counts = np.unique(ids, return_counts=True)
            count.update(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
        if not count:
            raise BacktestError("there are no bars to run on")
        start_us = int(next(bars.column("start_us"))[0])
        times, ends, end_us = _times(bars.column("end_us"))
        total = count.total()
        return cls(total, dict(sorted(count.items())), times, ends, start_us, end_us, _digest(bars, total))


def _times(columns: Iterator[Integers]) -> tuple[int, Integers, int]:
    """How many distinct times there are, which of them end a session, and the last one."""
    times, last_us = 0, -(2**63)
    ends: list[Integers] = []
    for column in columns:
        fresh = np.concatenate(([last_us], column))
        fresh = fresh[1:][fresh[1:] != fresh[:-1]]
        if not len(fresh):
            continue
        known = fresh if not times else np.concatenate(([last_us], fresh))
        ends.append(np.flatnonzero(np.diff((known - 1) // DAY_US)) + times - (1 if times else 0))
        times, last_us = times + len(fresh), int(fresh[-1])
    return times, np.concatenate([*ends, [times - 1]]).astype(np.int64), last_us


def _digest(bars: Bars, count: int) -> str:
    """As `BarColumns.digest`."""
    whole = hashlib.sha256()
    for name in COLUMNS:
        whole.update(f"{name}:{count};".encode())
        for column in bars.column(name):
            whole.update(np.ascontiguousarray(column.astype(column.dtype.newbyteorder("<"), copy=False)).data)
    return whole.hexdigest()
