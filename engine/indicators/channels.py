"""Bands around a price, and the range that it has kept to."""

from typing import NamedTuple

from engine.indicators.borrowed import borrowed
from engine.indicators.forgetting import exponential, wilder
from engine.indicators.indicator import Indicator, amount, size
from engine.indicators.spread import bollinger_percent, bollinger_width

_RANGE = ("high", "low")
_BAR = ("high", "low", "close")
_SIDES = ("upper", "middle", "lower")


class Bands(NamedTuple):
    """A channel."""

    upper: Indicator
    middle: Indicator
    lower: Indicator


class Bollinger(NamedTuple):
    """Bollinger's bands, with the place of the value between them and their distance."""

    upper: Indicator
    middle: Indicator
    lower: Indicator
    percent: Indicator
    width: Indicator


bollinger = Bollinger._make(
    (
        *(
            borrowed(
                f"bollinger.{side}",
                "BBANDS",
                ("values",),
                (size(20, least=2), amount("deviations", 2.0, 0.001, 1000.0)),
                f"{side} of the bands so many standard deviations around the mean",
                output=number,
                ready=lambda size, deviations: size,
                order=lambda size, deviations: (size, deviations, deviations),
            )
            for number, side in enumerate(_SIDES)
        ),
        bollinger_percent,
        bollinger_width,
    )
)
keltner = Bands._make(
    borrowed(
        f"keltner.{side}",
        "KC",
        _BAR,
        (size(20, least=2), size(10, 1, "atr"), amount("multiple", 2.0, 0.001, 1000.0)),
        f"{side} of the bands a multiple of the ATR around the exponential average of the typical price",
        output=number,
        ready=lambda size, atr, multiple: max(size, atr + 1),
        settled=lambda size, atr, multiple: max(size, atr + 1) + max(exponential(size), wilder(atr)),
    )
    for number, side in enumerate(_SIDES)
)
donchian = Bands._make(
    borrowed(
        f"donchian.{side}",
        "DONCHIAN",
        _RANGE,
        (size(20, least=2),),
        f"{side} of the window's range, the bar in hand included",
        output=number,
        ready=lambda size: size,
    )
    for number, side in enumerate(_SIDES)
)
acceleration_bands = Bands._make(
    borrowed(
        f"acceleration_bands.{side}",
        "ACCBANDS",
        _BAR,
        (size(20, least=2),),
        f"{side} of Headley's acceleration bands",
        output=number,
        ready=lambda size: size,
    )
    for number, side in enumerate(_SIDES)
)
midprice = borrowed(
    "midprice",
    "MIDPRICE",
    _RANGE,
    (size(14, least=2),),
    "middle between the window's highest high and lowest low",
    ready=lambda size: size,
)
highest = borrowed("highest", "MAX", ("values",), (size(20, least=2),), "the window's highest", ready=lambda size: size)
lowest = borrowed("lowest", "MIN", ("values",), (size(20, least=2),), "the window's lowest", ready=lambda size: size)
