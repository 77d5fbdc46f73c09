"""What an approved order may still do to a position, whatever order the broker's news come in.

Updates tell how much was filled, fills move the position. The reservation covers the difference: a quantity is
reserved until it has moved the position, or until the broker has said that it never will. An order that was allowed
to change is worth the more of before and after until the broker has answered.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from schemas.orders import OrderStatus, OrderUpdate, Side

_ZERO = Decimal(0)


@dataclass(frozen=True)
class Change:
    """A change that was approved and not yet answered."""

    intent_id: str
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True)
class Reservation:
    """An approved order, as far as risk knows it."""

    order_id: str
    contract_id: int
    side: Side
    quantity: Decimal
    told: Decimal = _ZERO
    """Quantity that the broker says was filled."""
    filled: Decimal = _ZERO
    """Quantity that has moved the position."""
    sequence: int = 0
    ended: bool = False
    unknown: bool = False
    price: Decimal = _ZERO
    """What a share of it counts at most."""
    changes: tuple[Change, ...] = ()
    """The oldest first."""

    @property
    def remaining(self) -> Decimal:
        """What may still move the position, at worst."""
        most = self.told if self.ended else max(self.quantity, self.told, *(each.quantity for each in self.changes))
        return max(_ZERO, most - self.filled)

    @property
    def state(self) -> str:
        if self.ended:
            return "ended" if self.remaining else "released"
        return "unknown" if self.unknown else "open"

    def with_update(self, update: OrderUpdate) -> "Reservation":
        """After an update of the order; one that was overtaken by a later one changes nothing."""
        if update.sequence <= self.sequence:
            return self
        return replace(
            self,
            quantity=update.quantity,
            changes=_unanswered(self.changes, update.last_change),
            told=update.cumulative_quantity,
            sequence=update.sequence,
            ended=update.status.final,
            unknown=update.status is OrderStatus.UNKNOWN,
        )

    def with_fill(self, change: Decimal) -> "Reservation":
        """After an execution moved the position by `change` (unsigned; negative when a correction took some back)."""
        return replace(self, filled=self.filled + change)

    def with_change(self, change: Change) -> "Reservation":
        """After an approval to change it. Its price never falls: what was told of it may still be on its way."""
        return replace(self, changes=(*self.changes, change), price=max(self.price, change.price))


def _unanswered(changes: tuple[Change, ...], answered: str) -> tuple[Change, ...]:
    """Changes are answered in their order: with one, those before it are."""
    ids = [each.intent_id for each in changes]
    return changes[ids.index(answered) + 1 :] if answered in ids else changes
