"""What an order is: the terms a client asked for, how far it has come, and its executions."""

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.orders.conditions import Condition

ZERO = Decimal(0)


class Status(StrEnum):
    API_PENDING = "ApiPending"  # not transmitted yet: nobody but the gateway knows it
    PENDING_SUBMIT = "PendingSubmit"  # on its way to the exchange
    PRE_SUBMITTED = "PreSubmitted"  # waits for the session, its trigger, its parent, its time or its conditions
    SUBMITTED = "Submitted"
    PENDING_CANCEL = "PendingCancel"
    API_CANCELLED = "ApiCancelled"
    CANCELLED = "Cancelled"
    FILLED = "Filled"
    INACTIVE = "Inactive"


LIVE = frozenset(
    {Status.API_PENDING, Status.PENDING_SUBMIT, Status.PRE_SUBMITTED, Status.SUBMITTED, Status.PENDING_CANCEL}
)
STOPS = frozenset({"STP", "STP LMT", "TRAIL", "TRAIL LIMIT"})
TOUCHES = frozenset({"MIT", "LIT"})
TRAILS = frozenset({"TRAIL", "TRAIL LIMIT"})
LIMITED = frozenset({"LMT", "STP LMT", "LIT", "LOC"})  # carry a limit price of their own
AT_CLOSE = frozenset({"MOC", "LOC"})
PEGGED = frozenset({"REL", "MIDPRICE"})
ORDER_KINDS = frozenset({"MKT", "LMT", "MTL"}) | STOPS | TOUCHES | AT_CLOSE | PEGGED


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client asked for, and may change while the order works; `told` holds all fields as they came."""

    instrument: Instrument
    action: str
    quantity: Decimal
    kind: str
    limit: Decimal | None
    time_in_force: str
    reference: str
    outside_hours: bool = False
    account: str = ""
    auxiliary: Decimal | None = None  # stop or trigger price, trailing amount, offset of a pegged order
    oca_group: str = ""
    oca_type: int = 0
    parent_id: int = 0
    transmit: bool = True
    display_size: int = 0
    trigger_method: int = 0
    hidden: bool = False
    good_after: float = 0.0
    good_till: float = 0.0
    all_or_none: bool = False
    minimum_quantity: int = 0
    percent_offset: Decimal | None = None
    trail_stop: Decimal | None = None
    trail_percent: Decimal | None = None
    limit_offset: Decimal | None = None
    conditions: tuple[Condition, ...] = ()
    conditions_ignore_hours: bool = False
    conditions_cancel: bool = False
    watched: tuple[Instrument, ...] = ()  # what its conditions look at
    told: dict[str, str] = field(default_factory=dict, hash=False)

    @property
    def sign(self) -> int:
        return 1 if self.action == "BUY" else -1

    @property
    def waits_for_trigger(self) -> bool:
        return self.kind in STOPS or self.kind in TOUCHES


@dataclass(slots=True)
class Order:
    """One order; `(client_id, order_id)` is its client's name for it, `permanent_id` the gateway's."""

    client_id: int
    order_id: int
    permanent_id: int
    terms: Terms
    day: date
    status: Status = Status.SUBMITTED
    filled: Decimal = ZERO
    spent: Decimal = ZERO
    paid: Decimal = ZERO
    last_price: Decimal = ZERO
    came_at: float = 0.0
    finished_at: float = 0.0
    end: str = ""
    is_bound: bool = True  # an order placed in TWS itself has no id for clients until client 0 binds it
    # where it stands on its way to the market
    arrives_at: float = 0.0
    cancel_arrives_at: float = 0.0
    change: Terms | None = None  # on its way, too
    change_arrives_at: float = 0.0
    parent_done: bool = False
    parent_permanent_id: int = 0
    conditions_met: bool = False
    located: bool = True  # shares to sell short have been found
    triggered: bool = False
    stop: Decimal | None = None  # the trigger price in force, which trails
    observed: int = 0  # observations in a row that reached the trigger
    # where it stands in the market
    limit: Decimal | None = None  # the limit in force, which may be pegged
    rested: bool = False
    ahead: Decimal = ZERO  # what trades before it at its price
    shown: Decimal = ZERO  # what is left of the displayed part of an iceberg
    turn: int = 0  # time priority

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def is_working(self) -> bool:
        """Whether it is in the market: also while a cancel is on its way."""
        return self.turn > 0 and self.status in (Status.SUBMITTED, Status.PENDING_CANCEL)

    @property
    def is_transmitted(self) -> bool:
        return self.status is not Status.API_PENDING

    @property
    def remaining(self) -> Decimal:
        return max(self.terms.quantity - self.filled, ZERO)

    @property
    def average_price(self) -> Decimal:
        return self.spent / self.filled if self.filled else ZERO

    @property
    def sign(self) -> int:
        return self.terms.sign

    @property
    def told_id(self) -> int:
        """The id under which clients know it."""
        return self.order_id if self.is_bound else 0


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill as it is told to clients, now and on request."""

    execution_id: str
    order: Order
    moment: float
    quantity: Decimal
    price: Decimal
    cumulative: Decimal
    average_price: Decimal
    adds_liquidity: bool
    commission: Decimal
    commission_currency: str
    realized: Decimal | None


@dataclass(frozen=True, slots=True)
class Match:
    """What the market gives an order."""

    quantity: Decimal
    price: Decimal
    adds_liquidity: bool
