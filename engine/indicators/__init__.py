"""Indicators, each in two forms that give the same bits: a function of columns, and a twin that takes bar after bar."""

from collections.abc import Iterator
from typing import Any

from engine.indicators.averages import dema, ema, hma, kama, midpoint, rma, t3, tema, trima, wma, zlema
from engine.indicators.channels import acceleration_bands, bollinger, donchian, highest, keltner, lowest, midprice
from engine.indicators.comparisons import TIE, crossing, lag, side
from engine.indicators.correlation import correlation
from engine.indicators.ichimoku import ichimoku
from engine.indicators.indicator import Indicator, IndicatorError, Live, Parameter
from engine.indicators.momentum import (
    apo,
    cmo,
    coppock,
    dpo,
    efficiency_ratio,
    macd,
    momentum,
    ppo,
    roc,
    stochastic_rsi,
    trix,
    tsi,
    vertical_horizontal,
)
from engine.indicators.oscillators import (
    accelerator,
    awesome,
    balance_of_power,
    cci,
    elder_ray,
    intraday_momentum,
    kdj,
    qstick,
    stochastic,
    stochastic_momentum,
    ultimate,
    williams_r,
)
from engine.indicators.prices import average_price, heikin_ashi, median_price, typical_price, weighted_close
from engine.indicators.regression import (
    beta,
    linear_angle,
    linear_forecast,
    linear_intercept,
    linear_regression,
    linear_slope,
    percent_rank,
    percentile,
)
from engine.indicators.spread import zscore
from engine.indicators.strength import rsi
from engine.indicators.trend import (
    adx,
    adxr,
    aroon,
    aroon_oscillator,
    dx,
    mass_index,
    minus_di,
    plus_di,
    sar,
    supertrend,
    vortex,
)
from engine.indicators.volatility import (
    atr,
    average_range,
    chaikin_volatility,
    deviation,
    mean_deviation,
    natr,
    relative_volatility,
    true_range,
    variance,
)
from engine.indicators.volume import (
    accumulation,
    anchored_vwap,
    chaikin,
    force,
    market_facilitation,
    mfi,
    money_flow,
    negative_volume,
    obv,
    positive_volume,
    price_volume,
    volume_oscillator,
    williams_accumulation,
)
from engine.indicators.windows import relative_volume, sma, vwap, vwma

__all__ = [
    "TIE",
    "Indicator",
    "IndicatorError",
    "Live",
    "Parameter",
    "acceleration_bands",
    "accelerator",
    "accumulation",
    "adx",
    "adxr",
    "anchored_vwap",
    "apo",
    "aroon",
    "aroon_oscillator",
    "atr",
    "average_price",
    "average_range",
    "awesome",
    "balance_of_power",
    "beta",
    "bollinger",
    "catalogue",
    "cci",
    "chaikin",
    "chaikin_volatility",
    "cmo",
    "coppock",
    "correlation",
    "crossing",
    "dema",
    "deviation",
    "donchian",
    "dpo",
    "dx",
    "efficiency_ratio",
    "elder_ray",
    "ema",
    "force",
    "heikin_ashi",
    "highest",
    "hma",
    "ichimoku",
    "intraday_momentum",
    "kama",
    "kdj",
    "keltner",
    "lag",
    "linear_angle",
    "linear_forecast",
    "linear_intercept",
    "linear_regression",
    "linear_slope",
    "lowest",
    "macd",
    "market_facilitation",
    "mass_index",
    "mean_deviation",
    "median_price",
    "mfi",
    "midpoint",
    "midprice",
    "minus_di",
    "momentum",
    "money_flow",
    "natr",
    "negative_volume",
    "obv",
    "percent_rank",
    "percentile",
    "plus_di",
    "positive_volume",
    "ppo",
    "price_volume",
    "qstick",
    "relative_volatility",
    "relative_volume",
    "rma",
    "roc",
    "rsi",
    "sar",
    "side",
    "sma",
    "stochastic",
    "stochastic_momentum",
    "stochastic_rsi",
    "supertrend",
    "t3",
    "tema",
    "trima",
    "trix",
    "true_range",
    "tsi",
    "typical_price",
    "ultimate",
    "variance",
    "vertical_horizontal",
    "volume_oscillator",
    "vortex",
    "vwap",
    "vwma",
    "weighted_close",
    "williams_accumulation",
    "williams_r",
    "wma",
    "zlema",
    "zscore",
]


def catalogue() -> dict[str, Indicator]:
    """Every indicator by name, in the order of the names; one with several outputs is several: `macd.signal`."""
    found = {each.name: each for name in __all__ for each in _indicators(globals()[name])}
    return dict(sorted(found.items()))


def _indicators(value: Any) -> Iterator[Indicator]:
    if isinstance(value, Indicator):
        yield value
    elif isinstance(value, tuple):
        yield from value
