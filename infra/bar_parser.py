"""The text of bars read row by row in compiled code: as bar_text reads it, several times as fast.

numba costs memory and time to load: only what has many bars to read imports this module. Declared signatures with
read-only inputs: lazily made ones compile anew for every layout. Where a row differs in any way it is called odd:
nothing that is read of it here means anything. Nothing here knows the fields of a bar: `Shape` tells them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

TIME, WHOLE, DECIMAL, KIND, NAME = range(5)
_FRAME_WORDS = 3
_PAD = bytes(64)
_KINDS_MAX = 16
_KIND_MAX = 40
_NAME_MAX = 128
_DIGITS_MAX = 15
_EXACT_MAX = 2**53
_TENS = 10.0 ** np.arange(23)  # each of them exact
_MASKS = np.array([(1 << 8 * size) - 1 for size in range(9)], dtype=np.uint64)
_DAYS_BEFORE_MONTH = np.array([0, 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365], dtype=np.int64)
_Loop = TypeVar("_Loop", bound=Callable[..., Any])

_I = types.int64
_TEXT = types.Array(types.uint8, 1, "C", readonly=True)
_WORDS = types.Array(types.uint64, 1, "A", readonly=True, aligned=False)
_FRAMES = types.Array(types.uint64, 2, "C", readonly=True)
_NUMBERS = types.Array(types.int64, 1, "C", readonly=True)
_ALLOWED = types.Array(types.boolean, 2, "C", readonly=True)
_NOTHING_READ = -1


def _inlined(loop: _Loop) -> _Loop:
    """A part of `_rows`: compiled with it, and only there."""
    inline: Any = numba.njit(inline="always", error_model="numpy")
    return inline(loop)  # type: ignore[no-any-return] # ships no types that mypy could follow


@_inlined
def _framed(words: Any, at: Any, values: Any, masks: Any, number: Any) -> Any:
    """Whether the text goes on with a frame."""
    differing = np.uint64(0)
    for word in range(_FRAME_WORDS):
        differing |= (words[at + 8 * word] & masks[number, word]) ^ values[number, word]
    return differing == 0


@_inlined
def _two_digits(text: Any, at: Any, wrong: Any) -> Any:
    """The number that two digits spell, and `wrong`, not zero any more if they are none."""
    ten, one = _I(text[at]) - 48, _I(text[at + 1]) - 48
    return ten * 10 + one, wrong | (ten < 0) | (ten > 9) | (one < 0) | (one > 9)


@_inlined
def _time(text: Any, at: Any, end: Any) -> Any:
    """Microseconds since 1970 of a time in UTC with no or six digits of a fraction, and where it ends."""
    if at + 27 > end:  # a bar goes on after its times
        return 0, _NOTHING_READ
    century, wrong = _two_digits(text, at, 0)
    year, wrong = _two_digits(text, at + 2, wrong)
    month, wrong = _two_digits(text, at + 5, wrong)
    day, wrong = _two_digits(text, at + 8, wrong)
    hour, wrong = _two_digits(text, at + 11, wrong)
    minute, wrong = _two_digits(text, at + 14, wrong)
    second, wrong = _two_digits(text, at + 17, wrong)
    wrong |= (text[at + 4] != 45) | (text[at + 7] != 45) | (text[at + 10] != 84)  # - - T
    wrong |= (text[at + 13] != 58) | (text[at + 16] != 58)  # : :
    year += century * 100
    wrong |= (year < 1) | (month < 1) | (month > 12) | (hour > 23) | (minute > 59) | (second > 59)
    if wrong:
        return 0, _NOTHING_READ
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    days_before = _DAYS_BEFORE_MONTH[month] + (leap & (month > 2))
    if day < 1 or day > _DAYS_BEFORE_MONTH[month + 1] + (leap & (month > 1)) - days_before:
        return 0, _NOTHING_READ
    past = year - 1
    days = past * 365 + past // 4 - past // 100 + past // 400 + days_before + day - 719_163
    moment = (((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000
    if text[at + 19] == 90:  # Z
        return moment, at + 20
    high, wrong = _two_digits(text, at + 20, 0)
    middle, wrong = _two_digits(text, at + 22, wrong)
    low, wrong = _two_digits(text, at + 24, wrong)
    if wrong or text[at + 19] != 46 or text[at + 26] != 90:
        return 0, _NOTHING_READ
    return moment + (high * 100 + middle) * 100 + low, at + 27


@_inlined
def _whole(text: Any, at: Any, end: Any) -> Any:
    """A number of up to 15 digits, none of them a zero too many, and where it ends."""
    stop = min(at + _DIGITS_MAX, end)
    place, value = at, 0
    while place < stop and 48 <= text[place] <= 57:
        value = value * 10 + (_I(text[place]) - 48)
        place += 1
    if place == at or (text[at] == 48 and place > at + 1):
        return 0, _NOTHING_READ
    return value, place


@_inlined
def _decimal(text: Any, at: Any, end: Any) -> Any:
    """A number like `-440.25`, and where it ends. An integer up to 2**53, divided by a power of ten up to 1e22, is the
    float64 nearest to the decimal; what has more digits than that is left to others."""
    negative = text[at] == 45
    begin = at + negative
    whole, point = _whole(text, begin, end)
    if point < 0 or point >= end or text[point] != 46:
        return 0.0, _NOTHING_READ
    place = point + 1
    stop = min(place + 22, end)
    while place < stop and 48 <= text[place] <= 57:
        whole = whole * 10 + (_I(text[place]) - 48)
        place += 1
        if whole > _EXACT_MAX:
            return 0.0, _NOTHING_READ
    if place == point + 1:
        return 0.0, _NOTHING_READ
    value = whole / _TENS[place - point - 1]
    return -value if negative else value, place


@_inlined
def _same(words: Any, one: Any, other: Any, size: Any) -> Any:
    while size > 8:
        if words[one] != words[other]:
            return False
        one, other, size = one + 8, other + 8, size - 8
    return (words[one] ^ words[other]) & _MASKS[size] == 0


@_inlined
def _kind(text: Any, words: Any, at: Any, end: Any, stop: Any, known: Any) -> Any:
    """The number of a text among those that are known, which has another one then, and where it ends."""
    number = 0
    while number < _KINDS_MAX and known[number, 0]:
        size = known[number, 1]
        if at + size < end and text[at + size] == stop and _same(words, at, known[number, 0], size):
            return number, at + size
        number += 1
    place = at
    while place < end and place - at <= _KIND_MAX and text[place] != stop:
        place += 1
    if number == _KINDS_MAX or place == end or place - at > _KIND_MAX:
        return 0, _NOTHING_READ
    known[number, 0], known[number, 1] = at, place - at
    return number, place


@_inlined
def _name(text: Any, at: Any, end: Any, allowed: Any) -> Any:
    """Where a name ends: a character of the first set, followed by some of the second."""
    place = at
    stop = min(at + _NAME_MAX, end)
    while place < stop and allowed[min(place - at, 1), text[place]]:
        place += 1
    return place if place > at else _NOTHING_READ


_compiled: Any = numba.njit(
    [
        types.void(
            _TEXT, _WORDS, _NUMBERS, _FRAMES, _FRAMES, _NUMBERS, _NUMBERS, _ALLOWED,
            types.int64[:, ::1], types.float64[:, ::1], types.int64[:, :, ::1], types.boolean[::1],
        )
    ],
    cache=True,
    error_model="numpy",
)  # fmt: skip


@_compiled  # type: ignore[untyped-decorator] # ships no types
def _rows(text: Any, words: Any, offsets: Any, values: Any, masks: Any, sizes: Any, sorts: Any, allowed: Any,
          integers: Any, floats: Any, known: Any, right: Any) -> None:  # fmt: skip
    """Each row: a frame, a value, a frame, and so on to the last frame, which ends the row."""
    count = len(sorts)
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        integer = decimal = kind = 0
        for field in range(count):
            if at + sizes[field] >= end or not _framed(words, at, values, masks, field):
                at = _NOTHING_READ
                break
            at += sizes[field]
            sort = sorts[field]
            if sort == TIME:
                integers[integer, row], at = _time(text, at, end)
                integer += 1
            elif sort == DECIMAL:
                floats[decimal, row], at = _decimal(text, at, end)
                decimal += 1
            elif sort == WHOLE:
                integers[integer, row], at = _whole(text, at, end)
                integer += 1
            elif sort == KIND:
                stop = _I(values[field + 1, 0] & np.uint64(255))
                integers[integer, row], at = _kind(text, words, at, end, stop, known[kind])
                integer += 1
                kind += 1
            else:
                at = _name(text, at, end, allowed)
            if at < 0:
                break
        right[row] = at >= 0 and at + sizes[count] == end and _framed(words, at, values, masks, count)


class Shape:
    """The fields of a row: of which sort each is, and what stands before, between and after them.

    `first` and `others` are the characters of names. Frames are of at most 24 bytes, and what follows a kind's text
    begins with a character that cannot be in the text.
    """

    def __init__(self, sorts: Sequence[int], frames: Sequence[bytes], first: bytes, others: bytes) -> None:
        assert len(frames) == len(sorts) + 1, "one stands before each field and one after the last"
        assert frames[0], "nothing that is looked for begins at the first byte"
        assert max(map(len, frames)) <= 8 * _FRAME_WORDS, "a few words hold what stands between values"
        padded = [frame.ljust(8 * _FRAME_WORDS, b"\0") for frame in frames]
        masks = [(b"\xff" * len(frame)).ljust(8 * _FRAME_WORDS, b"\0") for frame in frames]
        self.sorts = np.array(sorts, dtype=np.int64)
        self.sizes = np.array([len(frame) for frame in frames], dtype=np.int64)
        self.values, self.masks = (
            np.frombuffer(b"".join(texts), "<u8").reshape(-1, _FRAME_WORDS) for texts in (padded, masks)
        )
        self.allowed = np.zeros((2, 256), dtype=np.bool_)
        self.allowed[0, list(first)] = True
        self.allowed[1, list(others)] = True


@dataclass(frozen=True)
class Rows:
    """What was read: times, whole numbers and the numbers of kinds in the order of the fields, then the decimals; the
    texts of each field of few kinds by their numbers; and which rows are right."""

    integers: NDArray[np.int64]
    floats: NDArray[np.float64]
    kinds: list[list[bytes]]
    right: NDArray[np.bool_]


def read(values: Sequence[bytes], shape: Shape) -> Rows:
    """What `values`, one a row, hold, if they are of `shape`."""
    text = b"".join((*values, _PAD))
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=offsets[1:])
    words = np.ndarray((len(text) - 7,), dtype="<u8", buffer=text, strides=(1,))
    counts = [int((shape.sorts == sort).sum()) for sort in (TIME, WHOLE, KIND, DECIMAL)]
    integers = np.zeros((sum(counts[:3]), len(values)), dtype=np.int64)
    floats = np.zeros((counts[3], len(values)))
    known = np.zeros((counts[2], _KINDS_MAX, 2), dtype=np.int64)
    right = np.empty(len(values), dtype=np.bool_)
    _rows(
        np.frombuffer(text, np.uint8), words, offsets, shape.values, shape.masks, shape.sizes, shape.sorts,
        shape.allowed, integers, floats, known, right,
    )  # fmt: skip
    kinds = [[text[begin : begin + size] for begin, size in each if begin] for each in known.tolist()]
    return Rows(integers, floats, kinds, right)
