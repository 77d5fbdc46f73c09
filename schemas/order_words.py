"""The words of an order, one vocabulary for backtests, live trading and the API: IB's names. Needs no library."""

from enum import StrEnum

MANUAL = "manual"
"""The strategy id of orders that people place by hand."""


class Side(StrEnum):
    """Which way. `sign` is +1 for a buy, -1 for a sell."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1


class OrderType(StrEnum):
    """How the price is found, by IB's names."""

    MARKET = "MKT"
    LIMIT = "LMT"
    STOP = "STP"
    STOP_LIMIT = "STP LMT"
    TRAIL = "TRAIL"
    TRAIL_LIMIT = "TRAIL LIMIT"
    MARKET_IF_TOUCHED = "MIT"
    LIMIT_IF_TOUCHED = "LIT"
    MARKET_ON_CLOSE = "MOC"
    LIMIT_ON_CLOSE = "LOC"
    MARKET_TO_LIMIT = "MTL"
    RELATIVE = "REL"

    @classmethod
    def _missing_(cls, value: object) -> "OrderType | None":
        """Records of before said it in other words."""
        return {"MARKET": cls.MARKET, "LIMIT": cls.LIMIT}.get(str(value))


class TimeInForce(StrEnum):
    """How long an order works, by IB's names; OPG takes part in the session's opening alone (MOO, LOO)."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"
    OPG = "OPG"


TRAILS = (OrderType.TRAIL, OrderType.TRAIL_LIMIT)
TOUCHES = (OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
TRIGGERED = (OrderType.STOP, OrderType.STOP_LIMIT, *TRAILS, *TOUCHES)
"""They wait for a price before they work."""
AT_CLOSE = (OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE)
AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
OUTSIDE_HOURS = (
    OrderType.LIMIT,
    OrderType.STOP_LIMIT,
    OrderType.TRAIL_LIMIT,
    OrderType.LIMIT_IF_TOUCHED,
    OrderType.RELATIVE,
)
"""IB lets these alone trade outside of regular hours."""
