"""What a strategy sees when it says its targets for all bars at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from engine.column_path.loops import Loops, loops
from engine.columns import BarColumns, Floats, Integers
from engine.indicators import crossing, sma
from engine.indicators.indicator import Indicator
from engine.revealing import Revealed, slots_by_name
from engine.slots import Slot
from engine.strategy import BaseStrategy

_COMPILED = frozenset({sma.name, crossing.name})


@dataclass(frozen=True, eq=False)
class Layout:
    """Bars contract after contract, each in the order of time: `order` are their rows, `offsets` where contracts begin
    and, last, where the bars end."""

    columns: BarColumns
    order: Integers | None
    offsets: Integers

    @classmethod
    def of(cls, columns: BarColumns) -> "Layout":
        return cls(columns, None if len(columns.contracts) == 1 else columns.order, columns.offsets)

    def arranged(self, column: Any) -> Any:
        """A column of the bars, contract after contract."""
        return self.columns.arranged(column)


class Shown:
    """Columns of bars and indicators, contract after contract, each in the order of time; shape `(bars,)` each.

    `columns.close` and its like are prices and volume, `columns[slot]` is a declared indicator.
    """

    def __init__(self, layout: Layout, strategy: BaseStrategy, shared: dict[Any, Floats] | None = None) -> None:
        self.layout = layout
        self._strategy = strategy
        self._shared: dict[Any, Floats] = {} if shared is None else shared
        self.loops = loops(many=shared is not None)

    def __getitem__(self, slot: Slot) -> Floats:
        key = _key(slot)
        try:
            return self._shared[key]
        except KeyError:
            self._shared[key] = column = self._computed(slot)
            return column

    def named(self) -> Mapping[str, Floats]:
        """All slots by the strategy's names for them, in the order of the rows; each is made when looked at."""
        return _Named(self, slots_by_name(self._strategy))

    def on_crossing(self, slot: Slot, above: float, below: float) -> Floats:
        """Targets from a slot of `crossing`: `above` where it crosses above, `below` where below, else no change."""
        if slot.indicator is crossing and not slot.frame:
            one, other = self._argument(slot.arguments[0]), self._argument(slot.arguments[1])
            if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
                return self.loops.on_crossing(one, other, self.layout.offsets, above, below)
        return self.loops.answers(self[slot], above, below)

    @property
    def open(self) -> Floats:
        return self._of_bars("open")

    @property
    def high(self) -> Floats:
        return self._of_bars("high")

    @property
    def low(self) -> Floats:
        return self._of_bars("low")

    @property
    def close(self) -> Floats:
        return self._of_bars("close")

    @property
    def volume(self) -> Floats:
        return self._of_bars("volume")

    def silence(self, targets: Floats) -> None:
        """Take out, in place, what a strategy that goes bar by bar would not have been asked for."""
        if any(slot.frame for slot in self._strategy.slots):
            targets[~self.layout.arranged(self._revealed.ready)] = np.nan
            return
        unasked = self._strategy.warmup - 1
        for first, stop in pairwise(self.layout.offsets.tolist()):
            targets[first : min(first + unasked, stop)] = np.nan

    def _of_bars(self, name: str) -> Floats:
        if name not in self._shared:
            self._shared[name] = self.layout.arranged(getattr(self.layout.columns, name))
        return self._shared[name]

    @cached_property
    def _revealed(self) -> Revealed:
        return Revealed(self.layout.columns, self._strategy)

    def _computed(self, slot: Slot) -> Floats:
        if slot.frame:
            return self.layout.arranged(self._revealed.column(slot))  # type: ignore[no-any-return] # arrays
        given = [self._argument(each) for each in slot.arguments]
        return computed(slot.indicator, given, self.layout.offsets, self.loops)

    def _argument(self, given: Any) -> Any:
        if isinstance(given, Slot):
            return self[given]
        return self._of_bars(given) if isinstance(given, str) else given


class _Named(Mapping[str, Floats]):
    def __init__(self, shown: Shown, slots: Mapping[str, Slot]) -> None:
        self._shown = shown
        self._slots = slots

    def __getitem__(self, name: str) -> Floats:
        return self._shown.layout.columns.in_rows(self._shown[self._slots[name]])

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)


def computed(indicator: Indicator, given: Sequence[Any], offsets: Integers, compiled: Loops) -> Floats:
    """An indicator of columns that lie contract after contract; by its compiled form, which has the same bits, where
    it has one."""
    inputs, known = given[: indicator.inputs], len(given) == indicator.inputs + len(indicator.parameters)
    if known and indicator.name in _COMPILED and all(isinstance(each, np.ndarray) for each in inputs):
        return getattr(compiled, indicator.name)(*given, offsets)  # type: ignore[no-any-return] # arrays
    return indicator.in_segments(given, offsets)


def _key(slot: Slot) -> tuple[Any, ...]:
    return (
        slot.indicator.name,
        slot.frame,
        *[_key(each) if isinstance(each, Slot) else each for each in slot.arguments],
    )
