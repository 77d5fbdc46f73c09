"""Whether there is a trend, which way, and where it ends."""

from typing import NamedTuple

from engine.indicators.borrowed import borrowed
from engine.indicators.forgetting import exponential, wilder
from engine.indicators.indicator import Indicator, amount, size
from engine.indicators.windows import after_window

_RANGE = ("high", "low")
_BAR = ("high", "low", "close")


adx = borrowed(
    "adx",
    "ADX",
    _BAR,
    (size(14, least=2),),
    "average directional index: strength of a trend, whichever way, 0 to 100",
    ready=lambda size: 2 * size,
    settled=lambda size: 2 * size + wilder(size, 3),
)
adxr = borrowed(
    "adxr",
    "ADXR",
    _BAR,
    (size(14, least=2),),
    "mean of the ADX now and a window ago",
    ready=lambda size: 3 * size - 1,
    settled=lambda size: 3 * size - 1 + wilder(size, 3),
)
dx = borrowed(
    "dx",
    "DX",
    _BAR,
    (size(14, least=2),),
    "distance of +DI and -DI over their sum, 0 to 100",
    ready=after_window,
    settled=lambda size: size + 1 + wilder(size, 2),
)
plus_di = borrowed(
    "plus_di",
    "PLUS_DI",
    _BAR,
    (size(14),),
    "share of the range that moved up, 0 to 100",
    ready=after_window,
    settled=lambda size: size + 1 + wilder(size, 2),
)
minus_di = borrowed(
    "minus_di",
    "MINUS_DI",
    _BAR,
    (size(14),),
    "share of the range that moved down, 0 to 100",
    ready=after_window,
    settled=lambda size: size + 1 + wilder(size, 2),
)
aroon_oscillator = borrowed(
    "aroon_oscillator", "AROONOSC", _RANGE, (size(14, least=2),), "Aroon up less Aroon down", ready=after_window
)
sar = borrowed(
    "sar",
    "SAR",
    _RANGE,
    (amount("acceleration", 0.02, 0.0, 10.0), amount("maximum", 0.2, 0.0, 10.0)),
    "Wilder's parabolic stop and reverse",
    ready=lambda acceleration, maximum: 2,
    anchored=True,
)
mass_index = borrowed(
    "mass_index",
    "MASSI",
    _RANGE,
    (size(9, 2, "average"), size(25, 2, "sum")),
    "Dorsey's mass index: widening and narrowing of the range",
    ready=lambda average, sum: 2 * average + sum - 2,  # noqa: A006 # the parameter's name
    settled=lambda average, sum: 2 * average + sum + exponential(average, 3),  # noqa: A006 # the same
)


class Aroon(NamedTuple):
    """How recent the window's highest and lowest are, 0 to 100."""

    up: Indicator
    down: Indicator


class Vortex(NamedTuple):
    """Movement up and down over the true range."""

    plus: Indicator
    minus: Indicator


class SuperTrend(NamedTuple):
    """A stop that trails by a multiple of the ATR, and the side that the market is on."""

    line: Indicator
    direction: Indicator


def _aroon(output: str, number: int, of: str) -> Indicator:
    says = f"how recent the {of} of the window is, 100 for now"
    return borrowed(f"aroon.{output}", "AROON", _RANGE, (size(14, least=2),), says, output=number, ready=after_window)


def _vortex(output: str, number: int, way: str) -> Indicator:
    says = f"movement {way} over the true range"
    return borrowed(f"vortex.{output}", "VORTEX", _BAR, (size(14),), says, output=number, ready=after_window)


def _supertrend(output: str, number: int, says: str) -> Indicator:
    return borrowed(
        f"supertrend.{output}",
        "SUPERTREND",
        _BAR,
        (size(10, least=2), amount("multiple", 3.0, 0.001, 1000.0)),
        says,
        output=number,
        ready=lambda size, multiple: size + 1,
        anchored=True,
    )


aroon = Aroon(_aroon("up", 1, "highest"), _aroon("down", 0, "lowest"))
vortex = Vortex(_vortex("plus", 0, "up"), _vortex("minus", 1, "down"))
supertrend = SuperTrend(
    _supertrend("line", 0, "the trailing stop"), _supertrend("direction", 1, "+1 in an uptrend, -1 in a downtrend")
)
