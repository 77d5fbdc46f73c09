"""Where the close stands among highs and lows: oscillators of bars."""

from typing import NamedTuple

from engine.indicators.borrowed import borrowed
from engine.indicators.forgetting import exponential, wilder
from engine.indicators.indicator import Indicator, size

_RANGE = ("high", "low")
_BAR = ("high", "low", "close")


class Stochastic(NamedTuple):
    """Lane's oscillator, 0 to 100."""

    k: Indicator
    d: Indicator


class Kdj(NamedTuple):
    """The stochastic smoothed by Wilder's averages, with 3 k less 2 d."""

    k: Indicator
    d: Indicator
    j: Indicator


class SmiErgodic(NamedTuple):
    """Blau's stochastic momentum."""

    line: Indicator
    signal: Indicator


class ElderRay(NamedTuple):
    """Elder's bull and bear power."""

    bull: Indicator
    bear: Indicator


stochastic = Stochastic._make(
    borrowed(
        f"stochastic.{output}",
        "STOCH",
        _BAR,
        (size(14, 2), size(3, 1, "smooth"), size(3, 1, "signal")),
        says,
        output=number,
        ready=lambda size, smooth, signal: size + smooth + signal - 2,
        order=lambda size, smooth, signal: (size, smooth, 0, signal, 0),
    )
    for number, (output, says) in enumerate(
        zip(Stochastic._fields, ("place of the close in the range, smoothed", "average of k"), strict=True)
    )
)
kdj = Kdj._make(
    borrowed(
        f"kdj.{output}",
        "KDJ",
        _BAR,
        (size(9, 2), size(3, 1, "smooth"), size(3, 1, "signal")),
        says,
        output=number,
        ready=lambda size, smooth, signal: size + smooth + signal - 2,
        settled=lambda size, smooth, signal: size + smooth + signal - 2 + wilder(smooth, 2) + wilder(signal, 2),
        order=lambda size, smooth, signal: (size, smooth, 13, signal, 13),
    )
    for number, (output, says) in enumerate(
        zip(
            Kdj._fields,
            ("place of the close in the range, smoothed by Wilder", "Wilder's average of k", "3 k less 2 d"),
            strict=True,
        )
    )
)
stochastic_momentum = SmiErgodic._make(
    borrowed(
        f"stochastic_momentum.{output}",
        "SMI",
        _BAR,
        (size(13, 2), size(2, 2, "fast"), size(25, 2, "slow"), size(9, 2, "signal")),
        says,
        output=number,
        ready=lambda size, fast, slow, signal: size + fast + slow + signal - 3,
        settled=lambda size, fast, slow, signal: (
            size + fast + slow + signal + exponential(fast) + exponential(slow) + exponential(signal, 2)
        ),
    )
    for number, (output, says) in enumerate(
        zip(
            SmiErgodic._fields,
            ("distance of the close from the middle of the range, smoothed twice, -100 to 100", "average of the line"),
            strict=True,
        )
    )
)
elder_ray = ElderRay._make(
    borrowed(
        f"elder_ray.{output}",
        "ERI",
        _BAR,
        (size(13, 2),),
        says,
        output=number,
        ready=lambda size: size,
        settled=lambda size: size + exponential(size, 2),
    )
    for number, (output, says) in enumerate(
        zip(
            ElderRay._fields,
            ("high less exponential average of the close", "low less exponential average of the close"),
            strict=True,
        )
    )
)
williams_r = borrowed(
    "williams_r",
    "WILLR",
    _BAR,
    (size(14, least=2),),
    "Williams %R: distance of the close from the highest, 0 to -100",
    ready=lambda size: size,
)
cci = borrowed(
    "cci",
    "CCI",
    _BAR,
    (size(20, least=2),),
    "commodity channel index: distance of the typical price from its mean in mean deviations",
    ready=lambda size: size,
)
ultimate = borrowed(
    "ultimate",
    "ULTOSC",
    _BAR,
    (size(7, 1, "short"), size(14, 1, "middle"), size(28, 1, "long")),
    "Williams' ultimate oscillator: buying pressure over three windows, 0 to 100",
    ready=lambda short, middle, long: max(short, middle, long) + 1,
)
balance_of_power = borrowed(
    "balance_of_power",
    "BOP",
    ("open", "high", "low", "close"),
    (),
    "close less open over high less low, -1 to 1",
    ready=lambda: 1,
)
intraday_momentum = borrowed(
    "intraday_momentum",
    "IMI",
    ("open", "close"),
    (size(14, least=2),),
    "intraday momentum index: an RSI of the moves from open to close",
    ready=lambda size: size,
)
qstick = borrowed(
    "qstick", "QSTICK", ("open", "close"), (size(10),), "average move from open to close", ready=lambda size: size
)
awesome = borrowed(
    "awesome",
    "AO",
    _RANGE,
    (size(5, 2, "fast"), size(34, 2, "slow")),
    "Williams' awesome oscillator: fast less slow average of the middle price",
    ready=max,
)
accelerator = borrowed(
    "accelerator",
    "AC",
    _RANGE,
    (size(5, 2, "fast"), size(34, 2, "slow"), size(5, 2, "signal")),
    "the awesome oscillator less its average",
    ready=lambda fast, slow, signal: max(fast, slow) + signal - 1,
)
