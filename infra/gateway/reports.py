"""What the broker reports about orders, as frozen values made from the gateway's own messages.

Nothing here is derived: a status is the word the gateway sent, an error its code. What it means for an order is
decided by the executor.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from schemas.orders import Side


@dataclass(frozen=True)
class BrokerOpenOrder:
    """`openOrder`: an order of any client that is, or was a moment ago, in the broker's book."""

    order_id: int
    """The gateway's order id: unique per client id only; negative or zero for orders placed by hand."""
    client_id: int
    permanent_id: int
    """0 until the broker has given one."""
    order_ref: str
    """Our intent id; empty or foreign when the order is not ours."""
    account_id: str
    contract_id: int
    symbol: str
    side: Side
    quantity: Decimal
    order_type: str
    """IB's word: MKT, LMT, ..."""
    limit_price: Decimal | None
    time_in_force: str
    status: str
    """IB's word: PendingSubmit, PreSubmitted, Submitted, PendingCancel, ApiCancelled, Cancelled, Filled, Inactive."""
    auxiliary_price: Decimal | None = None
    """What triggers a stop or a touch, how far a trailing stop stays behind, how much better a REL order stands."""
    trail_percent: Decimal | None = None
    oca_group: str = ""
    limit_offset: Decimal | None = None
    good_till: datetime | None = None
    """None also when it cannot be understood."""
    trail_stop: Decimal | None = None
    """Where the stop of a trailing order stands now."""


@dataclass(frozen=True)
class BrokerCompletedOrder:
    """`completedOrder`: an order of today that is done. The gateway tells no order id for these."""

    permanent_id: int
    order_ref: str
    account_id: str
    contract_id: int
    symbol: str
    side: Side
    quantity: Decimal
    filled_quantity: Decimal
    order_type: str
    limit_price: Decimal | None
    status: str
    completed_status: str
    """The gateway's own words, for instance `Cancelled by Trader`."""


@dataclass(frozen=True)
class BrokerOrderStatus:
    """`orderStatus`: may repeat, may come late or out of order, may be missing for an immediate fill."""

    order_id: int
    client_id: int
    permanent_id: int
    status: str
    filled: Decimal
    remaining: Decimal
    average_price: Decimal
    why_held: str


@dataclass(frozen=True)
class BrokerExecution:
    """`execDetails`: one execution. The newest `revision` of a `root` replaces the others."""

    root: str
    revision: int
    order_id: int
    client_id: int
    permanent_id: int
    order_ref: str
    account_id: str
    contract_id: int
    symbol: str
    currency: str
    side: Side
    quantity: Decimal
    price: Decimal
    cumulative_quantity: Decimal
    average_price: Decimal
    exchange: str
    executed_at: datetime
    """Market time, in UTC."""


@dataclass(frozen=True)
class BrokerCommission:
    """`commissionReport`: follows its execution, sometimes much later."""

    root: str
    revision: int
    amount: Decimal
    currency: str
    realised_pnl: Decimal | None
    """None on trades that open a position."""


class ErrorMeaning(StrEnum):
    """What a code says about an order, as far as the code alone can say it."""

    REJECTED = "rejected"
    """A new order was refused. After a modify the original order may live on: reconcile then."""
    CANCELED = "canceled"
    """The order is cancelled: code 202, the confirmation of every cancel."""
    WARNING = "warning"
    """Nothing changed; the order lives."""
    RECONCILE = "reconcile"
    """The order may well be live: look it up, never take it for done."""


_REJECTED = frozenset({110, 154, 200, 201, 203, *range(387, 399), 434})
_WARNINGS = frozenset({165, 399, 404, 492, 10167, 10349})
_CANCELED = 202


@dataclass(frozen=True)
class BrokerError:
    """`error` with an order id: the broker's code and text about one order."""

    order_id: int
    code: int
    text: str

    @property
    def meaning(self) -> ErrorMeaning:
        """103, 104, 105, 161, 321, 10147, 10148 and all unknown codes mean RECONCILE: the order may be live."""
        if self.code == _CANCELED:
            return ErrorMeaning.CANCELED
        if self.code in _WARNINGS or 2100 <= self.code < 2200:
            return ErrorMeaning.WARNING
        if self.code in _REJECTED:
            return ErrorMeaning.REJECTED
        return ErrorMeaning.RECONCILE


class GatewayStatus(StrEnum):
    """Whether the gateway can be asked."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    DEGRADED = "degraded"
    """The socket is open, but the gateway has lost IBKR's servers: send nothing, keep listening."""


@dataclass(frozen=True)
class GatewayState:
    """Where the connection stands, and why."""

    status: GatewayStatus
    reason: str = ""
    broken_farms: frozenset[str] = frozenset()
    """Data farms that the gateway reported as broken."""

    @property
    def usable(self) -> bool:
        return self.status is GatewayStatus.CONNECTED


@dataclass(frozen=True)
class BrokerConnection:
    """The connection changed. With `resync`, reports may have been missed: reconcile everything before acting."""

    state: GatewayState
    resync: bool


BrokerReport = BrokerOpenOrder | BrokerOrderStatus | BrokerExecution | BrokerCommission | BrokerError | BrokerConnection
