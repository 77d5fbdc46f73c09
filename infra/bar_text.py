"""The text of many bars read by column, eight bytes of every record at a time.

Our own writers write a bar always in the same way: the same fields in the same order, times in UTC with no or six
digits of a fraction, numbers with a point and no exponent. So a field is found by counting commas, and a number is
read by arithmetic on 64-bit words, for all records at once. A record that differs in any way is called odd: nothing
that is read of it here means anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.int64]
Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]

_PAD = bytes(64)
_NAME_MAX = 24
_TEXT_MAX = 40
_COMMA = ord(",")
_ONES = 0x0101010101010101
_ZEROS_OF_TEXT = np.uint64(0x30 * _ONES)
_LOW_SEVEN = np.uint64(0x7F * _ONES)
_TOP_BITS = np.uint64(0x80 * _ONES)
_OVER_NINE = np.uint64(0x76 * _ONES)
_POINTS = np.uint64(0x2E * _ONES)
_BYTE_PAIRS = np.uint64(0x000000FF000000FF)
_TENS = 10 ** np.arange(16, dtype=np.int64)
_TENS_FLOAT = 10.0 ** np.arange(16)
_EXACT_DIGITS = 15
"""An integer of so many digits, divided by a power of ten up to 1e22, is the float64 nearest to the decimal."""

# 256**i modulo 19 differs for i = 0..7: the number of the only byte that is set
_BYTE_NUMBER = np.full(19, -1, dtype=np.int64)
_BYTE_NUMBER[[pow(256, i, 19) for i in range(8)]] = np.arange(8)

_DAYS_OF_MONTH = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] + [0] * 87)


class Frames:
    """What stands before and after the value of each field, at most 16 bytes before and 8 after."""

    def __init__(self, texts: Sequence[tuple[bytes, bytes]]) -> None:
        before, after = [text for text, _ in texts], [text for _, text in texts]
        self.before = np.array([len(text) for text in before])[:, None]
        self.after = np.array([len(text) for text in after])[:, None]
        assert self.before.max() <= 16, "two words hold what stands before a value"
        assert self.after.max() <= 8, "one word holds what stands after a value"
        self.checks = (_Check([text[:8] for text in before]), _Check([text[8:] for text in before]), _Check(after))


class _Check:
    """Words to compare, of those fields that have any."""

    def __init__(self, texts: Sequence[bytes]) -> None:
        some = [number for number, text in enumerate(texts) if text]
        self.fields = np.array(some)
        self.masks = np.array([[(1 << 8 * len(texts[number])) - 1] for number in some], dtype=np.uint64)
        self.values = np.array([[int.from_bytes(texts[number], "little")] for number in some], dtype=np.uint64)


@dataclass(frozen=True)
class Fields:
    """Many records, cut into the same number of fields. `begins` and `ends` have the shape (fields, records)."""

    text: bytes
    begins: Numbers
    ends: Numbers

    @classmethod
    def cut(cls, values: Sequence[bytes], count: int) -> "tuple[Fields, list[int]]":
        """The fields of `values`, and the places of those that do not have `count` fields, which stay empty."""
        wrong: list[int] = []
        found = _cut(values, count)
        if found is None:
            wrong = [place for place, value in enumerate(values) if value.count(b",") != count - 1]
            hollow = b"," * (count - 1)
            mended = list(values)
            for place in wrong:
                mended[place] = hollow
            found = _cut(mended, count)
            assert found is not None, "every value has as many commas as it should"
        return found, wrong

    def words(self, at: Numbers) -> Words:
        """The eight bytes from each place on, the first one lowest."""
        every: Words = np.ndarray((len(self.text) - 7,), dtype="<u8", buffer=self.text, strides=(1,))
        return every[at]

    def bytes_at(self, at: Numbers) -> NDArray[np.uint8]:
        return np.frombuffer(self.text, np.uint8)[at]

    def framed(self, frames: Frames) -> Flags:
        """Which records have around the value of each field what `frames` says."""
        right = np.ones(self.begins.shape[1], dtype=bool)
        first, second, after = frames.checks
        for check, at in ((first, self.begins), (second, self.begins + 8), (after, self.ends - frames.after)):
            right &= ((self.words(at[check.fields]) & check.masks) == check.values).all(axis=0)
        return right

    def inside(self, frames: Frames) -> tuple[Numbers, Numbers]:
        """Where the values begin and end."""
        return self.begins + frames.before, self.ends - frames.after

    def equal(self, at: Numbers, text: bytes) -> Flags:
        """Whether each place begins with `text`."""
        same = np.ones(at.shape, dtype=bool)
        for first in range(0, len(text), 8):
            part = text[first : first + 8]
            mask = np.uint64((1 << 8 * len(part)) - 1)
            same &= (self.words(at + first) & mask) == np.uint64(int.from_bytes(part, "little"))
        return same


def _cut(values: Sequence[bytes], count: int) -> Fields | None:
    text = b",".join((_PAD, *values, _PAD))
    commas = np.flatnonzero(np.frombuffer(text, np.uint8) == _COMMA)
    if len(commas) != count * len(values) + 1:
        return None
    ends = np.ascontiguousarray(commas[1:].reshape(-1, count).T)
    lengths = np.fromiter(map(len, values), np.int64, len(values))
    if not np.array_equal(ends[-1], len(_PAD) + np.cumsum(lengths + 1)):
        return None  # one has more commas, another fewer
    begins = np.empty_like(ends)
    begins[1:] = ends[:-1] + 1
    begins[0] = ends[-1] - lengths
    return Fields(text, begins, ends)


# numbers


def _digits(words: Words, size: Numbers) -> tuple[Numbers, Flags]:
    """The number that the last `size` (0 to 8) bytes of each word spell, and whether all of those are digits."""
    spare = ((8 - size) << 3).astype(np.uint64)
    values = ((words ^ _ZEROS_OF_TEXT) >> spare) << spare
    right = ((((values & _LOW_SEVEN) + _OVER_NINE) | values) & _TOP_BITS) == 0
    values = values * np.uint64(10) + (values >> np.uint64(8))
    low = (values & _BYTE_PAIRS) * np.uint64(0x000F424000000064)
    high = ((values >> np.uint64(16)) & _BYTE_PAIRS) * np.uint64(0x0000271000000001)
    return ((low + high) >> np.uint64(32)).astype(np.int64), right


def whole_numbers(fields: Fields, begin: Numbers, end: Numbers) -> tuple[Numbers, Flags]:
    """Non-negative integers of up to 15 digits, and which texts are such."""
    size = end - begin
    right = (size >= 1) & (size <= _EXACT_DIGITS)
    right &= (size == 1) | (fields.bytes_at(begin) != ord("0"))
    value, digits = _digits(fields.words(end - 8), np.clip(size, 0, 8))
    right &= digits
    if (size > 8).any():
        upper, digits = _digits(fields.words(end - 16), np.clip(size - 8, 0, 8))
        value = value + upper * 100_000_000
        right &= digits
    return value, right


def decimals(fields: Fields, begin: Numbers, end: Numbers) -> tuple[Floats, Flags]:
    """Numbers like `-440.25`, of up to 15 digits with 1 to 7 after the point, and which texts are such."""
    negative = fields.bytes_at(begin) == ord("-")
    last = fields.words(end - 8)
    others = last ^ _POINTS
    point = ~(((others & _LOW_SEVEN) + _LOW_SEVEN) | others | _LOW_SEVEN)
    byte = _BYTE_NUMBER[((point >> np.uint64(7)) % np.uint64(19)).astype(np.int64)]
    right = byte >= 0
    places = np.where(right, 7 - byte, 1)
    whole, good = whole_numbers(fields, begin + negative, end - places - 1)
    right &= good & (places >= 1) & (end - begin - negative - 1 <= _EXACT_DIGITS)
    fraction, good = _digits(last, places)
    right &= good
    value = (whole * _TENS[places] + fraction) / _TENS_FLOAT[places]
    return np.where(negative, -value, value), right


# times


def times(fields: Fields, begin: Numbers, end: Numbers) -> tuple[Numbers, Flags]:
    """Microseconds since 1970 of `2013-02-28T17:00:05Z` or `2013-02-28T17:00:05.123456Z`, and which texts are such."""
    year_month, day_minute, second = fields.words(begin), fields.words(begin + 8), fields.words(begin + 16)
    size = end - begin
    fractional = size == 27
    right = fractional | (size == 20)
    right &= (year_month & _bytes(4, 7)) == _text({4: "-", 7: "-"})
    right &= (day_minute & _bytes(2, 5)) == _text({2: "T", 5: ":"})
    right &= (second & _bytes(0)) == _text({0: ":"})
    right &= fields.bytes_at(end - 1) == ord("Z")
    right &= ~fractional | (fields.bytes_at(begin + 19) == ord("."))

    pair = np.uint64(0xFFFF)
    date_text = (year_month & np.uint64(0xFFFFFFFF)) | (((year_month >> np.uint64(40)) & pair) << np.uint64(32))
    date, good = _digits(date_text | (day_minute << np.uint64(48)), np.full(size.shape, 8))
    right &= good
    clock_text = (((day_minute >> np.uint64(24)) & pair) << np.uint64(16)) | (
        (day_minute >> np.uint64(48)) << np.uint64(32)
    )
    clock, good = _digits(clock_text | (((second >> np.uint64(8)) & pair) << np.uint64(48)), np.full(size.shape, 6))
    right &= good
    days, good = _days(date)
    right &= good
    hours, minutes, seconds = clock // 10_000, clock // 100 % 100, clock % 100
    right &= (hours < 24) & (minutes < 60) & (seconds < 60)
    moment = (days * 86_400 + hours * 3_600 + minutes * 60 + seconds) * 1_000_000
    if fractional.any():
        fraction, good = _digits(fields.words(begin + 18), np.where(fractional, 6, 0))
        moment = moment + fraction
        right &= good
    return moment, right


def _bytes(*numbers: int) -> np.uint64:
    return np.uint64(sum(0xFF << 8 * number for number in numbers))


def _text(characters: dict[int, str]) -> np.uint64:
    return np.uint64(sum(ord(character) << 8 * number for number, character in characters.items()))


def _days(date: Numbers) -> tuple[Numbers, Flags]:
    """Days since 1970 of dates written as the number YYYYMMDD, and which of them exist."""
    year, month, day = date // 10_000, date // 100 % 100, date % 100
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    right = (year >= 1) & (day >= 1) & (day <= _DAYS_OF_MONTH[month] + (leap & (month == 2)))
    # years that begin in March, so that a leap day is the last one
    late = month <= 2
    marched = year - late
    day_of_year = (153 * (month + np.where(late, 9, -3)) + 2) // 5 + day - 1
    return marched * 365 + marched // 4 - marched // 100 + marched // 400 + day_of_year - 719_468, right


# words


def names(fields: Fields, begin: Numbers, end: Numbers, first: bytes, others: bytes) -> Flags:
    """Which texts begin with a character of `first` and go on with characters of `others`, if no longer than 24."""
    size = end - begin
    width = int(min(_NAME_MAX, max(1, size.max())))
    allowed = np.zeros(256, dtype=bool)
    allowed[list(others)] = True
    windows = np.lib.stride_tricks.sliding_window_view(np.frombuffer(fields.text, np.uint8), width)[begin]
    beyond = np.arange(width) >= size[:, None]
    starts = np.zeros(256, dtype=bool)
    starts[list(first)] = True
    return (allowed[windows] | beyond).all(axis=1) & starts[windows[:, 0]] & (size >= 1) & (size <= width)


def kinds(fields: Fields, begin: Numbers, end: Numbers, most: int) -> tuple[Numbers, list[bytes]]:
    """The different texts of a field, and for each record the number of its text; -1 beyond the first `most`
    and for texts of more than 40 characters."""
    size = end - begin
    number = np.full(size.shape, -1)
    texts: list[bytes] = []
    while len(texts) < most and (left := (number < 0) & (size <= _TEXT_MAX)).any():
        place = int(np.argmax(left))
        text = fields.text[begin[place] : end[place]]
        number[(size == len(text)) & fields.equal(begin, text)] = len(texts)
        texts.append(text)
    return number, texts
