"""What can be known of an order: each thing that we did, or that the broker said, is a fact."""

from dataclasses import dataclass
from decimal import Decimal

from schemas.orders import OrderStatus


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """The broker has the order: it stands in its book, or did."""

    permanent_id: int = 0


@dataclass(frozen=True, slots=True)
class Reported:
    """The broker's running count of what was filled; it may run ahead of the executions."""

    filled: Decimal


@dataclass(frozen=True, slots=True)
class Executed:
    """One revision of one execution; quantity 0 when it was busted."""

    execution_id: str
    revision: int
    quantity: Decimal
    price: Decimal


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """We asked the broker to cancel it."""


@dataclass(frozen=True, slots=True)
class Sized:
    """How large the broker works it now: after a change, or a fill of another order of its group. The newest counts."""

    quantity: Decimal


@dataclass(frozen=True, slots=True)
class ChangeRequested:
    """We asked the broker to make it an order of `quantity`; one change at a time."""

    change_id: str
    quantity: Decimal


@dataclass(frozen=True, slots=True)
class ChangeAnswered:
    """The broker took the change, or refused it for a reason; the order works as `Sized` tells."""

    change_id: str
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A cancel or a change was asked for again and again, and the broker has neither done nor refused it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The broker said that it no longer works: CANCELED, REJECTED or EXPIRED."""

    status: OrderStatus
    code: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NeverArrived:
    """We established that the broker never had it. Anything that the broker says later weighs more."""

    status: OrderStatus
    reason: str
    code: int = 0


@dataclass(frozen=True, slots=True)
class Lost:
    """It cannot be told whether the broker has it. Anything that the broker says later weighs more."""

    reason: str


@dataclass(frozen=True, slots=True)
class FilledAfterEnd:
    """An execution came though the broker had told the order's end: it counts, and a person should know."""

    told: OrderStatus


Fact = (
    Acknowledged
    | Reported
    | Executed
    | CancelRequested
    | Sized
    | ChangeRequested
    | ChangeAnswered
    | Unanswered
    | Ended
    | NeverArrived
    | Lost
    | FilledAfterEnd
)
