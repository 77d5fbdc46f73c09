"""The compiled loops as functions of C, which take a pointer and a length for each column: what is kept of them.

Only what compiles them imports this module.
"""

import re
from ctypes import c_double
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from numba import carray, types  # type: ignore[attr-defined] # ships no types, and says not what it exports

from engine.column_path import compiled
from engine.column_path.loops import ARGUMENTS

_pointer: Any = types.CPointer  # ships no types

# Numba's wrapper tells Python of what a loop raises; none raises, so nothing of Numba's is needed, nor of Python's
_NEVER = re.compile(r"^declare (.*@(?:Py|_Py|numba_|NRT_).*?)( local_unnamed_addr)?( #\d+)?$", re.MULTILINE)
_ENDS = r"define internal \1 { call void @llvm.trap() unreachable }"

_mean, _on_crossing, _crossing, _fills = compiled.mean, compiled.on_crossing, compiled.crossing, compiled.fills
_value, _value_of_one = compiled.value, compiled.value_of_one
_answers, _beyond_one = compiled.answers, compiled.beyond_one


def object_code(machine: Any) -> bytes:
    """All loops, by their names, for one kind of machine."""
    whole = llvm.parse_assembly("declare void @llvm.trap()")
    for name in ARGUMENTS:
        made: Any = numba.cfunc(types.void(*_types(name)), error_model="numpy")(globals()[name])
        part = llvm.parse_assembly(_NEVER.sub(_ENDS, made.inspect_llvm()) + "\ndeclare void @llvm.trap()\n")
        part.get_function(made.native_name).name = name
        whole.link_in(part)
    return bytes(machine.emit_object(whole))


def _types(name: str) -> list[Any]:
    found: list[Any] = []
    for kind in ARGUMENTS[name]:
        if isinstance(kind, np.dtype):
            found += (_pointer(numba.from_dtype(kind)), types.int64)
        else:
            found.append(types.float64 if kind is c_double else types.int64)
    return found


# fmt: off


def mean(values: Any, count: Any, bars: Any, offsets: Any, edges: Any, out: Any, rows: Any) -> None:
    _mean(carray(values, count), bars, carray(offsets, edges), carray(out, rows))


def on_crossing(first: Any, count: Any, second: Any, counted: Any, offsets: Any, edges: Any, above: Any, below: Any,
                neither: Any, room: Any, size: Any, out: Any, rows: Any) -> None:
    _on_crossing(carray(first, count), carray(second, counted), carray(offsets, edges), above, below, neither,
                 carray(room, size), carray(out, rows))


def crossing(first: Any, count: Any, second: Any, counted: Any, offsets: Any, edges: Any, room: Any, size: Any,
             out: Any, rows: Any) -> None:
    _crossing(carray(first, count), carray(second, counted), carray(offsets, edges), carray(room, size),
              carray(out, rows))


def fills(targets: Any, count: Any, offsets: Any, edges: Any, full: Any, lot: Any, at: Any, rows: Any, quantity: Any,
          sizes: Any, told: Any, figures: Any) -> None:
    _fills(carray(targets, count), carray(offsets, edges), full, lot, carray(at, rows), carray(quantity, sizes),
           carray(told, figures))


def value(close: Any, count: Any, places: Any, numbers: Any, ends: Any, times: Any, fill_rows: Any, filled: Any,
          quantities: Any, sizes: Any, cash: Any, sums: Any, held: Any, contracts: Any, worth: Any, worths: Any,
          equity: Any, equities: Any, gross: Any, grosses: Any) -> None:
    _value(carray(close, count), carray(places, numbers), carray(ends, times), carray(fill_rows, filled),
           carray(quantities, sizes), carray(cash, sums), carray(held, contracts), carray(worth, worths),
           carray(equity, equities), carray(gross, grosses))


def value_of_one(close: Any, count: Any, fill_rows: Any, filled: Any, quantities: Any, sizes: Any, balances: Any,
                 sums: Any, equity: Any, equities: Any, gross: Any, grosses: Any) -> None:
    _value_of_one(carray(close, count), carray(fill_rows, filled), carray(quantities, sizes), carray(balances, sums),
                  carray(equity, equities), carray(gross, grosses))


def answers(crossed: Any, count: Any, above: Any, below: Any, out: Any, rows: Any) -> None:
    _answers(carray(crossed, count), above, below, carray(out, rows))


def beyond_one(targets: Any, count: Any, told: Any, figures: Any) -> None:
    _beyond_one(carray(targets, count), carray(told, figures))
