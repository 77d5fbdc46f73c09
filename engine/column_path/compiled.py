"""Compiled loops of the column path. Declared signatures with read-only inputs: lazily made ones compile anew for every
layout and for every read-only array. No `fastmath`: the bits are those of the plain loops.

They write into what they are handed, and neither make an array nor raise: `entries` of them can be kept as machine
code that asks for nothing of Numba's (`loops`).
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types

from engine.lean_imports import imported

imported("numba.np.arraymath", without=("scipy.linalg",))  # for products of matrices, which no loop here has

_F = types.Array(types.float64, 1, "C", readonly=True)
_I = types.Array(types.int64, 1, "C", readonly=True)
_tuple: Any = types.Tuple  # ships no types
_OUT = types.float64[::1]
_BYTES = types.uint8[::1]
_ROWS = types.int64[::1]
_uniform: Any = types.UniTuple
_BLOCK = 256  # rows that stay in the nearest cache
_Loop = TypeVar("_Loop", bound=Callable[..., Any])
_ALMOST = 1e-9  # as in `engine.sizing`
_TIE = 1e-12  # as in `engine.indicators`


def jit(*signatures: Any) -> Callable[[_Loop], _Loop]:
    """A declared signature is compiled, or loaded from the cache, when this module is imported."""
    compile_: Any = numba.njit(list(signatures), cache=True, error_model="numpy")
    return compile_  # type: ignore[no-any-return] # ships no types that mypy could follow


@jit(types.void(_F, types.int64, _I, _OUT))
def mean(values: Any, bars: int, offsets: Any, out: Any) -> None:
    """`sma` of each segment: windows summed afresh, oldest value first."""
    for row in range(len(out)):
        out[row] = np.nan
    for segment in range(len(offsets) - 1):
        for first in range(offsets[segment] + bars - 1, offsets[segment + 1], _BLOCK):
            stop = min(first + _BLOCK, offsets[segment + 1])
            into = out[first:stop]
            oldest = values[first - bars + 1 : stop - bars + 1]
            for row in range(len(into)):
                into[row] = oldest[row]
            back = bars - 2
            while back >= 3:  # four at a time, added one after the other
                one, two = values[first - back : stop - back], values[first - back + 1 : stop - back + 1]
                three, four = values[first - back + 2 : stop - back + 2], values[first - back + 3 : stop - back + 3]
                for row in range(len(into)):
                    into[row] = (((into[row] + one[row]) + two[row]) + three[row]) + four[row]
                back -= 4
            while back >= 0:
                later = values[first - back : stop - back]
                for row in range(len(into)):
                    into[row] += later[row]
                back -= 1
            for row in range(len(into)):
                into[row] /= bars


@jit(types.void(_F, _F, _BYTES))
def sides(first: Any, second: Any, into: Any) -> None:
    """`side` as bits, without a branch: 1 where first is at or above second, 2 where it is at or below, so both on a
    tie; none where an input is NaN."""
    for row in range(len(into)):
        distance = first[row] - second[row]
        tie = _TIE * max(abs(first[row]), abs(second[row]))
        into[row] = np.uint8(distance >= -tie) | np.uint8(2) * np.uint8(distance <= tie)


@jit(types.void(_BYTES, _BYTES))
def turns(side: Any, into: Any) -> None:
    """Where `sides` cross, one row later than the first: 2 above, 1 below, else 0."""
    before, now = side[:-1], side[1:]
    for row in range(len(now)):
        into[row] = before[row] & (now[row] ^ np.uint8(3)) if now[row] != 0 else np.uint8(0)


@jit(types.void(_F, _F, _I, types.float64, types.float64, types.float64, _BYTES, _OUT))
def on_crossing(first: Any, second: Any, offsets: Any, above: float, below: float, neither: float, room: Any, out: Any
                ) -> None:  # fmt: skip
    """Of each segment: one value where first crosses above second, another where below, and one elsewhere; NaN in a
    segment's first row. There is `room` for two bytes a row."""
    side, turned = room[: len(first)], room[len(first) :]
    sides(first, second, side)
    turns(side, turned)
    for segment in range(len(offsets) - 1):
        start, stop = offsets[segment], offsets[segment + 1]
        out[start] = np.nan
        turn, into = turned[start:], out[start + 1 : stop]
        for row in range(len(into)):
            into[row] = above if turn[row] == 2 else (below if turn[row] == 1 else neither)


@jit(types.void(_F, _F, _I, _BYTES, _OUT))
def crossing(first: Any, second: Any, offsets: Any, room: Any, out: Any) -> None:
    """`crossing` of each segment."""
    on_crossing(first, second, offsets, 1.0, -1.0, 0.0, room, out)
    for row in range(len(out)):
        if np.isnan(first[row] - second[row]):
            out[row] = np.nan
            if row + 1 < len(out):
                out[row + 1] = np.nan


@jit(types.void(_F, _I, types.float64, types.float64, _ROWS, _OUT, _ROWS))
def fills(targets: Any, offsets: Any, full: float, lot: float, at: Any, quantity: Any, told: Any) -> None:
    """Where and how much is filled, segment by segment; told are how many fills there are, and how many orders still
    wait at the end.

    A target becomes an order of what is missing to it, in whole lots; it fills in the segment's next row. Rows count
    in the segments' order.
    """
    count, waiting = 0, 0
    for segment in range(len(offsets) - 1):
        held = 0.0
        stop = offsets[segment + 1]
        for row in range(offsets[segment], stop):
            target = targets[row]
            if np.isnan(target):
                continue
            lots = target * full / lot
            missing = np.trunc(lots + _ALMOST if lots > 0 else lots - _ALMOST) * lot - held
            if missing == 0:
                continue
            if row + 1 == stop:
                waiting += 1
                continue
            at[count], quantity[count] = row + 1, missing
            held += missing
            count += 1
    told[0], told[1] = count, waiting


@jit(types.void(_F, _I, _I, _I, _F, _F, _OUT, _OUT, _OUT, _OUT))
def value(close: Any, places: Any, ends: Any, fill_rows: Any, fill_quantities: Any, cash: Any, held: Any, worth: Any,
          equity: Any, gross: Any) -> None:  # fmt: skip
    """Equity and gross value at each time: cash, then the book contract after contract.

    `places` is the number of each row's contract, `ends` the row before which each time's rows stop; fills are sorted
    by row; `cash` is what there is after each time's fills. What is `held` and its `worth` by contract begin at zero.
    """
    count = len(held)
    fill = row = 0
    following = fill_rows[0] if len(fill_rows) else -1
    for time in range(len(ends)):
        while row < ends[time]:
            place = places[row]
            while row == following:
                held[place] += fill_quantities[fill]
                fill += 1
                following = fill_rows[fill] if fill < len(fill_rows) else -1
            worth[place] = held[place] * close[row]
            row += 1
        total, size = cash[time], 0.0
        for place in range(count):
            total += worth[place]
            size += abs(worth[place])
        equity[time], gross[time] = total, size


@jit(types.void(_F, _I, _F, _F, _OUT, _OUT))
def value_of_one(close: Any, fill_rows: Any, fill_quantities: Any, balances: Any, equity: Any, gross: Any) -> None:
    """The same of one contract: every row is a time; `balances` is the cash before and after each fill."""
    held, first = 0.0, 0
    for fill in range(len(fill_rows) + 1):
        stop = fill_rows[fill] if fill < len(fill_rows) else len(close)
        prices, into, size, cash = close[first:stop], equity[first:stop], gross[first:stop], balances[fill]
        for row in range(len(into)):
            worth = held * prices[row]
            into[row] = cash + worth
            size[row] = abs(worth)
        if fill < len(fill_rows):
            held += fill_quantities[fill]
        first = stop


@jit(types.void(_F, types.float64, types.float64, _OUT))
def answers(crossed: Any, above: float, below: float, out: Any) -> None:
    """Targets of crossings: one where above, another where below, NaN elsewhere."""
    for row in range(len(crossed)):
        out[row] = above if crossed[row] > 0 else (below if crossed[row] < 0 else np.nan)


@jit(types.void(_F, _ROWS))
def beyond_one(targets: Any, told: Any) -> None:
    """How many targets leave [-1, 1]; none where there is no target."""
    beyond = 0
    for row in range(len(targets)):
        beyond += abs(targets[row]) > 1.0
    told[0] = beyond
