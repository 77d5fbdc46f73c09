"""The compiled loops as functions of arrays; a single run takes them as machine code that was kept, without Numba."""

import math
from ctypes import CFUNCTYPE, c_double, c_int64, c_void_p
from functools import cache
from threading import RLock
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.columns import Floats, Integers
from engine.lean_imports import imported

FLOATS, INTEGERS, BYTES = np.dtype(np.float64), np.dtype(np.int64), np.dtype(np.uint8)
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "mean": (FLOATS, c_int64, INTEGERS, FLOATS),
    "on_crossing": (FLOATS, FLOATS, INTEGERS, c_double, c_double, c_double, BYTES, FLOATS),
    "crossing": (FLOATS, FLOATS, INTEGERS, BYTES, FLOATS),
    "fills": (FLOATS, INTEGERS, c_double, c_double, INTEGERS, FLOATS, INTEGERS),
    "value": (FLOATS, INTEGERS, INTEGERS, INTEGERS, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS, FLOATS),
    "value_of_one": (FLOATS, INTEGERS, FLOATS, FLOATS, FLOATS, FLOATS),
    "answers": (FLOATS, c_double, c_double, FLOATS),
    "beyond_one": (FLOATS, INTEGERS),
}
"""What each loop of `engine.column_path.compiled` takes: columns, and numbers."""

_loading = RLock()


class Loops:
    """The loops, and the arrays that they write into."""

    def __init__(self, compiled: Any, code: Any = None) -> None:
        self._compiled = compiled
        self._code = code  # where the loops lie goes with it

    def sma(self, values: Floats, bars: int, offsets: Integers) -> Floats:
        """`sma` of each segment."""
        out = np.empty(len(values))
        self._compiled.mean(values, int(bars), offsets, out)
        return out

    def crossing(self, first: Floats, second: Floats, offsets: Integers) -> Floats:
        """`crossing` of each segment."""
        out = np.empty(len(first))
        self._compiled.crossing(first, second, offsets, np.empty(2 * len(first), np.uint8), out)
        return out

    def on_crossing(self, first: Floats, second: Floats, offsets: Integers, above: float, below: float) -> Floats:
        """Targets of a crossing: one where it crosses above, another where below, NaN elsewhere."""
        room, out = np.empty(2 * len(first), np.uint8), np.empty(len(first))
        self._compiled.on_crossing(first, second, offsets, float(above), float(below), math.nan, room, out)
        return out

    def answers(self, crossed: Floats, above: float, below: float) -> Floats:
        """The same of a crossing that is a column already."""
        out = np.empty(len(crossed))
        self._compiled.answers(crossed, float(above), float(below), out)
        return out

    def within_one(self, targets: Floats) -> bool:
        """Whether each target lies in [-1, 1] or is NaN."""
        told = np.empty(1, np.int64)
        self._compiled.beyond_one(targets, told)
        return not told[0]

    def fills(self, targets: Floats, offsets: Integers, full: float, lot: float) -> tuple[Integers, Floats, int]:
        """At which rows how much fills, and how many orders still wait at the end."""
        at, quantity, told = np.empty(len(targets), np.int64), np.empty(len(targets)), np.empty(2, np.int64)
        self._compiled.fills(targets, offsets, float(full), float(lot), at, quantity, told)
        count, waiting = told.tolist()
        return at[:count].copy(), quantity[:count].copy(), waiting

    def value(self, bars: tuple[Floats, Integers, Integers], fills: tuple[Integers, Floats], cash: Floats
              ) -> tuple[Floats, Floats]:  # fmt: skip
        """Equity and gross value at each time. `bars` are closes, the contracts' numbers, and before which row each
        time's bars stop; `cash` is what there is after each time's fills, which are sorted by row."""
        close, places, ends = bars
        count = int(places.max()) + 1
        equity, gross = np.empty(len(ends)), np.empty(len(ends))
        self._compiled.value(close, places, ends, *fills, cash, np.zeros(count), np.zeros(count), equity, gross)
        return equity, gross

    def value_of_one(self, close: Floats, fills: tuple[Integers, Floats], balances: Floats) -> tuple[Floats, Floats]:
        """The same of one contract: every row is a time; `balances` is the cash before and after each fill."""
        equity, gross = np.empty(len(close)), np.empty(len(close))
        self._compiled.value_of_one(close, *fills, balances, equity, gross)
        return equity, gross


def loops(*, many: bool = False) -> Loops:
    """For `many` runs through Numba, which is slow to load and quick to call; loaded once, whatever threads ask."""
    with _loading:
        return _loaded(many)


@cache
def _loaded(many: bool) -> Loops:
    if many:
        return Loops(imported("engine.column_path.compiled"))
    code = imported("engine.column_path.machine_code").engine()
    lies_at = code.get_function_address
    return Loops(SimpleNamespace(**{name: _function(name, lies_at(name)) for name in ARGUMENTS}), code)


def _function(name: str, address: int) -> Any:
    kinds = ARGUMENTS[name]
    plain: list[Any] = []
    for kind in kinds:
        plain += (c_void_p, c_int64) if isinstance(kind, np.dtype) else (kind,)
    function = CFUNCTYPE(None, *plain)(address)

    def call(*given: Any) -> None:
        words: list[Any] = []
        for kind, each in zip(kinds, given, strict=True):
            if not isinstance(kind, np.dtype):
                words.append(each)
                continue
            if each.dtype != kind or each.ndim != 1 or not each.flags.c_contiguous:
                raise TypeError(f"{name} takes columns of {kind}, not {each.dtype} of shape {each.shape}")
            words += (each.ctypes.data, len(each))
        function(*words)

    return call
