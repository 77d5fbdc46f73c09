"""On which terms the broker works an order, as far as it can say, and which of them a change may move."""

from dataclasses import dataclass
from decimal import Decimal

from infra.gateway import BrokerOpenOrder
from schemas.order_words import TRAILS, OrderType
from schemas.orders import OrderIntent

_LIMITED = (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED, OrderType.LIMIT_ON_CLOSE)
_STOPPED = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
_MOVABLE = frozenset(
    {
        *("event_time", "ingest_time", "reference_price", "reference_time", "quantity", "limit_price", "stop_price"),
        *("trail_amount", "trail_percent", "limit_offset", "peg_offset", "good_till"),
    }
)


@dataclass(frozen=True)
class Terms:
    """What an open order says of itself; a price that follows the market is left out."""

    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    distance: Decimal | None
    """Of a trailing or pegged order."""
    percent: Decimal | None

    def are_those_of(self, intent: OrderIntent) -> bool:
        return self == _wanted(intent)


def terms_of(told: BrokerOpenOrder) -> Terms:
    kind, auxiliary = told.order_type, told.auxiliary_price or None
    return Terms(
        told.quantity,
        told.limit_price if kind in _LIMITED else None,
        auxiliary if kind in _STOPPED else None,
        auxiliary if kind in (*TRAILS, OrderType.RELATIVE) else None,
        (told.trail_percent or None) if kind in TRAILS else None,
    )


def _wanted(intent: OrderIntent) -> Terms:
    kind = intent.order_type
    return Terms(
        intent.quantity,
        intent.limit_price if kind in _LIMITED else None,
        intent.stop_price if kind in _STOPPED else None,
        intent.trail_amount or intent.peg_offset,
        intent.trail_percent,
    )


def unchangeable(known: OrderIntent, wanted: OrderIntent) -> str:
    """The first field that a change wants to move and cannot; empty when there is none."""
    fields = (name for name in type(known).model_fields if name not in _MOVABLE)
    return next((name for name in fields if getattr(known, name) != getattr(wanted, name)), "")
