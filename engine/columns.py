"""Bars as columns: what a backtest reads, checked once, cut and hashed by column."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import pairwise, repeat
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.facts import Bar

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Kind = TypeVar("Kind", bound=np.generic)

COLUMNS = ("contract_id", "start_us", "end_us", "open", "high", "low", "close", "volume")


class ColumnsError(ValueError):
    """The columns cannot be bars: says which row breaks which rule."""


@dataclass(frozen=True, eq=False)
class BarColumns:
    """Bars of one size, sorted by end and then contract, one a row.

    Eight arrays of one shape `(bars,)`: ids and times int64 (microseconds since 1970 UTC), prices and volume float64.
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
    def _is_one(self) -> bool:
        """Whether the rows are those of one contract, or none."""
        return not len(self) or bool(self.contract_id.min() == self.contract_id.max())

    @cached_property
    def order(self) -> Integers:
        """The row numbers contract after contract, contracts ascending, each in time order; shape `(bars,)`."""
        return np.arange(len(self)) if self._is_one else np.argsort(self.contract_id, kind="stable")

    @cached_property
    def offsets(self) -> Integers:
        """Where each contract begins in `order`, and where the last one ends; shape `(contracts + 1,)`."""
        if self._is_one:
            return np.unique([0, len(self)])
        edges = np.flatnonzero(np.diff(self.arranged(self.contract_id))) + 1
        return np.concatenate(([0], edges, [len(self)]))

    @cached_property
    def rows(self) -> dict[int, Integers]:
        """Each contract's row numbers in time order, contracts ascending."""
        parts = (self.order[first:stop] for first, stop in pairwise(self.offsets.tolist()))
        return dict(zip(self.contracts, parts, strict=True))

    @cached_property
    def contracts(self) -> tuple[int, ...]:
        """The contract ids that occur, ascending."""
        if self._is_one:
            return tuple(self.contract_id[:1].tolist())
        return tuple(self.contract_id[self.order[self.offsets[:-1]]].tolist())

    @cached_property
    def places(self) -> Integers:
        """Each row's number among the bars of its contract, from 0; shape `(bars,)`."""
        if self._is_one:
            return self.order
        return self.in_rows(np.arange(len(self)) - np.repeat(self.offsets[:-1], np.diff(self.offsets)))

    @cached_property
    def following(self) -> Integers:
        """The row of the contract's next bar, -1 after its last; shape `(bars,)`."""
        following = np.append(self.order[1:], -1)
        following[self.offsets[1:] - 1] = -1
        return self.in_rows(following)

    @cached_property
    def numbers(self) -> Integers:
        """Each row's contract as its number in `contracts`; shape `(bars,)`."""
        return self.in_rows(np.repeat(np.arange(len(self.contracts)), np.diff(self.offsets)))

    @cached_property
    def stops(self) -> Integers:
        """Of each distinct end of bars, the row after the last that ends so; shape `(times,)`."""
        return np.append(np.flatnonzero(self.end_us[1:] != self.end_us[:-1]) + 1, len(self))

    def arranged(self, column: NDArray[Kind]) -> NDArray[Kind]:
        """A column of the bars, contract after contract as in `order`."""
        return column if self._is_one else column.take(self.order)

    def in_rows(self, arranged: NDArray[Kind]) -> NDArray[Kind]:
        """What is in the order of `order`, in the order of the rows."""
        if self._is_one:
            return arranged
        column = np.empty_like(arranged)
        column[self.order] = arranged
        return column

    def symbol(self, contract_id: int) -> str:
        """The contract's symbol; its id as text when nobody named it."""
        return self.symbols.get(contract_id, str(contract_id))

    def select(
        self, contracts: Iterable[int] | None = None, start_us: int | None = None, end_us: int | None = None
    ) -> Self:
        """The bars of `contracts` (none: all) that start at or after `start_us` and before `end_us`."""
        keep = np.ones(len(self), dtype=bool)
        if contracts is not None:
            keep &= np.isin(self.contract_id, list(contracts))
        if start_us is not None:
            keep &= self.start_us >= start_us
        if end_us is not None:
            keep &= self.start_us < end_us
        return self if bool(keep.all()) else replace(self, **{name: getattr(self, name)[keep] for name in COLUMNS})

    def bars(self, first: int = 0, stop: int | None = None) -> Iterable[Bar]:
        """The rows from `first` to `stop` as structs."""
        rest = (getattr(self, name)[first:stop].tolist() for name in COLUMNS[1:])
        if len(self.contracts) == 1:
            return map(Bar, repeat(self.contracts[0]), *rest)
        return map(Bar, self.contract_id[first:stop].tolist(), *rest)

    def bar(self, row: int) -> Bar:
        """One row as a struct."""
        return Bar(
            self.contract_id.item(row),
            self.start_us.item(row),
            self.end_us.item(row),
            self.open.item(row),
            self.high.item(row),
            self.low.item(row),
            self.close.item(row),
            self.volume.item(row),
        )

    def digest(self) -> str:
        """SHA-256 over the eight columns, little-endian, each with its name; names and sources are left out."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
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
        below = (self.low > self.open) | (self.low > self.close)
        self._refuse(below | (self.high < self.open) | (self.high < self.close), "open or close outside low..high")
        self._refuse(self.end_us <= self.start_us, "the bar ends before it starts")
        (before, now), (previous, contract) = ((each[:-1], each[1:]) for each in (self.end_us, self.contract_id))
        self._refuse(
            np.append(False, (now < before) | ((now == before) & (contract <= previous))),
            "rows are not sorted by end and contract, or one bar comes twice",
        )
        same = np.ones(max(len(self) - 1, 0), dtype=bool)
        same[self.offsets[1:-1] - 1] = False
        overlapping = np.flatnonzero(same & (self.arranged(self.start_us)[1:] < self.arranged(self.end_us)[:-1]))
        if len(overlapping):
            self._refuse_row(int(self.order[overlapping[0] + 1]), "it starts before the one before has ended")

    def _refuse(self, wrong: NDArray[np.bool_], why: str) -> None:
        if wrong.any():
            self._refuse_row(int(np.argmax(wrong)), why)

    def _refuse_row(self, row: int, why: str) -> None:
        bar = self.bar(row)
        raise ColumnsError(f"bar {row} of {self.symbol(bar.contract_id)} at {bar.start:%Y-%m-%d %H:%M}: {why}")
