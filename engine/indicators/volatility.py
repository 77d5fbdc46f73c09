"""How much prices move, whichever way."""

from engine.indicators.borrowed import borrowed
from engine.indicators.forgetting import exponential, wilder
from engine.indicators.indicator import size

_RANGE = ("high", "low")
_BAR = ("high", "low", "close")
_VALUES = ("values",)

true_range = borrowed("true_range", "TRANGE", _BAR, (), "high less low, the close before included", ready=lambda: 2)
atr = borrowed(
    "atr",
    "ATR",
    _BAR,
    (size(14),),
    "average true range, Wilder's",
    ready=lambda size: size + 1,
    settled=lambda size: size + 1 + wilder(size, 2),
)
natr = borrowed(
    "natr",
    "NATR",
    _BAR,
    (size(14),),
    "average true range in percent of the close",
    ready=lambda size: size + 1,
    settled=lambda size: size + 1 + wilder(size, 2),
)
average_range = borrowed("average_range", "ADR", _RANGE, (size(14),), "mean of high less low", ready=lambda size: size)
deviation = borrowed(
    "deviation",
    "STDDEV",
    _VALUES,
    (size(20, least=2),),
    "standard deviation of the window (divisor `size`)",
    ready=lambda size: size,
)
variance = borrowed(
    "variance", "VAR", _VALUES, (size(20, least=2),), "variance of the window (divisor `size`)", ready=lambda size: size
)
mean_deviation = borrowed(
    "mean_deviation",
    "AVGDEV",
    _VALUES,
    (size(14, least=2),),
    "mean absolute distance from the mean",
    ready=lambda size: size,
)
chaikin_volatility = borrowed(
    "chaikin_volatility",
    "CVI",
    _RANGE,
    (size(10, 2), size(10, 1, "change")),
    "rate of change of the smoothed range, in percent",
    ready=lambda size, change: size + change,
    settled=lambda size, change: size + change + exponential(size, 2),
)
relative_volatility = borrowed(
    "relative_volatility",
    "RVI",
    _VALUES,
    (size(14, 2), size(10, 2, "deviation")),
    "Dorsey's relative volatility: an RSI of the standard deviation",
    ready=lambda size, deviation: size + deviation - 1,
    settled=lambda size, deviation: size + deviation + wilder(size, 2),
)
