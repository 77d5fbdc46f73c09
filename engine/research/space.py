"""What is searched: a range or a list of values for each parameter, and the conditions between them."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from typing import Any

from engine.research.constraints import Constraint

VALUES_MAX = 100_000
GRID_MAX = 1_000_000

Parameters = dict[str, Any]


class SpaceError(ValueError):
    """A range cannot be searched: one line that says why."""


@dataclass(frozen=True)
class Axis:
    """One parameter: the `values` it may take, ascending where they are numbers, or any number `between` two."""

    name: str
    values: tuple[Any, ...] = ()
    between: tuple[float, float] | None = None

    @classmethod
    def parse(cls, text: str) -> "Axis":
        """`fast=5:50:5` (both ends may be taken), `entry=0.5:3` (any number; whole ones if both ends are),
        `short=true,false` or `window=20` (listed values). Raises SpaceError."""
        name, equals, rest = (part.strip() for part in text.partition("="))
        if not equals or not name.isidentifier() or not rest:
            raise SpaceError(f"{text!r} is no range: write for instance fast=5:50:5, entry=0.5:3 or short=true,false")
        if ":" not in rest:
            values = tuple(dict.fromkeys(_value(each.strip()) for each in rest.split(",") if each.strip()))
            return cls(name, values)
        bounds = [_decimal(each.strip(), text) for each in rest.split(":")]
        if len(bounds) not in (2, 3):
            raise SpaceError(f"{text!r}: a range is low:high or low:high:step")
        low, high = bounds[:2]
        if low > high:
            raise SpaceError(f"{text!r}: the low end is above the high end")
        whole = all(each == each.to_integral_value() and "." not in str(each) for each in bounds)
        if len(bounds) == 2 and not whole:
            return cls(name, between=(float(low), float(high)))
        return cls(name, _stepped(low, high, bounds[2] if len(bounds) == 3 else Decimal(1), text, whole=whole))

    @property
    def ordered(self) -> bool:
        """Whether its values are numbers, so that two of them can be near each other."""
        return self.between is not None or all(_is_number(each) for each in self.values)

    def place(self, value: Any) -> float:
        """Where `value` lies: its number among the values, or 0 to 10 between the ends."""
        if self.between is None:
            return float(self.values.index(value))
        low, high = self.between
        return 10 * (float(value) - low) / (high - low) if high > low else 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _decimal(text: str, whole: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise SpaceError(f"{whole!r}: {text!r} is no number") from None
    if not number.is_finite() or abs(number) > 10**15:
        raise SpaceError(f"{whole!r}: {text} is beyond what a parameter can be")
    return number


def _stepped(low: Decimal, high: Decimal, step: Decimal, text: str, *, whole: bool) -> tuple[Any, ...]:
    if step <= 0:
        raise SpaceError(f"{text!r}: the step must be above zero")
    count = int((high - low) / step) + 1
    if count > VALUES_MAX:
        raise SpaceError(f"{text!r} has {count:,} values: at most {VALUES_MAX:,}")
    values = (low + number * step for number in range(count))
    return tuple(int(each) if whole else float(each) for each in values)


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    return text


class Space:
    """Axes with what must hold between them. `possible` is asked too: the strategy's own rules about its parameters.

    Raises SpaceError for axes of one name or none at all, ConstraintError for a condition that cannot be read.
    """

    def __init__(
        self,
        axes: Sequence[Axis],
        constraints: Sequence[str] = (),
        fixed: Mapping[str, Any] | None = None,
        possible: Callable[[Parameters], bool] = lambda parameters: True,
    ) -> None:
        names = [axis.name for axis in axes]
        self.fixed = dict(fixed or {})
        twice = [name for name in names if names.count(name) > 1 or name in self.fixed]
        if twice:
            raise SpaceError(f"parameter {twice[0]} is given twice")
        if not axes:
            raise SpaceError("nothing to search: give a range, for instance fast=5:50:5")
        self.axes = tuple(axes)
        self.constraints = tuple(Constraint(text, [*names, *self.fixed]) for text in constraints)
        self._possible = possible

    def admits(self, parameters: Mapping[str, Any]) -> bool:
        """Whether the strategy may be run with these."""
        whole = {**self.fixed, **parameters}
        return all(each.holds(whole) for each in self.constraints) and self._possible(whole)

    @cached_property
    def size(self) -> int | None:
        """Points of the grid before conditions; None where an axis is continuous."""
        if any(axis.between is not None for axis in self.axes):
            return None
        return math.prod(len(axis.values) for axis in self.axes)

    def grid(self) -> Iterator[Parameters]:
        """Every admitted combination, the last axis changing fastest. Raises SpaceError where there is no grid."""
        if self.size is None:
            name = next(axis.name for axis in self.axes if axis.between is not None)
            raise SpaceError(f"a grid needs a step: write {name}=low:high:step")
        if self.size > GRID_MAX:
            raise SpaceError(f"a grid of {self.size:,} points is too large: at most {GRID_MAX:,}; try random or tpe")
        names = [axis.name for axis in self.axes]
        for values in itertools.product(*(axis.values for axis in self.axes)):
            parameters = dict(zip(names, values, strict=True))
            if self.admits(parameters):
                yield parameters
