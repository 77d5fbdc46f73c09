"""An order as the exchange keeps it while it works, and an execution."""

from typing import Any

import msgspec

from engine.order_requests import OrderKind, OrderRequest, OrderState, TimeInForce

_STOP_LIKE = (OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TRAIL, OrderKind.TRAIL_LIMIT)


class Order(msgspec.Struct, gc=False):
    """An order that waits for a bar that opens at or after `after_us`; `quantity` is signed and what it was placed for.

    One without `order_id` is a target's: a market order that a newer target replaces.
    """

    quantity: float
    after_us: int
    reason: str
    contract_id: int = 0
    order_id: int = 0
    kind: OrderKind = OrderKind.MARKET
    tif: TimeInForce = TimeInForce.GTC
    limit: float = 0.0
    stop: float = 0.0
    trail: float = 0.0
    trail_percent: float = 0.0
    limit_offset: float = 0.0
    good_till_us: int = 0
    oca: str = ""
    reduces: bool = False
    """Whether a fill takes its size off the group's others, instead of cancelling them."""
    parent: Any = None
    """The Order whose fills let this one work."""
    wait: int = 0
    """Bars of latency that are still to pass."""
    queue: float = 0.0
    """Shares that stand before a limit order at its price."""
    filled: float = 0.0
    value: float = 0.0
    state: OrderState = OrderState.NEW
    begun: bool = False
    """Whether it has met a bar."""
    triggered: bool = False
    late_price: float | None = None
    """Where its parent filled inside the bar in hand."""
    cancel_us: int = 0
    """From which moment on a cancel holds."""
    change: Any = None
    """(from which moment on, quantity, limit, stop) of a modification on its way."""

    @property
    def buys(self) -> bool:
        return self.quantity > 0

    @property
    def left(self) -> float:
        """How much may still fill, unsigned; of a child no more than its parent holds for it."""
        size = abs(self.quantity)
        if self.parent is not None:
            size = min(size, self.parent.filled)
        return size - self.filled

    @property
    def is_stop(self) -> bool:
        """Whether it fills when the price gets worse."""
        return self.kind in _STOP_LIKE

    @property
    def waits_for_parent(self) -> bool:
        return self.parent is not None and self.parent.filled == 0


class Execution(msgspec.Struct, frozen=True, gc=False):
    """How an order filled: in row `row` of the columns, at `price`, `slippage` of it lost against the market.

    `time_us` is the bar's start when it filled at the open, else its end: when inside a bar nobody knows. `rate` is
    what one unit of the contract's currency was worth in the account's.
    """

    contract_id: int
    row: int
    time_us: int
    quantity: float
    price: float
    slippage: float
    commission: float
    reason: str
    order_id: int = 0
    rate: float = 1.0


def order_of(request: OrderRequest, order_id: int, after_us: int, parent: Order | None) -> Order:
    """The order that `request` becomes."""
    return Order(
        request.quantity,
        after_us,
        request.reason,
        request.contract_id,
        order_id,
        request.kind,
        request.tif,
        limit=request.limit or 0.0,
        stop=request.stop or 0.0,
        trail=request.trail or 0.0,
        trail_percent=request.trail_percent or 0.0,
        limit_offset=request.limit_offset or 0.0,
        good_till_us=request.good_till_us or 0,
        oca=request.oca,
        parent=parent,
    )
