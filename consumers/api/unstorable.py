"""What JSON can say and no table or topic can hold: it is refused where it comes in, by its place."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

_DEPTH_MAX = 20
_INTEGER_MAX = 2**63 - 1
_PLACE_MAX = 100


def refuse_unstorable(given: Any) -> None:
    """ValueError that names the first NUL, half character, endless number or bottomless nesting in a body."""
    waiting = [("", given, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        if why := _why_not(value, depth):
            raise ValueError(f"{place[:_PLACE_MAX]}: {why}" if place else why)
        waiting += [(f"{place}.{name}" if place else name, each, depth + 1) for name, each in _inside(value)]


def _inside(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, each in value.items():
            if why := _why_not(name, 0):
                raise ValueError(f"{str(name)[:_PLACE_MAX]!r}: {why}")
            yield str(name), each
    elif isinstance(value, list):
        yield from ((str(number), each) for number, each in enumerate(value))


def _why_not(value: Any, depth: int) -> str | None:
    if depth > _DEPTH_MAX:
        return f"nested deeper than {_DEPTH_MAX} levels"
    if isinstance(value, str):
        return why_no_text(value)
    if isinstance(value, int) and not -_INTEGER_MAX <= value <= _INTEGER_MAX:
        return "a whole number of more than 64 bits: write it as text where a decimal is wanted"
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    return None


def why_no_text(text: str) -> str | None:
    """Why a text cannot be stored; None when it can."""
    if "\0" in text:
        return "holds the character NUL, which no text may"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "holds half of a surrogate pair, which is no character"
    return None
