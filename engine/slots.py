"""What a strategy sees of its declared indicators: a number now, and those before it."""

import math
import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from engine.indicators import Indicator, IndicatorError

HISTORY_MAX = 512
"""How many values back a strategy may look in an indicator."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FRAME = re.compile(r"\s*(\d+)\s*(s|sec|second|m|min|minute|h|hour|d|day)s?\s*", re.IGNORECASE)


class FrameError(ValueError):
    """A larger frame that cannot be: one line that says why."""


def frame_us(frame: str | timedelta | None) -> int:
    """A frame's size in microseconds, 0 for none: `1 hour`, `5m`, a timedelta. Raises FrameError for anything else."""
    if frame is None:
        return 0
    if isinstance(frame, timedelta):
        size = frame // timedelta(microseconds=1)
    else:
        match = _FRAME.fullmatch(frame)
        size = int(match[1]) * _UNITS[match[2][0].lower()] * 1_000_000 if match else 0
    if size <= 0:
        raise FrameError(f"no frame {frame!r}: write for instance 5m, 1 hour or 1d")
    return size


def inputs_of(indicator: Any) -> int:
    """How many inputs the indicator takes. Raises IndicatorError for what is none, and says what to declare instead."""
    if isinstance(indicator, Indicator):
        return indicator.inputs
    name = getattr(indicator, "__name__", type(indicator).__name__)
    lines = [each for each in dir(indicator) if isinstance(getattr(indicator, each), Indicator)]
    if lines:
        raise IndicatorError(
            f"{name} has several lines: declare one of them: {', '.join(f'.{each}' for each in lines)}"
        )
    raise IndicatorError(f"declare takes an Indicator, not {name}: docs/indicators.md tells how to make your own")


def _nothing_yet(back: int) -> float:
    raise IndexError(f"no value {back} bars back: no bar has come yet")


def _check_frames(indicator: Indicator, frame: int, inputs: "Sequence[Slot]") -> None:
    if any(each.frame and each.frame != frame for each in inputs):
        raise FrameError(f"{indicator.name}: an input from another frame than its own")
    if any(not each.frame for each in inputs):
        raise FrameError(f"{indicator.name} on a larger frame cannot take an indicator of the smaller bars")


class Value:
    """A number that whoever drives the strategy sets before each bar."""

    __slots__ = ("now",)

    def __init__(self) -> None:
        self.now = math.nan


class Slot(Value):
    """A declared indicator: `.now` is its value at the bar in hand, of that bar's contract.

    `[-1]` is the same, `[-2]` the one before, at most HISTORY_MAX back; IndexError where there is none. With a larger
    `frame` (microseconds, 0 for the bars themselves), value and history are those of the frame's bars that have closed.
    """

    __slots__ = ("_past", "arguments", "frame", "indicator", "own_ready", "ready", "shown")

    def __init__(self, indicator: Indicator, arguments: tuple[Any, ...], *, shown: bool, frame: int = 0) -> None:
        self.now = math.nan  # as in `Value`: a sweep makes new slots for each of its sets
        self.indicator = indicator
        self.arguments = arguments
        self.shown = shown
        self.frame = frame
        self._past: Callable[[int], float] = _nothing_yet
        count, ready = indicator.inputs, 1
        if frame:
            _check_frames(indicator, frame, [each for each in arguments[:count] if isinstance(each, Slot)])
        for each in arguments[:count]:
            if isinstance(each, Slot) and each.frame == frame and each.ready > ready:
                ready = each.ready
        self.own_ready: int = indicator.ready(*arguments[count:])
        self.ready: int = self.own_ready + ready - 1

    @property
    def settled(self) -> int:
        """Bars until its value is nearly that of endless history: see `Indicator.settled`."""
        inputs = (each.settled for each in self.inputs if isinstance(each, Slot) and each.frame == self.frame)
        return self.indicator.settled(*self.arguments[self.indicator.inputs :]) + max(inputs, default=1) - 1

    @property
    def inputs(self) -> tuple[Any, ...]:
        """Columns by name, numbers, and slots."""
        return self.arguments[: self.indicator.inputs]

    def __str__(self) -> str:
        """What it is: `sma(close, 10)`."""
        return f"{self.indicator.name}({', '.join(map(str, self.arguments))})"

    def __getitem__(self, back: int) -> float:
        if not -HISTORY_MAX <= back <= -1:
            raise IndexError(f"look back from -1 (now) to -{HISTORY_MAX}, not {back}")
        return self.now if back == -1 else self._past(back)

    def remember(self, past: Callable[[int], float]) -> None:
        """For whoever drives the strategy: where values further back than now come from."""
        self._past = past

    def forget(self) -> None:
        """For whoever drove the strategy: there is no past any more."""
        self._past = _nothing_yet
