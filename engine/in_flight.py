"""What orders that were approved can still do to a position, at their worst.

An exit waits for its parent on the other side and can fill no more than the parent has filled: risk lets none be
larger than its parent, and one group only hang on it. Of a group only the largest order counts on each side, since its
orders take each other's place.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from schemas.order_words import OrderType, Side

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class InFlight:
    """An approved order that may still move the position, as its reservation says."""

    order_id: str
    strategy_id: str
    contract_id: int
    symbol: str
    currency: str
    side: Side
    quantity: Decimal
    remaining: Decimal
    filled: Decimal
    state: str
    price: Decimal
    order_type: OrderType
    limit_price: Decimal | None
    stop_price: Decimal | None
    opened_at: datetime
    parent_id: str = ""
    oca_group: str = ""
    parent_side: Side | None = None
    """None when it has no parent, or one of another contract."""
    parent_filled: Decimal = _ZERO
    parent_least: Decimal = _ZERO
    changes: tuple[Decimal, ...] = ()
    """Quantities of changes that the broker has not answered."""

    @property
    def waits_for_parent(self) -> bool:
        return self.parent_side is not None and self.parent_side is not self.side

    @property
    def least(self) -> Decimal:
        """How little it may come to in all."""
        return min((self.quantity, *self.changes)) if self.works else self.most

    @property
    def most(self) -> Decimal:
        """How much it may come to in all."""
        return self.filled + self.remaining

    @property
    def at_worst(self) -> Decimal:
        """What it may still move."""
        if self.waits_for_parent:
            return min(self.remaining, max(_ZERO, self.parent_filled - self.filled))
        return self.remaining

    @property
    def group(self) -> str:
        """Of the orders of one group only the largest can fill."""
        return self.oca_group or self.order_id

    @property
    def works(self) -> bool:
        return self.state != "ended"


@dataclass(frozen=True, slots=True)
class Flight:
    """What orders in flight can do to one contract at their worst."""

    buys: Decimal = _ZERO
    sells: Decimal = _ZERO
    orders: int = 0
    buy_price: Decimal = _ZERO
    """The highest at which a purchase counts. An exit that waits for its parent has no say: it takes back, at whatever
    price, no more than what the parent has entered."""
    sell_price: Decimal = _ZERO
    unknown: str = ""

    @property
    def price(self) -> Decimal:
        return max(self.buy_price, self.sell_price)


@dataclass
class _Group:
    """Orders of one side that take each other's place: together they fill no more than the largest of them asks for."""

    largest: Decimal = _ZERO
    asked: Decimal = _ZERO
    filled: Decimal = _ZERO

    def add(self, order: InFlight) -> None:
        self.largest = max(self.largest, order.at_worst)
        self.asked = max(self.asked, order.quantity, order.filled + order.remaining)
        self.filled += order.filled

    @property
    def at_worst(self) -> Decimal:
        return min(self.largest, max(_ZERO, self.asked - self.filled))


def flight_of(orders: Iterable[InFlight]) -> Flight:
    """Of orders of one contract."""
    groups: dict[tuple[Side, str], _Group] = {}
    count, unknown = 0, ""
    prices = dict.fromkeys(Side, _ZERO)
    for each in orders:
        groups.setdefault((each.side, each.group), _Group()).add(each)
        count += each.works
        if not each.waits_for_parent:
            prices[each.side] = max(prices[each.side], each.price)
        if each.state == "unknown":
            unknown = min(filter(None, (unknown, each.order_id)))
    sides = {side: sum((each.at_worst for (of, _), each in groups.items() if of is side), _ZERO) for side in Side}
    return Flight(sides[Side.BUY], sides[Side.SELL], count, prices[Side.BUY], prices[Side.SELL], unknown)
