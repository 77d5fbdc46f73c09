"""Declared indicators as columns, on the bars themselves or on larger frames, and what of them is known at each row."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.columns import BarColumns, Floats, Integers
from engine.slots import Slot
from engine.strategy import BaseStrategy


@dataclass(frozen=True, eq=False)
class FrameBars:
    """The larger bars of one contract by column, and how many have closed at each of its rows."""

    columns: Mapping[str, Floats]
    closed: Integers

    @classmethod
    def handed(cls, larger: BarColumns, contract_id: int, ends: Integers) -> "FrameBars":
        """Bars that came as such: each is known with the first small bar that ends no earlier."""
        own = larger.rows.get(contract_id, np.zeros(0, dtype=np.int64))
        columns = {name: getattr(larger, name)[own] for name in ("open", "high", "low", "close", "volume")}
        return cls(columns, np.searchsorted(larger.end_us[own], ends, side="right"))

    @classmethod
    def of(cls, columns: BarColumns, own: Integers, size_us: int) -> "FrameBars":
        """By the rules of `engine.aggregation`: a bar ends on a multiple of its size, and closes with the bar that
        reaches its end, or else with the next one."""
        start, end = columns.start_us[own], columns.end_us[own]
        ends = np.where(end - start >= size_us, end, -(-end // size_us) * size_us)
        firsts = np.concatenate(([0], np.flatnonzero(np.diff(ends)) + 1)) if len(own) else np.zeros(0, dtype=np.int64)
        lasts = np.append(firsts[1:] - 1, len(own) - 1) if len(own) else firsts
        seen = np.where(end[lasts] >= ends[lasts], lasts, lasts + 1)
        values = {name: getattr(columns, name)[own] for name in ("open", "high", "low", "close", "volume")}
        made = {
            "open": values["open"][firsts],
            "high": np.maximum.reduceat(values["high"], firsts),
            "low": np.minimum.reduceat(values["low"], firsts),
            "close": values["close"][lasts],
            "volume": _summed(values["volume"], firsts, lasts),
        }
        return cls(made, np.searchsorted(seen, np.arange(len(own)), side="right"))


def _summed(values: Floats, firsts: Integers, lasts: Integers) -> Floats:
    """One after the other, as they come live."""
    if (values == np.floor(values)).all():
        return np.add.reduceat(values, firsts)  # whole numbers have one sum
    return np.array([float(np.add.accumulate(values[a : b + 1])[-1]) for a, b in zip(firsts, lasts, strict=True)])


def slots_by_name(strategy: BaseStrategy) -> dict[str, Slot]:
    """All slots by the strategy's names for them; one without a name by what it is."""
    names = {id(slot): name for name, slot in vars(strategy).items() if isinstance(slot, Slot)}
    return {names.get(id(slot)) or str(slot): slot for slot in strategy.slots}


class _InRows(Mapping[str, Floats]):
    """Columns that lie contract after contract, in the order of the rows when looked at."""

    def __init__(self, columns: BarColumns, arranged: Mapping[str, Floats]) -> None:
        self._columns = columns
        self._arranged = arranged

    def __getitem__(self, name: str) -> Floats:
        return self._columns.in_rows(self._arranged[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._arranged)

    def __len__(self) -> int:
        return len(self._arranged)


class Revealed:
    """The values of a strategy's slots over `columns`; `ready` says at which rows all of them have one.

    They are computed, and looked back to, contract after contract, as in `columns.order`; shown in the order of the
    rows.
    """

    def __init__(
        self, columns: BarColumns, strategy: BaseStrategy, larger: Mapping[int, BarColumns] | None = None
    ) -> None:
        self._columns = columns
        self._larger = larger or {}
        self._strategy = strategy
        self._frames: dict[tuple[int, int], FrameBars] = {}
        self._framed: dict[tuple[int, int], Floats] = {}  # by slot and contract: values of the larger bars
        self._values: dict[int, Floats] = {}
        self._arranged: dict[str, Floats] = {}
        for slot in strategy.slots:
            self._values[id(slot)] = self._column(slot)
        self._arranged.clear()
        self.shown = [(slot, self.column(slot)) for slot in strategy.slots if slot.shown]
        self.ready = self._ready()

    def named(self) -> Mapping[str, Floats]:
        """All slots by the strategy's names for them, one without a name by what it is; in the order of the rows."""
        values = {name: self._values[id(slot)] for name, slot in slots_by_name(self._strategy).items()}
        return _InRows(self._columns, values)

    def column(self, slot: Slot) -> Floats:
        """A slot's values, in the order of the rows; shape `(bars,)`."""
        return self._columns.in_rows(self._values[id(slot)])

    def let_look_back(self, row: Any) -> None:
        """Give the shown slots their past; `row()` tells the row in hand."""
        for slot, _ in self.shown:
            slot.remember(partial(self._past, slot, row))

    def _past(self, slot: Slot, row_in_hand: Any, back: int) -> float:
        row, columns = row_in_hand(), self._columns
        place = int(columns.places[row])
        if slot.frame:
            contract_id = int(columns.contract_id[row])
            count = int(self._frames[slot.frame, contract_id].closed[place])
            if count + back < 0:
                raise IndexError(f"no value {back}: the contract has {count} bars so far")
            return float(self._framed[id(slot), contract_id][count + back])
        if place + back + 1 < 0:
            raise IndexError(f"no value {back}: the contract has {place + 1} bars so far")
        return float(self._values[id(slot)][columns.offsets[columns.numbers[row]] + place + back + 1])

    def _column(self, slot: Slot) -> Floats:
        """The slot's indicator, contract after contract."""
        columns = self._columns
        if not slot.frame:
            return slot.indicator.in_segments([self._argument(each) for each in slot.arguments], columns.offsets)
        return np.concatenate([self._on_frame(slot, *own) for own in columns.rows.items()])

    def _argument(self, given: Any) -> Any:
        if isinstance(given, Slot):
            return self._values[id(given)]
        if not isinstance(given, str):
            return given
        if given not in self._arranged:
            self._arranged[given] = self._columns.arranged(getattr(self._columns, given))
        return self._arranged[given]

    def _on_frame(self, slot: Slot, contract_id: int, own: Integers) -> Floats:
        key = (slot.frame, contract_id)
        if key not in self._frames:
            larger = self._larger.get(slot.frame)
            if larger is None:
                self._frames[key] = FrameBars.of(self._columns, own, slot.frame)
            else:
                self._frames[key] = FrameBars.handed(larger, contract_id, self._columns.end_us[own])
        bars = self._frames[key]
        given: list[Any] = []
        for each in slot.arguments:
            if isinstance(each, Slot):
                given.append(self._framed[id(each), contract_id])
            else:
                given.append(bars.columns[each] if isinstance(each, str) else each)
        values = slot.indicator(*given)
        self._framed[id(slot), contract_id] = values
        return np.concatenate(([np.nan], values))[bars.closed]

    def _ready(self) -> NDArray[np.bool_]:
        strategy, columns = self._strategy, self._columns
        if not strategy.frames:
            return columns.places >= strategy.warmup - 1
        ready = np.ones(len(columns), dtype=bool)
        for contract_id, own in columns.rows.items():
            first: dict[int, int] = {}
            for slot in strategy.slots:
                first[id(slot)] = self._first(slot, contract_id, first)
            ready[own[: max(first.values(), default=0)]] = False
        return ready

    def _first(self, slot: Slot, contract_id: int, first: Mapping[int, int]) -> int:
        """At which of the contract's bars the slot has its first value."""
        if slot.frame:
            return int(np.searchsorted(self._frames[slot.frame, contract_id].closed, slot.ready))
        return slot.own_ready - 1 + max((first[id(each)] for each in slot.inputs if isinstance(each, Slot)), default=0)
