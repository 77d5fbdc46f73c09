"""Compiled loops of a sweep: what a set of parameters amounts to, without keeping what a single run shows.

What is done hangs on the number of fills, not of bars: between two fills equity moves with the close alone, so the
highest and the lowest close of a block of bars say whether any of them matters.
"""

from typing import Any

import numpy as np
from numba import types

from engine.column_path.compiled import _ALMOST, _BYTES, _F, _I, _OUT, _uniform, jit, sides, turns

_F2 = types.Array(types.float64, 2, "C", readonly=True)
_OUT2 = types.float64[:, ::1]
_PLACES = types.int64[::1]
_COSTS = _uniform(types.float64, 7)
_DEPTH = _RETURNS = _uniform(types.float64, 4)
_BLOCK = 8
_WORD = 8  # marks that are looked at in one go


@jit(_OUT2(_F))
def bounds(close: Any) -> Any:
    """Highest and lowest close of each block, the last of which may be short."""
    out = np.empty((2, (len(close) + _BLOCK - 1) // _BLOCK))
    for block in range(out.shape[1]):
        own = close[block * _BLOCK : (block + 1) * _BLOCK]
        out[0, block], out[1, block] = own.max(), own.min()
    return out


@jit(types.int64(_BYTES, types.int64, _PLACES))
def _marked(marks: Any, first: int, into: Any) -> int:
    """How many marks from `first` on are set, and which, without a branch on what is set. There are whole words of
    marks, and as many places and one more."""
    words = marks.view(np.uint64)
    some, kept, count = np.empty(len(words) + 1, dtype=np.int64), 0, 0
    for word in range(first // _WORD, len(words)):
        some[kept] = word
        kept += words[word] != 0
    for number in range(kept):
        for place in range(some[number] * _WORD, (some[number] + 1) * _WORD):
            into[count] = place
            count += (marks[place] != 0) & (place >= first)
    return count


@jit(_DEPTH(_uniform(types.int64, 2), _F2, _F2, types.float64, types.float64, _DEPTH))
def _deeper(rows: Any, bars: Any, limits: Any, cash: float, held: float, depth: Any) -> Any:
    """The highest equity, the equity below which it lies deeper under its high than ever, how deep that is, and the
    least equity met there: after these rows, through which so much is held."""
    high, bottom, deepest, least = depth
    close, highest, lowest = bars[1], limits[0], limits[1]
    row, stop = rows if held != 0 else (rows[1] - 1, rows[1])  # all rows are one while nothing is held
    while row < stop:
        block = row // _BLOCK
        until = min(stop, (block + 1) * _BLOCK)
        one, other = cash + held * highest[block], cash + held * lowest[block]
        if max(one, other) <= high and min(one, other) >= bottom:  # nowhere in the block, of which these are a part
            row = until
        while row < until:
            equity = cash + held * close[row]
            if equity > high:
                high = equity
                bottom = high * (1 + deepest)
            elif equity < bottom:
                deepest = equity / high - 1
                bottom = equity
                least = min(least, equity)
            row += 1
    return high, bottom, deepest, least


@jit(_RETURNS(_I, types.int64, _F2, types.float64, types.float64, _RETURNS))
def _returned(ends: Any, stop: int, bars: Any, cash: float, held: float, returns: Any) -> Any:
    """How many sessions have ended, the equity then, and sum and sum of squares of the returns: up to a row, to which
    so much is held."""
    done, before, total, squares = returns
    session = int(done)
    while session < len(ends) and ends[session] < stop:
        equity = cash + held * bars[1, ends[session]]
        if equity != before:
            change = equity / before - 1
            total += change
            squares += change * change
            before = equity
        session += 1
    return float(session), before, total, squares


@jit(types.void(_PLACES, _F, types.int64, _F2, _F2, _I, _COSTS, _OUT))
def _outcome(rows: Any, targets: Any, count: int, bars: Any, limits: Any, ends: Any, costs: Any, into: Any
             ) -> None:  # fmt: skip
    """The figures, as `sweep` lists them, of one contract whose targets are heard in the first `count` of `rows`.
    `bars` are opens and closes, `limits` the `bounds` of closes, `ends` the rows that end a session."""
    full, lot, start, rate, per_share, worse_rate, worse_fixed = costs
    length = bars.shape[1]
    cash, held, fills, first, met = start, 0.0, 0.0, 0, np.nan
    depth, returns = (start, start, 0.0, start), (0.0, start, 0.0, 0.0)
    for number in range(count):
        target, row = targets[rows[number]], rows[number] + 1
        if target == met or row == length:
            continue
        lots = target * full / lot
        missing = np.trunc(lots + _ALMOST if lots > 0 else lots - _ALMOST) * lot - held
        if missing == 0:
            met = target  # as long as it is told again, nothing is missing
            continue
        depth = _deeper((first, row), bars, limits, cash, held, depth)
        returns = _returned(ends, row, bars, cash, held, returns)
        opening = bars[0, row]
        worse = abs(opening) * worse_rate + worse_fixed
        price = opening + worse if missing > 0 else opening - worse
        size = abs(missing)
        cash -= missing * price + (size * abs(price) * rate + size * per_share)
        held += missing
        fills += 1.0
        first, met = row, np.nan
    depth = _deeper((first, length), bars, limits, cash, held, depth)
    returns = _returned(ends, length, bars, cash, held, returns)
    into[0], into[1], into[2] = cash + held * bars[1, length - 1], depth[2], returns[2]
    into[3], into[4], into[5] = returns[3], fills, depth[3]


@jit(types.boolean(_F, types.int64, _F2, _F2, _I, _COSTS, _OUT2, types.int64))
def score(targets: Any, first: int, bars: Any, limits: Any, ends: Any, costs: Any, into: Any, place: int) -> bool:
    """The figures of these targets, of which those before `first` are not heard; False where one leaves [-1, 1]."""
    marks, beyond = np.zeros((len(targets) + _WORD - 1) // _WORD * _WORD, dtype=np.uint8), np.uint8(0)
    for row in range(len(targets)):
        marks[row] = np.uint8(abs(targets[row]) <= 1.0)
        beyond |= np.uint8(abs(targets[row]) > 1.0)
    if beyond:
        return False
    rows = np.empty(len(marks) + 1, dtype=np.int64)
    count = _marked(marks, first, rows)
    _outcome(rows, targets, count, bars, limits, ends, costs, into[place])
    return True


@jit(types.void(_F2, _F2, _I, _I, _F, _F2, _F2, _I, _COSTS, _OUT2))
def score_crossings(firsts: Any, seconds: Any, first_of: Any, second_of: Any, below: Any, bars: Any, limits: Any,
                    ends: Any, costs: Any, into: Any) -> None:  # fmt: skip
    """The figures of a rule for many pairs of rows: the full position when one crosses above the other, `below` of it
    when it crosses below."""
    count = bars.shape[1]
    side, told = np.empty(count, dtype=np.uint8), np.empty(count)
    marks = np.zeros((count + _WORD - 1) // _WORD * _WORD, dtype=np.uint8)
    rows = np.empty(len(marks) + 1, dtype=np.int64)
    for pair in range(len(first_of)):
        sides(firsts[first_of[pair]], seconds[second_of[pair]], side)
        turns(side, marks)
        crossed = _marked(marks, 0, rows)
        for number in range(crossed):
            turn = marks[rows[number]]
            rows[number] += 1
            told[rows[number]] = 1.0 if turn == 2 else below[pair]
        _outcome(rows, told, crossed, bars, limits, ends, costs, into[pair])
