"""What an order cost against the price at which it was decided, in three parts that add up.

Implementation shortfall (A. F. Perold, The implementation shortfall: paper versus reality, 1988), split as R. Kissell
and M. Glantz do (Optimal trading strategies, 2003): what the market did until the order was sent (delay), half the
spread that was quoted then, and the rest, which is what executing it cost or won (execution). Positive is a cost.
"""

from dataclasses import dataclass
from decimal import Decimal

from engine.portfolio import exactly
from schemas.orders import Side

_HALF = Decimal("0.5")
_BASIS_POINTS = Decimal(10_000)


@dataclass(frozen=True)
class Traded:
    """An order of which something was filled. Prices in the currency of its contract."""

    order_id: str
    strategy_id: str
    symbol: str
    currency: str
    side: Side
    quantity: Decimal
    """What was filled of it."""
    price: Decimal
    """At which it was filled, on average."""
    decided: Decimal
    """The price that the strategy saw when it decided."""
    seen: Decimal | None
    """The newest price that risk had seen before it was sent."""
    bid: Decimal | None = None
    """What was quoted when it was sent, if anything was."""
    ask: Decimal | None = None


@dataclass(frozen=True)
class Slippage:
    """Of one order, in money of its contract's currency. Without a quote the spread is part of `execution`."""

    order: Traded
    arrival: Decimal
    """The middle of the quote when it was sent; without one the price that risk had seen, or the decision's."""
    total: Decimal
    delay: Decimal
    spread: Decimal | None
    execution: Decimal

    @property
    def basis_points(self) -> Decimal | None:
        """The total as a share of what was traded, at the price of the decision."""
        worth = self.order.quantity * abs(self.order.decided)
        return exactly(self.total / worth * _BASIS_POINTS).quantize(Decimal("0.01")) if worth else None


def slippage_of(order: Traded) -> Slippage:
    """Split what an order cost: `delay + spread + execution` is `total`."""
    towards = order.quantity * order.side.sign
    spread = None
    arrival = order.seen if order.seen is not None else order.decided
    if order.bid is not None and order.ask is not None:
        arrival = (order.bid + order.ask) * _HALF
        spread = exactly((order.ask - order.bid) * _HALF * order.quantity)
    total = exactly((order.price - order.decided) * towards)
    delay = exactly((arrival - order.decided) * towards)
    return Slippage(order, exactly(arrival), total, delay, spread, exactly(total - delay - (spread or Decimal(0))))
