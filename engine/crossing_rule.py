"""A decision that is one crossing, said as a value, so that a sweep can run it compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.indicators import Indicator


@dataclass(frozen=True)
class Average:
    """An indicator of one column of the bars; `parameters` are names of the strategy's parameters."""

    indicator: Indicator
    column: str
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True)
class CrossingRule:
    """Long when `first` crosses above `second`, flat when it crosses below: short instead where the parameter of the
    name `short` is true."""

    first: Average
    second: Average
    short: str = ""

    def below(self, parameters: Mapping[str, Any]) -> float:
        """The target when `first` crosses below."""
        return -1.0 if self.short and parameters.get(self.short) else 0.0
