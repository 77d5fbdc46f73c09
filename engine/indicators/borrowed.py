"""Indicators of TA-Lib: its functions for columns, its streams, which give the same bits, for bars.

TA-Lib is loaded when the first of them is used, and without pandas and polars, which its package would draw in.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from engine.columns import Floats
from engine.indicators.indicator import Count, Indicator, IndicatorError, Live, Parameter
from engine.lean_imports import imported


@cache
def talib() -> Any:
    """The package, without what it would draw in."""
    return imported("talib", without=("pandas", "polars"))


def borrowed(  # one row of a table
    name: str,
    function: str,
    takes: tuple[str, ...],
    parameters: tuple[Parameter, ...],
    says: str,
    *,
    ready: Count,
    settled: Count | None = None,
    output: int = 0,
    anchored: bool = False,
    fixed: tuple[tuple[str, int], ...] = (),
    order: Callable[..., tuple[float, ...]] | None = None,
) -> Indicator:
    """TA-Lib's `function` as an indicator. `output` says which of several; `fixed` are arguments that nobody chooses;
    `order` brings our parameters into TA-Lib's order."""
    given = dict(fixed)
    arranged = order or (lambda *own: own)

    def column(*arguments: Any) -> Floats:
        columns, own = arguments[: len(takes)], arguments[len(takes) :]
        found = _called(name, getattr(talib(), function), columns, arranged(*own), given)
        values = np.asarray(found[output] if isinstance(found, tuple | list) else found, dtype=np.float64)
        values[: ready(*own) - 1] = np.nan  # where TA-Lib fills with zeros
        return values

    def twin(*own: float) -> Live:
        return _Stream(name, function, output, (ready(*own), arranged(*own), given))

    return Indicator(name, takes, parameters, says, column, twin, ready, settled or ready, anchored)


def _called(
    name: str, function: Any, columns: tuple[Any, ...], parameters: tuple[float, ...], fixed: dict[str, int]
) -> Any:
    try:
        return function(*columns, *parameters, **fixed)
    except Exception as failure:  # TA-Lib raises nothing narrower
        if isinstance(failure, talib().InsufficientHistory):
            raise
        raise IndicatorError(f"{name}{parameters}: {failure}") from failure


class _Stream:
    """Keeps the first bars until TA-Lib opens its stream on them."""

    def __init__(
        self, name: str, function: str, output: int, opening: tuple[int, tuple[float, ...], dict[str, int]]
    ) -> None:
        self._name = name
        self._opens = getattr(talib().stream, function)
        self._output = output
        self._ready, self._parameters, self._fixed = opening
        self._rows: list[tuple[float, ...]] = []
        self._stream: Any = None

    def update(self, *values: float) -> float:
        if self._stream is None:
            return self._open(values)
        value = self._stream.update(*values)
        return value if value.__class__ is float else self._chosen(value)

    def _open(self, values: tuple[float, ...]) -> float:
        self._rows.append(values)
        if len(self._rows) < self._ready:
            return math.nan
        columns = tuple(np.array(each) for each in zip(*self._rows, strict=True))
        self._stream = _called(self._name, self._opens, columns, self._parameters, self._fixed)
        self._rows = []
        return self._chosen(self._stream.value)

    def _chosen(self, value: Any) -> float:
        return float(value[self._output] if isinstance(value, tuple) else value)
