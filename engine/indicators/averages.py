"""Averages of one series."""

from math import isqrt

from engine.indicators.borrowed import borrowed
from engine.indicators.forgetting import adaptive, exponential, wilder
from engine.indicators.indicator import Count, Indicator, Parameter, amount, size

_VALUES = ("values",)


def _average(name: str, says: str, parameters: tuple[Parameter, ...], ready: Count, settled: Count) -> Indicator:
    return borrowed(name, name.upper(), _VALUES, parameters, says, ready=ready, settled=settled)


def _window(size: int) -> int:
    return size


ema = _average(
    "ema",
    "exponential average, seeded with the mean of its first window; then each value weighs 2 / (size + 1)",
    (size(20),),
    _window,
    lambda size: size + exponential(size),
)
rma = _average(
    "rma",
    "Wilder's average: each value weighs 1 / size",
    (size(14),),
    _window,
    lambda size: size + wilder(size),
)
wma = _average("wma", "average whose weights fall in a line", (size(20),), _window, _window)
trima = _average("trima", "average whose weights make a triangle", (size(20),), _window, _window)
dema = _average(
    "dema",
    "double exponential average: twice the EMA less the EMA of the EMA",
    (size(20),),
    lambda size: 2 * size - 1,
    lambda size: 2 * size - 1 + exponential(size, 2),
)
tema = _average(
    "tema",
    "triple exponential average, with less lag than DEMA",
    (size(20),),
    lambda size: 3 * size - 2,
    lambda size: 3 * size - 2 + exponential(size, 3),
)
t3 = _average(
    "t3",
    "Tillson's average: six EMAs, weighed by a volume factor",
    (size(5), amount("factor", 0.7, 0.0, 1.0)),
    lambda size, factor: 6 * (size - 1) + 1,
    lambda size, factor: 6 * (size - 1) + 1 + exponential(size, 6),
)
kama = _average(
    "kama",
    "Kaufman's adaptive average: fast in a trend, slow in noise",
    (size(30, least=2),),
    lambda size: size + 1,
    lambda size: size + 1 + adaptive(),
)
hma = _average(
    "hma",
    "Hull's average: weighted averages of half and whole window, smoothed over the root",
    (size(20),),
    lambda size: size + isqrt(size) - 1,
    lambda size: size + isqrt(size) - 1,
)
zlema = _average(
    "zlema",
    "exponential average of values freed of their lag",
    (size(20),),
    lambda size: size + (size - 1) // 2,
    lambda size: size + (size - 1) // 2 + exponential(size),
)
midpoint = _average("midpoint", "middle of the window's highest and lowest", (size(14, least=2),), _window, _window)
