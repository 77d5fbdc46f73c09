"""Bars as columns: what a backtest reads, checked once, cut and hashed by column."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engine.facts import Bar

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

COLUMNS = ("contract_id", "start_us", "end_us", "open", "high", "low", "close", "volume")


class ColumnsError(ValueError):
    """The columns cannot be bars: says which row breaks which rule."""


@dataclass(frozen=True, eq=False)
class BarColumns:
    """Bars of one size, sorted by end and then contract, one a row.

    Eight arrays of one shape `(bars,)`: ids and times are int64 (microseconds since 1970 UTC), prices and volume float64.
    `symbols` names the contracts; `sources` says where the prices come from (values of `schemas.market.Source`).

    Raises ColumnsError when lengths differ, a value is not finite, a price leaves low..high, rows are not sorted,
    a (contract, end) occurs twice, or two bars of a contract overlap.
    """

    contract_id: Integers
    start_us: Integers
    end_us: Integers
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    symbols: Mapping[int, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in COLUMNS:
            kind = np.int64 if name in COLUMNS[:3] else np.float64
            column = np.ascontiguousarray(getattr(self, name), dtype=kind).view()
            column.flags.writeable = False
            object.__setattr__(self, name, column)
        self._check()

    def __len__(self) -> int:
        return len(self.contract_id)

    @cached_property
    def contracts(self) -> tuple[int, ...]:
        """The contract ids that occur, ascending."""
        return tuple(np.unique(self.contract_id).tolist())

    @cached_property
    def by_contract(self) -> Integers:
        """Row numbers grouped by contract, each group in time order; shape `(bars,)`."""
        return np.argsort(self.contract_id, kind="stable")

    def groups(self) -> Iterable[tuple[int, Integers]]:
        """Each contract with the numbers of its rows in time order, contracts ascending."""
        ids = self.contract_id[self.by_contract]
        edges = np.flatnonzero(np.diff(ids)) + 1
        for rows in np.split(self.by_contract, edges):
            if len(rows):
                yield int(self.contract_id[rows[0]]), rows

    def symbol(self, contract_id: int) -> str:
        """The contract's symbol; its id as text when nobody named it."""
        return self.symbols.get(contract_id, str(contract_id))

    def select(
        self, contracts: Iterable[int] | None = None, start_us: int | None = None, end_us: int | None = None
    ) -> Self:
        """The bars of `contracts` (none: all) with `start_us <= start` and `end <= end_us`."""
        keep = np.ones(len(self), dtype=bool)
        if contracts is not None:
            keep &= np.isin(self.contract_id, list(contracts))
        if start_us is not None:
            keep &= self.start_us >= start_us
        if end_us is not None:
            keep &= self.end_us <= end_us
        return self if bool(keep.all()) else replace(self, **{name: getattr(self, name)[keep] for name in COLUMNS})

    def bars(self, first: int = 0, stop: int | None = None) -> Iterable[Bar]:
        """The rows from `first` to `stop` as structs."""
        return map(Bar, *(getattr(self, name)[first:stop].tolist() for name in COLUMNS))

    def digest(self) -> str:
        """SHA-256 over the eight columns, little-endian, each with its name; names and sources are left out."""
        whole = hashlib.sha256()
        for name in COLUMNS:
            column = getattr(self, name)
            whole.update(f"{name}:{len(column)};".encode())
            whole.update(np.ascontiguousarray(column.astype(column.dtype.newbyteorder("<"), copy=False)).data)
        return whole.hexdigest()

    @classmethod
    def sorted(cls, symbols: Mapping[int, str] | None = None, sources: Sequence[str] = (), **columns: object) -> Self:
        """Columns in any order of rows, brought into the order that the class demands."""
        arrays = {name: np.asarray(columns[name]) for name in COLUMNS}
        order = np.lexsort((arrays["contract_id"], arrays["end_us"]))
        arranged = {name: array[order] for name, array in arrays.items()}
        return cls(**arranged, symbols=symbols or {}, sources=tuple(sorted(set(sources))))

    @classmethod
    def of(cls, bars: Iterable[Bar], symbols: Mapping[int, str] | None = None, sources: Sequence[str] = ()) -> Self:
        """Columns of single bars in any order."""
        rows = list(bars)
        columns = {name: [getattr(bar, name) for bar in rows] for name in COLUMNS}
        return cls.sorted(symbols, sources, **columns)

    def _check(self) -> None:
        assert [each.name for each in fields(self)][:8] == list(COLUMNS)
        lengths = {name: len(getattr(self, name)) for name in COLUMNS}
        if len(set(lengths.values())) > 1:
            raise ColumnsError(f"columns differ in length: {lengths}")
        for name in COLUMNS[3:]:
            self._refuse(~np.isfinite(getattr(self, name)), f"{name} is not a finite number")
        self._refuse(self.volume < 0, "volume is negative")
        body_low, body_high = np.minimum(self.open, self.close), np.maximum(self.open, self.close)
        self._refuse((self.low > body_low) | (self.high < body_high), "open or close outside low..high")
        self._refuse(self.end_us <= self.start_us, "the bar ends before it starts")
        later = np.diff(self.end_us)
        self._refuse(
            np.append(False, (later < 0) | ((later == 0) & (np.diff(self.contract_id) <= 0))),
            "rows are not sorted by end and contract, or one bar comes twice",
        )
        rows = self.by_contract
        overlapping = (self.start_us[rows][1:] < self.end_us[rows][:-1]) & (np.diff(self.contract_id[rows]) == 0)
        self._refuse(np.isin(np.arange(len(self)), rows[1:][overlapping]), "it starts before the one before has ended")

    def _refuse(self, wrong: NDArray[np.bool_], why: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            bar = next(iter(self.bars(row, row + 1)))
            raise ColumnsError(f"bar {row} of {self.symbol(bar.contract_id)} at {bar.start:%Y-%m-%d %H:%M}: {why}")
