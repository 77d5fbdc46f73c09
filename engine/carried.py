"""Declared indicators over columns that follow one another: the live twins go on where the columns before ended."""

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
        for contract_id, own in self._columns.rows.items():
            given = (self._input(each, own) for each in slot.inputs)
            update = self._memory.twin(slot, contract_id).update
            column[own] = np.fromiter(map(update, *given), dtype=np.float64, count=len(own))
        return column

    def _input(self, given: Any, own: Any) -> list[float]:
        values = self._argument(given)
        return values[own].tolist() if isinstance(values, np.ndarray) else [float(values)] * len(own)

    def _past(self, slot: Slot, column: Floats, row_in_hand: Any, back: int) -> float:
        row = row_in_hand()
        contract_id = int(self._columns.contract_id[row])
        place = int(self._columns.places[row]) + back + 1
        if place >= 0:
            return float(column[self._columns.rows[contract_id][place]])
        tail = self._memory.tails.get((id(slot), contract_id), np.zeros(0))
        if -place > len(tail):
            raise IndexError(f"no value {back}: the contract has {len(tail) + place - back} bars so far")
        return float(tail[place])

    def remember(self) -> None:
        """Keep what the next piece may look back to."""
        for slot, column in self.shown:
            for contract_id, own in self._columns.rows.items():
                key = (id(slot), contract_id)
                before = self._memory.tails.get(key, np.zeros(0))
                self._memory.tails[key] = np.concatenate((before, column[own[-HISTORY_MAX:]]))[-HISTORY_MAX:].copy()

    def _ready(self) -> NDArray[np.bool_]:
        ready = np.ones(len(self._columns), dtype=bool)
        for contract_id, own in self._columns.rows.items():
            unready = self._strategy.warmup - 1 - self._memory.bars.get(contract_id, 0)
            ready[own[: max(unready, 0)]] = False
        return ready
