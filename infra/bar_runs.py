"""Bars out of several runs, each sorted by start, in portions sorted by end and contract: no more than a block of each
run that has its turn is in memory."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.replay_cache import Segment

Arrays = dict[str, NDArray[Any]]
"""By column; ids and times are int64, prices and volume float64."""
Settle = Callable[[Arrays], Arrays]
"""Of rows that belong together those that count, once each, sorted by end and contract."""

_BLOCK = 32_768


@dataclass
class Run:
    """Rows `first` until before `stop` of one contract, sorted by start."""

    contract_id: int
    first: int
    stop: int
    first_us: int
    """When the first of them starts."""
    read: Callable[[int, int], Mapping[str, NDArray[Any]]]
    _held: Arrays | None = None

    @classmethod
    def of_segment(cls, contract_id: int, segment: Segment, file: str, bounds: tuple[int | None, int | None]) -> "Run":
        """Those of a file that start within `bounds`."""
        rows, starts = segment.files[file][0], segment.columns(file)["start_us"]
        first = 0 if bounds[0] is None else int(np.searchsorted(starts, bounds[0]))
        stop = rows if bounds[1] is None else int(np.searchsorted(starts, bounds[1]))
        first_us = int(starts[first]) if first < stop else 0
        return cls(contract_id, first, stop, first_us, lambda a, b: segment.part(file, a, b))

    @classmethod
    def of_arrays(cls, contract_id: int, arrays: Arrays) -> "Run":
        """Rows that are in memory already, in any order."""
        order = np.argsort(arrays["start_us"], kind="stable")
        arranged = {name: values[order] for name, values in arrays.items()}
        first_us = int(arranged["start_us"][0]) if len(order) else 0
        return cls(
            contract_id, 0, len(order), first_us, lambda a, b: {name: each[a:b] for name, each in arranged.items()}
        )

    def __len__(self) -> int:
        return self.stop - self.first + (0 if self._held is None else len(self._held["start_us"]))

    def reach(self) -> int | None:
        """A moment before which every row that starts is in hand; None when all are."""
        if self.first >= self.stop:
            return None
        return self.first_us if self._held is None else int(self._held["start_us"][-1])

    def load(self) -> None:
        """Take one block more in hand."""
        stop = min(self.first + _BLOCK, self.stop)
        block = dict(self.read(self.first, stop))
        block["contract_id"] = np.full(stop - self.first, self.contract_id)
        held = self._held
        self._held = block if held is None else {name: np.concatenate((held[name], block[name])) for name in block}
        self.first = stop

    def take(self, before_us: int | None) -> Arrays | None:
        """The rows in hand that start before a moment, which are handed out once; None when there are none."""
        held = self._held
        if held is None:
            return None
        count = len(held["start_us"])
        if before_us is not None:
            count = int(np.searchsorted(held["start_us"], before_us))
        self._held = {name: values[count:] for name, values in held.items()} if count < len(held["start_us"]) else None
        return {name: values[:count] for name, values in held.items()} if count else None


def portions(runs: Iterable[Run], settle: Settle) -> Iterator[Arrays]:
    """Everything, settled. A row waits until none can come that ends before it."""
    waiting: Arrays | None = None
    left = [run for run in runs if len(run)]
    while left:
        reaches = [(reach, number) for number, run in enumerate(left) if (reach := run.reach()) is not None]
        if reaches:
            left[min(reaches)[1]].load()
        bound = min((reach for run in left if (reach := run.reach()) is not None), default=None)
        taken = [rows for run in left if (rows := run.take(bound)) is not None]
        left = [run for run in left if len(run)]
        if not taken:
            continue
        fresh = settle(_joined(taken))
        ready = fresh if waiting is None else _by_end(_joined([waiting, fresh]))
        count = len(ready["end_us"]) if bound is None else int(np.searchsorted(ready["end_us"], bound, side="right"))
        waiting = {name: values[count:] for name, values in ready.items()}
        if count:
            yield {name: values[:count] for name, values in ready.items()}
    if waiting is not None and len(waiting["end_us"]):
        yield waiting


def _joined(parts: list[Arrays]) -> Arrays:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _by_end(rows: Arrays) -> Arrays:
    order = np.lexsort((rows["contract_id"], rows["end_us"]))
    return {name: values[order] for name, values in rows.items()}
