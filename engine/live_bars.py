"""Larger live bars of one contract's session, made of its small ones as they come, late ones and corrections included.

The rule: a larger bar is told when its last part is known, and only if all its parts are: a part is known when its
bar has come, or when the feed went on without it (nothing was traded). It bears `late` when a part does. A part that
comes, or changes, afterwards corrects it by the next revision, but no more than `CORRECTED_FOR_US` after its end: from
then on only history tells.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from engine.facts import Bar

CORRECTED_FOR_US = 15 * 60 * 1_000_000
_DAY_US = 24 * 60 * 60 * 1_000_000
_NAMES = ("open", "high", "low", "close", "volume")


@dataclass(frozen=True)
class LargerBar:
    """A larger bar that is to be told."""

    bar: Bar
    revision: int
    late: bool


@dataclass
class _Told:
    bar: Bar
    revision: int


@dataclass
class SessionBars:
    """The small bars between an exchange's open and close, in microseconds; each larger size counts from the open.

    A day is the whole session; the last bar of any size ends with it.
    """

    contract_id: int
    open_us: int
    close_us: int
    step_us: int
    reached_us: int = field(init=False)
    """How far market time has come."""

    def __post_init__(self) -> None:
        if not self.open_us < self.close_us or self.step_us <= 0:
            raise ValueError("a session has a length, and its bars have one")
        count = -(-(self.close_us - self.open_us) // self.step_us)
        self._values: dict[str, NDArray[np.float64]] = {name: np.zeros(count) for name in _NAMES}
        self._there = np.zeros(count, dtype=np.bool_)
        self._known = np.zeros(count, dtype=np.bool_)
        self._late = np.zeros(count, dtype=np.bool_)
        self._told: dict[tuple[int, int], _Told] = {}
        self._next: dict[int, int] = {}
        self.reached_us = self.open_us

    def holds(self, bar: Bar) -> bool:
        """Whether the small bar lies in this session."""
        return self.open_us <= bar.start_us and bar.end_us <= self.close_us

    def put(self, bar: Bar, *, late: bool = False) -> None:
        """Take a small bar in: a new one, or another version of one."""
        assert self.holds(bar), "a bar of another session"
        slot = (bar.start_us - self.open_us) // self.step_us
        for name in _NAMES:
            self._values[name][slot] = getattr(bar, name)
        self._there[slot] = self._known[slot] = True
        self._late[slot] = late
        self.reached_us = max(self.reached_us, bar.end_us)

    def nothing_else(self, start_us: int, end_us: int) -> None:
        """Between the two, what has not come was not traded."""
        first, last = self._slot(start_us), self._slot(end_us)
        self._known[first:last] = True
        self.reached_us = max(self.reached_us, min(end_us, self.close_us))

    def recall(self, bar: Bar, size_us: int, revision: int) -> None:
        """A larger bar that was told before, by a former process."""
        number = (bar.start_us - self.open_us) // size_us if size_us < _DAY_US else 0
        self._told[size_us, number] = _Told(bar, revision)

    def due(self, size_us: int) -> Iterator[LargerBar]:
        """The larger bars of one size that are to be told now, oldest first."""
        number = self._next.get(size_us, 0)
        first_open = number
        while True:
            start, end = self._span(size_us, number)
            if start >= self.close_us or end > self.reached_us:
                break
            if self.reached_us - end > CORRECTED_FOR_US:
                if number == first_open:
                    first_open += 1  # history alone speaks of it from now on
            elif (larger := self._changed(size_us, number)) is not None:
                yield larger
            number += 1
        self._next[size_us] = first_open

    def _changed(self, size_us: int, number: int) -> LargerBar | None:
        start, end = self._span(size_us, number)
        first, last = self._slot(start), self._slot(end)
        if not self._known[first:last].all() or not self._there[first:last].any():
            return None
        bar = self._bar(start, end)
        told = self._told.get((size_us, number))
        if told is not None and told.bar == bar:
            return None
        revision = 0 if told is None else told.revision + 1
        self._told[size_us, number] = _Told(bar, revision)
        return LargerBar(bar, revision, bool(self._late[first:last].any()) or revision > 0)

    def _bar(self, start: int, end: int) -> Bar:
        first, last = self._slot(start), self._slot(end)
        there = self._there[first:last]
        values = {name: column[first:last][there] for name, column in self._values.items()}
        return Bar(
            self.contract_id,
            start,
            end,
            float(values["open"][0]),
            float(values["high"].max()),
            float(values["low"].min()),
            float(values["close"][-1]),
            float(values["volume"].sum()),
        )

    def _span(self, size_us: int, number: int) -> tuple[int, int]:
        if size_us >= _DAY_US:
            return (self.open_us, self.close_us) if number == 0 else (self.close_us, self.close_us + size_us)
        start = self.open_us + number * size_us
        return start, min(start + size_us, self.close_us)

    def _slot(self, moment_us: int) -> int:
        """The slot that begins there, within the session."""
        inside = min(max(moment_us, self.open_us), self.close_us)
        return -(-(inside - self.open_us) // self.step_us)
