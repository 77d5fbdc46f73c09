"""Declared indicators over columns that follow one another: the live twins go on where the columns before ended."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.columns import BarColumns, Floats
from engine.indicators import Live
from engine.revealing import Revealed
from engine.slots import HISTORY_MAX, FrameError, Slot
from engine.strategy import BaseStrategy


class Memory:
    """What the columns so far left behind, by contract: live twins, how many bars, the last values of each slot."""

    def __init__(self, strategy: BaseStrategy) -> None:
        if strategy.frames:
            raise FrameError("indicators on larger frames need all bars at once: they cannot go on from piece to piece")
        self.strategy = strategy
        self.bars: dict[int, int] = {}
        self.tails: dict[tuple[int, int], Floats] = {}
        self._twins: dict[tuple[int, int], Live] = {}

    def twin(self, slot: Slot, contract_id: int) -> Live:
        """The slot's twin for a contract."""
        key = (id(slot), contract_id)
        if key not in self._twins:
            self._twins[key] = slot.indicator.live(*slot.arguments[slot.indicator.inputs :])
        return self._twins[key]


class Carried(Revealed):
    """The values over one piece. Making the next one presumes that this one is done with."""

    def __init__(self, columns: BarColumns, memory: Memory) -> None:
        self._memory = memory
        super().__init__(columns, memory.strategy)
        for contract_id, own in columns.rows.items():
            memory.bars[contract_id] = memory.bars.get(contract_id, 0) + len(own)

    def _column(self, slot: Slot) -> Floats:
        column = np.empty(len(self._columns))
        for contract_id, own in self._parts():
            given = (self._input(each, own) for each in slot.inputs)
            update = self._memory.twin(slot, contract_id).update
            column[own] = np.fromiter(map(update, *given), dtype=np.float64, count=own.stop - own.start)
        return column

    def _parts(self) -> Iterator[tuple[int, slice]]:
        """Each contract, and where its values stand."""
        parts = pairwise(self._columns.offsets.tolist())
        return zip(self._columns.contracts, (slice(first, stop) for first, stop in parts), strict=True)

    def _input(self, given: Any, own: slice) -> list[float]:
        values = self._argument(given)
        return values[own].tolist() if isinstance(values, np.ndarray) else [float(values)] * (own.stop - own.start)

    def _past(self, slot: Slot, row_in_hand: Any, back: int) -> float:
        row, columns = row_in_hand(), self._columns
        place = int(columns.places[row]) + back + 1
        if place >= 0:
            return float(self._values[id(slot)][columns.offsets[columns.numbers[row]] + place])
        tail = self._memory.tails.get((id(slot), int(columns.contract_id[row])), np.zeros(0))
        if -place > len(tail):
            raise IndexError(f"no value {back}: the contract has {len(tail) + place - back} bars so far")
        return float(tail[place])

    def remember(self) -> None:
        """Keep what the next piece may look back to."""
        for slot, _ in self.shown:
            for contract_id, own in self._parts():
                key = (id(slot), contract_id)
                before = self._memory.tails.get(key, np.zeros(0))
                newest = self._values[id(slot)][own][-HISTORY_MAX:]
                self._memory.tails[key] = np.concatenate((before, newest))[-HISTORY_MAX:].copy()

    def _ready(self) -> NDArray[np.bool_]:
        ready = np.ones(len(self._columns), dtype=bool)
        for contract_id, own in self._columns.rows.items():
            unready = self._strategy.warmup - 1 - self._memory.bars.get(contract_id, 0)
            ready[own[: max(unready, 0)]] = False
        return ready
