"""A target with the orders that reach it and protect it."""

import math
from typing import Any

import msgspec

from engine.order_requests import OrderKind, OrderRequest, OrderRequestError, TimeInForce


class Aim(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Hold `value` of the full position of a contract, by an order of `kind` that stands at `price` (none: market).

    `stop`, `take_profit` and `trail` protect what it enters. Raises OrderRequestError for a value outside [-1, 1], a
    kind that has no single price, and a stop beside a trail.
    """

    contract_id: int
    value: float
    kind: OrderKind = OrderKind.MARKET
    price: float | None = None
    stop: float | None = None
    take_profit: float | None = None
    trail: float | None = None

    def __post_init__(self) -> None:
        if not -1.0 <= self.value <= 1.0:
            raise OrderRequestError(f"a target lies in [-1, 1], not at {self.value}")
        if self.kind not in (OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP):
            raise OrderRequestError(f"a target is reached by MKT, LMT or STP orders, not by {self.kind}")
        if (self.kind is OrderKind.MARKET) != (self.price is None):
            raise OrderRequestError("a LMT or STP order, and no other, needs price")
        if self.stop is not None and self.trail is not None:
            raise OrderRequestError("a position is protected by a stop or by a trail, not by both")
        for name in ("price", "stop", "take_profit", "trail"):
            level = getattr(self, name)
            if level is not None and not math.isfinite(level):
                raise OrderRequestError(f"{name} is no amount: {level}")

    @property
    def protected(self) -> bool:
        """Whether something waits to end the position."""
        return not (self.stop is None and self.take_profit is None and self.trail is None)

    def entry(self, quantity: float) -> OrderRequest:
        """The order for a signed quantity."""
        price = {} if self.price is None else {"limit" if self.kind is OrderKind.LIMIT else "stop": self.price}
        return self._request(quantity, self.kind, "", **price)

    def protection(self, quantity: float) -> tuple[OrderRequest, ...]:
        """The orders that end a position of that signed quantity."""
        wanted = (
            (OrderKind.STOP, "stop", self.stop),
            (OrderKind.TRAIL, "trail", self.trail),
            (OrderKind.LIMIT, "limit", self.take_profit),
        )
        reasons = {"limit": "target"}
        return tuple(
            self._request(-quantity, kind, reasons.get(term, term), **{term: level})
            for kind, term, level in wanted
            if level is not None
        )

    def _request(self, quantity: float, kind: OrderKind, reason: str, **terms: Any) -> OrderRequest:
        number, kept = self.contract_id, TimeInForce.GTC
        return OrderRequest(contract_id=number, quantity=quantity, kind=kind, tif=kept, reason=reason, **terms)
