"""What was read, in a few bytes: enough to tell that an input is another one now, and which."""

import hashlib

MARK = 8
"""Hexadecimal digits for one input in `Digest.marks`."""


class Digest:
    """SHA-256 of inputs by offset and value as they are put in, and a short mark of each."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._marks: list[str] = []

    def put(self, offset: int, value: bytes) -> None:
        self._whole.update(b"%d:%d;" % (offset, len(value)) + value)
        self._marks.append(hashlib.sha256(value).hexdigest()[:MARK])

    def __len__(self) -> int:
        return len(self._marks)

    @property
    def marks(self) -> str:
        return "".join(self._marks)

    def hexdigest(self) -> str:
        return self._whole.hexdigest()


def first_difference(marks: str, others: str) -> int:
    """The number of the first input whose mark is another one, or that only one side has."""
    pairs = min(len(marks), len(others)) // MARK
    for number in range(pairs):
        place = slice(number * MARK, (number + 1) * MARK)
        if marks[place] != others[place]:
            return number
    return pairs
