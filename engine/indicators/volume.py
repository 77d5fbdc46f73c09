"""What volume says about prices."""

from engine.indicators.borrowed import borrowed
from engine.indicators.forgetting import exponential
from engine.indicators.indicator import Indicator, size

_MONEY = ("high", "low", "close", "volume")
_CLOSE = ("close", "volume")


def _total(name: str, function: str, takes: tuple[str, ...], says: str) -> Indicator:
    """What adds up from the first bar on."""
    return borrowed(name, function, takes, (), says, ready=lambda: 1, anchored=True)


obv = _total("obv", "OBV", _CLOSE, "on-balance volume: volume added on rises, taken off on falls")
accumulation = _total("accumulation", "AD", _MONEY, "Chaikin's accumulation and distribution line")
williams_accumulation = _total(
    "williams_accumulation", "WAD", ("high", "low", "close"), "Williams' accumulation and distribution"
)
negative_volume = _total("negative_volume", "NVI", _CLOSE, "index of the moves on falling volume, 1000 at first")
positive_volume = _total("positive_volume", "PVI", _CLOSE, "index of the moves on rising volume, 1000 at first")
price_volume = _total("price_volume", "PVT", _CLOSE, "price and volume trend: volume times relative change, added up")
anchored_vwap = _total("anchored_vwap", "VWAP", _MONEY, "volume-weighted typical price since the first bar")

mfi = borrowed(
    "mfi",
    "MFI",
    _MONEY,
    (size(14, least=2),),
    "money flow index: an RSI of typical price times volume, 0 to 100",
    ready=lambda size: size + 1,
)
money_flow = borrowed(
    "money_flow",
    "CMF",
    _MONEY,
    (size(20, least=2),),
    "Chaikin's money flow: accumulation over volume, -1 to 1",
    ready=lambda size: size,
)
chaikin = borrowed(
    "chaikin",
    "ADOSC",
    _MONEY,
    (size(3, 2, "fast"), size(10, 2, "slow")),
    "Chaikin's oscillator: fast less slow average of the accumulation line",
    ready=max,
    settled=lambda fast, slow: max(fast, slow) + exponential(max(fast, slow), 3),
)
force = borrowed(
    "force",
    "EFI",
    _CLOSE,
    (size(13),),
    "Elder's force: change times volume, smoothed",
    ready=lambda size: size + 1,
    settled=lambda size: size + 1 + exponential(size, 2),
)
market_facilitation = borrowed(
    "market_facilitation",
    "MARKETFI",
    ("high", "low", "volume"),
    (),
    "Williams' market facilitation: range over volume",
    ready=lambda: 1,
)
volume_oscillator = borrowed(
    "volume_oscillator",
    "PVO",
    ("volume",),
    (size(12, 2, "fast"), size(26, 2, "slow")),
    "fast less slow exponential average of volume, in percent of the slow",
    ready=max,
    settled=lambda fast, slow: max(fast, slow) + exponential(max(fast, slow), 2),
    fixed=(("matype", 1),),
)
