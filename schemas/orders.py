"""The life of an order: intent, decision, updates, fills, commissions."""

from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.event import ContractId, Event, Money, Name, Quantity, UtcTime
from schemas.order_terms import OrderId as OrderId
from schemas.order_terms import OrderTerms
from schemas.order_words import OrderType as OrderType
from schemas.order_words import Side as Side
from schemas.order_words import TimeInForce as TimeInForce
from schemas.risk import DenialReason as DenialReason
from schemas.risk import RiskBasis as RiskBasis


class OrderIntent(OrderTerms):
    """A concrete proposal, not yet permitted. `intent_id` is a function of what caused it."""

    type: Literal["OrderIntent"] = "OrderIntent"
    intent_id: OrderId
    account_id: Name
    strategy_id: Name
    contract_id: ContractId
    symbol: Name
    currency: Name = "USD"
    side: Side
    quantity: Quantity
    reference_price: Money
    """The last price the strategy saw when it decided."""
    reference_time: UtcTime
    """Wall time at which that price was received."""
    minimum_tick: Annotated[Decimal, Field(gt=0)] = Decimal("0.01")
    reduces_only: bool = False
    """Risk denies it where it could do anything but bring the position nearer to zero, with all that is in flight."""

    @model_validator(mode="after")
    def _family_is_whole(self) -> Self:
        if self.parent_id == self.intent_id:
            raise ValueError("an order cannot be its own parent")
        if not self.legs:
            return self
        if len(self.legs) < 2 or len(set(self.legs)) < len(self.legs) or self.intent_id not in self.legs:
            raise ValueError("legs are the ids of all orders of a bracket, this one's among them, each once")
        if self.parent_id != (None if self.intent_id == self.legs[0] else self.legs[0]):
            raise ValueError("the first leg is the parent of all others, and has none")
        return self


class CancelIntent(Event):
    """A wish to cancel the order of `order_id`."""

    type: Literal["CancelIntent"] = "CancelIntent"
    intent_id: OrderId
    account_id: Name
    strategy_id: Name
    order_id: OrderId
    reason: Annotated[str, Field(max_length=200)] = ""


class ModifyIntent(Event):
    """A wish to change the working order of `order_id`."""

    type: Literal["ModifyIntent"] = "ModifyIntent"
    intent_id: OrderId
    account_id: Name
    strategy_id: Name
    order_id: OrderId
    wanted: OrderIntent
    """The order as it shall be: its own intent with another quantity, other prices, another `good_till`, and the
    newest reference price. `quantity` counts what has filled already. Nothing else of an order can be changed. At
    worst, until the broker has confirmed, the order is worth the more of what it was and what it shall be."""

    @model_validator(mode="after")
    def _wants_its_own_order(self) -> Self:
        wanted = self.wanted
        same = (wanted.intent_id, wanted.account_id, wanted.strategy_id)
        if same != (self.order_id, self.account_id, self.strategy_id):
            raise ValueError("wanted is the order's own intent: the same intent_id, account_id and strategy_id")
        return self


class RiskDecision(Event):
    """Our verdict on an intent, with the intent itself, so that its reader needs no second topic."""

    type: Literal["RiskDecision"] = "RiskDecision"
    decision_id: OrderId
    intent_id: OrderId
    account_id: Name
    strategy_id: Name
    approved: bool
    reason: DenialReason | None = None
    detail: Annotated[str, Field(max_length=500)] = ""
    intent: Annotated[OrderIntent | CancelIntent | ModifyIntent, Field(discriminator="type")]
    basis: RiskBasis
    expires_after: timedelta
    """How long after `basis.decided_at` (wall time) an approval may still be acted on."""


class OrderStatus(StrEnum):
    """FIX OrdStatus words, plus the states before the broker has spoken."""

    SENDING = "SENDING"
    """About to be sent, or sent and not yet acknowledged."""
    UNKNOWN = "UNKNOWN"
    """It cannot be told whether the broker has it: keeps its reservation, blocks the instrument."""
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    @property
    def final(self) -> bool:
        return self in (OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED)


class OrderUpdate(Event):
    """What we know of an order after a change; `sequence` grows by one with each update of the order."""

    type: Literal["OrderUpdate"] = "OrderUpdate"
    order_id: OrderId
    """Ours: the id of the intent it came from."""
    client_id: int = 0
    """The gateway's API client whose order it is: broker's order ids are counted by client."""
    broker_order_id: int
    """The gateway's order id, allocated before it was sent."""
    permanent_id: int = 0
    account_id: Name
    strategy_id: Name
    contract_id: ContractId
    symbol: Name
    side: Side
    quantity: Quantity
    """As the broker works it now: a change, a split, or a fill of another order of its group moves it."""
    order_type: OrderType
    limit_price: Money | None = None
    stop_price: Money | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    parent_id: OrderId | None = None
    oca_group: str = ""
    last_change: str = ""
    """The newest ModifyIntent that has been answered: what is told here holds after it, taken or refused. Until it is
    named here, an order that was allowed to change may still be worth the more of before and after."""
    status: OrderStatus
    cumulative_quantity: Decimal = Decimal(0)
    average_price: Money = Decimal(0)
    sequence: Annotated[int, Field(ge=1)]
    reason: Annotated[str, Field(max_length=500)] = ""
    code: int = 0
    """The broker's error code, when there is one."""

    @property
    def leaves_quantity(self) -> Decimal:
        return Decimal(0) if self.status.final else self.quantity - self.cumulative_quantity


class _FillFields(Event):
    """One execution: `last_quantity` at `last_price`.

    `execution_id` is the root that corrections share; the newest `revision` of a root counts, the others do not.
    """

    execution_id: Name
    revision: Annotated[int, Field(ge=1)] = 1
    order_id: str = ""
    """Ours; empty when the order was not placed by SCIZOR."""
    broker_order_id: int
    permanent_id: int = 0
    account_id: Name
    strategy_id: str = ""
    contract_id: ContractId
    symbol: Name
    currency: Name = "USD"
    side: Side
    last_quantity: Quantity
    last_price: Money
    exchange: str = ""


class Fill(_FillFields):
    """An execution as the broker first told it."""

    type: Literal["Fill"] = "Fill"


class FillCorrected(_FillFields):
    """An execution whose earlier revision was wrong: it replaces, it does not add."""

    type: Literal["FillCorrected"] = "FillCorrected"


class FillBusted(Event):
    """An execution that never was."""

    type: Literal["FillBusted"] = "FillBusted"
    execution_id: Name
    revision: Annotated[int, Field(ge=1)]
    account_id: Name
    contract_id: ContractId


class Commission(Event):
    """What an execution cost; follows its fill as an event of its own."""

    type: Literal["Commission"] = "Commission"
    execution_id: Name
    revision: Annotated[int, Field(ge=1)] = 1
    account_id: Name
    amount: Money
    currency: Name
    realised_pnl: Money | None = None


Intent = Annotated[OrderIntent | CancelIntent | ModifyIntent, Field(discriminator="type")]
FillEvent = Annotated[Fill | FillCorrected | FillBusted | Commission, Field(discriminator="type")]
