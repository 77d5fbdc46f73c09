"""What a strategy asks of the exchange beside targets: orders, changes of them, and the news it hears of them."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from schemas.moments import to_datetime
from schemas.order_words import AT_CLOSE, TRAILS, TimeInForce
from schemas.order_words import OrderType as OrderKind

__all__ = [
    "BracketIds",
    "OrderKind",
    "OrderNews",
    "OrderRequest",
    "OrderRequestError",
    "OrderState",
    "TimeInForce",
]


class OrderRequestError(ValueError):
    """An order that cannot be: one line that says which term is missing or wrong."""


class OrderState(StrEnum):
    """What became of an order. *Denied* is the account's word, *rejected* the exchange's."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    DENIED = "DENIED"
    REJECTED = "REJECTED"

    @property
    def final(self) -> bool:
        """Whether nothing more can come of it."""
        return self not in (OrderState.NEW, OrderState.PARTIALLY_FILLED)


_NEEDS = {
    OrderKind.LIMIT: ("limit",),
    OrderKind.STOP: ("stop",),
    OrderKind.STOP_LIMIT: ("limit", "stop"),
    OrderKind.MARKET_IF_TOUCHED: ("stop",),
    OrderKind.LIMIT_IF_TOUCHED: ("limit", "stop"),
    OrderKind.LIMIT_ON_CLOSE: ("limit",),
    OrderKind.TRAIL_LIMIT: ("limit_offset",),
}


class OrderRequest(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A concrete order; `quantity` is signed, prices are those of the contract.

    `stop` is the price that triggers (STP, STP LMT, MIT, LIT). A trailing order keeps `trail` money, or `trail_percent`
    of the price, behind the best price since it works; a TRAIL LIMIT's limit lies `limit_offset` beyond its stop.
    `good_till_us` ends a GTD order. Orders of one `oca` group cancel each other. A child works once its `parent` has
    filled. Raises OrderRequestError when a term is missing, superfluous or no amount.
    """

    contract_id: int
    quantity: float
    kind: OrderKind = OrderKind.MARKET
    tif: TimeInForce = TimeInForce.DAY
    limit: float | None = None
    stop: float | None = None
    trail: float | None = None
    trail_percent: float | None = None
    limit_offset: float | None = None
    good_till_us: int | None = None
    oca: str = ""
    parent: int = 0
    reason: str = ""

    def __post_init__(self) -> None:
        if not (self.quantity < 0 or self.quantity > 0) or self.quantity - self.quantity != 0:
            raise OrderRequestError(f"an order is for a quantity that is not zero, not for {self.quantity}")
        if self.kind is OrderKind.RELATIVE:
            raise OrderRequestError("a REL order follows the quotes, and a strategy's bars have none")
        needed = _NEEDS.get(self.kind, ())
        for name in ("limit", "stop", "trail", "trail_percent", "limit_offset"):
            value = getattr(self, name)
            if value is not None and value - value != 0:
                raise OrderRequestError(f"{name} of a {self.kind} order is no amount: {value}")
            allowed = name in needed or (self.kind in TRAILS and name.startswith("trail"))
            if value is None and name in needed:
                raise OrderRequestError(f"a {self.kind} order needs {name}")
            if value is not None and not allowed:
                raise OrderRequestError(f"a {self.kind} order has no {name}")
        self._check_trail_and_time()

    def _check_trail_and_time(self) -> None:
        if self.kind in TRAILS:
            given = [each for each in (self.trail, self.trail_percent) if each is not None]
            if len(given) != 1 or given[0] <= 0:
                raise OrderRequestError(f"a {self.kind} order needs trail or trail_percent, above zero")
        if (self.tif is TimeInForce.GTD) != (self.good_till_us is not None):
            raise OrderRequestError("a GTD order, and no other, needs good_till")
        if self.tif is TimeInForce.OPG and self.kind not in (OrderKind.MARKET, OrderKind.LIMIT):
            raise OrderRequestError(f"only MKT and LMT orders take part in the opening (OPG), not {self.kind}")
        if self.kind in AT_CLOSE and self.tif is not TimeInForce.DAY:
            raise OrderRequestError(f"a {self.kind} order is DAY, not {self.tif}")


class OrderNews(msgspec.Struct, frozen=True, gc=False):
    """What became of the strategy's order `order_id`: its state, how much of it (unsigned) is filled, and why."""

    order_id: int
    contract_id: int
    state: OrderState
    quantity: float
    filled: float
    time_us: int
    reason: str = ""

    @property
    def time(self) -> datetime:
        """When it became so, in UTC."""
        return to_datetime(self.time_us)


class BracketIds(NamedTuple):
    """The three orders of a bracket."""

    entry: int
    stop: int
    target: int
