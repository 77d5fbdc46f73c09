"""Lines through a window, the slope of one series over another, and where a value ranks."""

from engine.indicators.borrowed import borrowed
from engine.indicators.indicator import Indicator, amount, size

_VALUES = ("values",)
_TWO = ("first", "second")


def _whole(size: int, *_: float) -> int:
    return size


def _line(name: str, function: str, says: str) -> Indicator:
    return borrowed(name, function, _VALUES, (size(14, least=2),), says, ready=_whole)


linear_regression = _line("linear_regression", "LINEARREG", "end of the line of least squares through the window")
linear_slope = _line("linear_slope", "LINEARREG_SLOPE", "slope of that line, a bar")
linear_intercept = _line("linear_intercept", "LINEARREG_INTERCEPT", "beginning of that line")
linear_angle = _line("linear_angle", "LINEARREG_ANGLE", "its angle in degrees")
linear_forecast = _line("linear_forecast", "TSF", "that line, one bar on")

beta = borrowed(
    "beta",
    "BETA",
    _TWO,
    (size(5, least=2),),
    "slope of the second's relative changes over the first's",
    ready=lambda size: size + 1,
)
percentile = borrowed(
    "percentile",
    "PERCENTILE",
    _VALUES,
    (size(30, least=2), amount("percent", 50.0, 0.0, 100.0)),
    "the smallest value that so many percent of the window do not exceed",
    ready=_whole,
)
percent_rank = borrowed(
    "percent_rank",
    "PERCENTRANK",
    _VALUES,
    (size(100, least=2),),
    "how many percent of the values before it are smaller",
    ready=lambda size: size + 1,
)
