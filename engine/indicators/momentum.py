"""How fast and how far prices move: oscillators of one series."""

from typing import NamedTuple

from engine.indicators.borrowed import borrowed
from engine.indicators.forgetting import exponential, wilder
from engine.indicators.indicator import Indicator, size
from engine.indicators.windows import after_window

_VALUES = ("values",)
_EXPONENTIAL = (("matype", 1),)


momentum = borrowed("momentum", "MOM", _VALUES, (size(10),), "change over so many bars", ready=after_window)
roc = borrowed("roc", "ROC", _VALUES, (size(10),), "rate of change over so many bars, in percent", ready=after_window)
cmo = borrowed(
    "cmo",
    "CMO",
    _VALUES,
    (size(14, least=2),),
    "Chande's momentum oscillator, -100 to 100, on Wilder's averages",
    ready=after_window,
    settled=lambda size: size + 1 + wilder(size, 2),
)
apo = borrowed(
    "apo",
    "APO",
    _VALUES,
    (size(12, 2, "fast"), size(26, 2, "slow")),
    "fast less slow exponential average",
    ready=max,
    settled=lambda fast, slow: max(fast, slow) + exponential(max(fast, slow)),
    fixed=_EXPONENTIAL,
)
ppo = borrowed(
    "ppo",
    "PPO",
    _VALUES,
    (size(12, 2, "fast"), size(26, 2, "slow")),
    "fast less slow exponential average, in percent of the slow",
    ready=max,
    settled=lambda fast, slow: max(fast, slow) + exponential(max(fast, slow)),
    fixed=_EXPONENTIAL,
)
trix = borrowed(
    "trix",
    "TRIX",
    _VALUES,
    (size(15),),
    "rate of change of a triple exponential average, in percent",
    ready=lambda size: 3 * size - 1,
    settled=lambda size: 3 * size - 1 + exponential(size, 4),
)
tsi = borrowed(
    "tsi",
    "TSI",
    _VALUES,
    (size(25, 2, "first"), size(13, 2, "second")),
    "true strength index: change over absolute change, both smoothed twice, -100 to 100",
    ready=lambda first, second: first + second,
    settled=lambda first, second: first + second + exponential(first) + exponential(second),
)
coppock = borrowed(
    "coppock",
    "COPPOCK",
    _VALUES,
    (size(10, 2, "average"), size(11, 1, "short"), size(14, 1, "long")),
    "Coppock's curve: weighted average of the sum of two rates of change",
    ready=lambda average, short, long: average + max(short, long),
)
dpo = borrowed(
    "dpo",
    "DPO",
    _VALUES,
    (size(20, least=2),),
    "detrended price: the value half a window ago less the average",
    ready=lambda size: max(size, size // 2 + 2),
)
efficiency_ratio = borrowed(
    "efficiency_ratio",
    "ER",
    _VALUES,
    (size(10, least=2),),
    "Kaufman's efficiency: distance gone over way taken, 0 to 1",
    ready=after_window,
)
vertical_horizontal = borrowed(
    "vertical_horizontal",
    "VHF",
    _VALUES,
    (size(28, least=2),),
    "White's filter: range of the window over way taken, high in a trend",
    ready=after_window,
)


class Macd(NamedTuple):
    """Moving average convergence and divergence."""

    line: Indicator
    signal: Indicator
    histogram: Indicator


_MACD_SAYS = (
    "fast less slow exponential average",
    "exponential average of the line",
    "line less signal",
)

macd = Macd._make(
    borrowed(
        f"macd.{output}",
        "MACD",
        _VALUES,
        (size(12, 2, "fast"), size(26, 2, "slow"), size(9, 1, "signal")),
        says,
        output=number,
        ready=lambda fast, slow, signal: max(fast, slow) + signal - 1,
        settled=lambda fast, slow, signal: max(fast, slow) + exponential(max(fast, slow)) + exponential(signal, 2),
    )
    for number, (output, says) in enumerate(zip(Macd._fields, _MACD_SAYS, strict=True))
)


class StochasticRsi(NamedTuple):
    """Where the RSI stands in its own range."""

    k: Indicator
    d: Indicator


stochastic_rsi = StochasticRsi._make(
    borrowed(
        f"stochastic_rsi.{output}",
        "STOCHRSI",
        _VALUES,
        (size(14, 2), size(14, 1, "range"), size(3, 1, "smooth")),
        says,
        output=number,
        ready=lambda size, range, smooth: size + range + smooth - 1,  # noqa: A006 # the parameter's name
        settled=lambda size, range, smooth: size + range + smooth - 1 + wilder(size, 2),  # noqa: A006 # the same
    )
    for number, (output, says) in enumerate(
        zip(StochasticRsi._fields, ("place of the RSI in its range, 0 to 100", "average of k"), strict=True)
    )
)
