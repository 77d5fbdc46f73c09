"""What an indicator is: inputs, parameters, a function of columns, and a twin that takes bar after bar."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np

from engine.columns import Floats, Integers

SIZE_MAX = 100_000


class IndicatorError(ValueError):
    """An indicator cannot be computed so: one line that says why."""


class Live(Protocol):
    """The twin of a column function."""

    def update(self, *values: float) -> float:
        """The value after one more bar with these inputs; NaN until there is one."""


@dataclass(frozen=True)
class Parameter:
    """A parameter with its default, from `least` to `most`; `whole` ones count bars."""

    name: str
    default: float
    least: float
    most: float = SIZE_MAX
    whole: bool = True

    def checked(self, indicator: str, given: Any) -> float:
        """The value, or an IndicatorError that names it."""
        try:
            value = operator.index(given) if self.whole and not isinstance(given, bool) else float(given)
        except (TypeError, ValueError):
            kind = "a whole number" if self.whole else "a number"
            raise IndicatorError(f"{indicator}: {self.name} must be {kind}, not {given!r}") from None
        if not self.least <= value <= self.most:
            wanted = f"at least {self.least:g}" if not value >= self.least else f"at most {self.most:g}"
            raise IndicatorError(f"{indicator}: {self.name} must be {wanted}, not {given}")
        return value


def size(default: int, least: int = 1, name: str = "size") -> Parameter:
    """A window in bars."""
    return Parameter(name, default, least)


def amount(name: str, default: float, least: float, most: float) -> Parameter:
    """A parameter that is no count."""
    return Parameter(name, default, least, most, whole=False)


Count = Callable[..., int]


@dataclass(frozen=True, eq=False)
class Indicator:
    """An indicator: `declare` it with its inputs and then its parameters, or call it with columns.

    `indicator(*columns, *parameters)` gives an array of shape `(bars,)`, NaN before the first value and never after;
    `live(*parameters)` makes its twin, which gives the same bits. Parameters left out have their defaults. Raises
    IndicatorError for a wrong parameter, columns of different length, and a missing value amid an input.
    """

    name: str
    takes: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    says: str
    columns_of: Callable[..., Floats]
    twin_of: Callable[..., Live]
    ready_at: Count
    settled_at: Count
    anchored: bool = False
    """It counts from the first bar, for ever: only its changes mean something, a longer history moves its level."""
    local: bool = False
    """Each value follows from so many last bars alone, by the same sums: series one after another are one to it."""

    @cached_property
    def inputs(self) -> int:
        """How many input columns it takes."""
        return len(self.takes)

    def __call__(self, *arguments: Any) -> Floats:
        """The column: `sma(close, 20)`."""
        return self.in_segments(arguments)

    def in_segments(self, arguments: Sequence[Any], offsets: Integers | None = None) -> Floats:
        """The column over series that stand one after another, each for itself: they begin at `offsets`, whose last is
        the end of all. Without: one series."""
        if len(arguments) < self.inputs:
            raise IndicatorError(f"{self.name} takes {', '.join(self.takes)}, then its parameters")
        parameters = self._checked(tuple(arguments[self.inputs :]))
        inputs = self._inputs(tuple(arguments[: self.inputs]))
        edges = np.array([0, len(inputs[0])]) if offsets is None else offsets
        firsts, ready = _first_known(self, inputs, edges), self.ready_at(*parameters)
        as_one = self.local or (len(firsts) == 1 and not firsts[0])
        if as_one and len(inputs[0]) >= ready:
            column = self.columns_of(*inputs, *parameters)
            for start, first, stop in zip(edges[:-1].tolist(), firsts.tolist(), edges[1:].tolist(), strict=True):
                column[start : min(first + ready - 1, stop)] = np.nan
            return column
        column = np.full(len(inputs[0]), np.nan)
        for first, stop in zip(firsts.tolist(), edges[1:].tolist(), strict=True):
            if stop - first >= ready:
                column[first:stop] = self.columns_of(*(each[first:stop] for each in inputs), *parameters)
        return column

    def live(self, *parameters: Any) -> Live:
        """The twin, before its first bar."""
        return _Known(self.name, self.twin_of(*self._checked(parameters)))

    @lru_cache(maxsize=4096)  # noqa: B019 # indicators live as long as the module; a sweep asks the same of them again
    def ready(self, *parameters: Any) -> int:
        """The number of bars until the first value."""
        return self.ready_at(*self._checked(parameters))

    @lru_cache(maxsize=4096)  # noqa: B019 # as above
    def settled(self, *parameters: Any) -> int:
        """The number of bars until a value differs from that of endless history by less than 1e-9 of its usual size.

        Bars on which nothing moves do not count: a ratio of averages that both vanish remembers its beginning. An
        `anchored` one never settles: it gives `ready`.
        """
        return self.settled_at(*self._checked(parameters))

    def _checked(self, given: tuple[Any, ...]) -> list[float]:
        if len(given) > len(self.parameters):
            takes = ", ".join(each.name for each in self.parameters) or "none"
            raise IndicatorError(f"{self.name} takes {len(self.parameters)} parameters ({takes}), not {len(given)}")
        defaults = (each.default for each in self.parameters[len(given) :])
        return [
            each.checked(self.name, value) for each, value in zip(self.parameters, (*given, *defaults), strict=True)
        ]

    def _inputs(self, given: tuple[Any, ...]) -> list[Floats]:
        arrays = [np.asarray(each, dtype=np.float64) for each in given]
        shapes = {each.shape for each in arrays if each.ndim}
        if len(shapes) != 1 or len(next(iter(shapes))) != 1:
            raise IndicatorError(
                f"{self.name}: its inputs must be columns of one length, not of shapes {shapes or '()'}"
            )
        return [np.ascontiguousarray(np.broadcast_to(each, next(iter(shapes)))) for each in arrays]


def _first_known(indicator: Indicator, inputs: list[Floats], edges: Integers) -> Integers:
    """Of each series the first row with all inputs. An input that is an indicator itself has none for a while, then
    always one."""
    known = np.isfinite(inputs[0])
    for each in inputs[1:]:
        known &= np.isfinite(each)
    starts, stops = edges[:-1], edges[1:]
    if known.all():
        return starts
    unknown = np.flatnonzero(~known)
    before = np.searchsorted(unknown, edges)
    firsts = starts + np.diff(before)
    scattered = (firsts > starts) & (unknown[before[1:] - 1] != firsts - 1)
    if scattered.any():
        place = int(np.argmax(scattered))
        own = known[starts[place] : stops[place]]
        raise _missing(indicator.name, int(np.argmin(own[np.argmax(own) :])))
    return firsts


def _missing(name: str, bars: int) -> IndicatorError:
    return IndicatorError(f"{name}: an input has no finite value {bars} bars after its first: fill it, or drop the bar")


class _Known:
    """Hands a twin on what is known: nothing before the first finite inputs, an error where one is missing later."""

    __slots__ = ("_name", "_rows", "_update")

    def __init__(self, name: str, twin: Live) -> None:
        self._name = name
        self._update = twin.update
        self._rows = 0  # since the first known one

    def update(self, *values: float) -> float:
        for value in values:
            if value - value != 0.0:  # not a number, or infinite: quicker than to ask for either
                if self._rows:
                    raise _missing(self._name, self._rows)
                return math.nan
        self._rows += 1
        return self._update(*values)
