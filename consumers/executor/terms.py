"""On which terms the broker works an order, as far as it can say, and which of them a change may move."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from infra.gateway import BrokerOpenOrder
from schemas.order_words import TRAILS, TRIGGERED, OrderType
from schemas.orders import OrderIntent, Side

_MOVABLE = frozenset(
    {
        *("event_time", "ingest_time", "reference_price", "reference_time", "quantity", "limit_price", "stop_price"),
        *("trail_amount", "trail_percent", "limit_offset", "peg_offset", "good_till"),
    }
)


@dataclass(frozen=True)
class Terms:
    """What an open order says of itself."""

    order_type: str
    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    distance: Decimal | None = None
    """Of a trailing or pegged order."""
    percent: Decimal | None = None
    offset: Decimal | None = None
    good_till: datetime | None = None
    trail_stop: Decimal | None = None
    """Where the stop of a trailing order stands now."""

    def are_those_of(self, intent: OrderIntent) -> bool:
        """What the broker does not say of an order that it works as another type, as an MTL's rest, is not compared."""
        if self.quantity != intent.quantity:
            return False
        trails, kind = intent.order_type in TRAILS, intent.order_type
        wanted = (
            (self.limit_price, intent.limit_price),
            (self.stop_price, None if trails else intent.stop_price),
            (self.distance, intent.trail_amount or intent.peg_offset),
            (self.percent, intent.trail_percent),
            (self.offset, intent.limit_offset),
        )
        same = all(
            told == asked or asked is None or (told is None and self.order_type != kind) for told, asked in wanted
        )
        in_time = None in (self.good_till, intent.good_till) or self.good_till == intent.good_till
        return same and in_time and (not trails or self._has_trailed_to(intent))

    def _has_trailed_to(self, intent: OrderIntent) -> bool:
        """The stop follows the market from where it began, in one direction alone."""
        if self.trail_stop is None or intent.stop_price is None:
            return True
        up = intent.side is Side.SELL
        return self.trail_stop >= intent.stop_price if up else self.trail_stop <= intent.stop_price


def terms_of(told: BrokerOpenOrder) -> Terms:
    kind, auxiliary = told.order_type, told.auxiliary_price or None
    stops = kind in TRIGGERED and kind not in TRAILS
    return Terms(
        kind,
        told.quantity,
        (told.limit_price or None) if kind == OrderType.RELATIVE else told.limit_price,
        auxiliary if stops else None,
        auxiliary if kind in (*TRAILS, OrderType.RELATIVE) else None,
        (told.trail_percent or None) if kind in TRAILS else None,
        told.limit_offset if kind == OrderType.TRAIL_LIMIT else None,
        told.good_till,
        told.trail_stop if kind in TRAILS else None,
    )


def as_written(known: OrderIntent | None, wanted: OrderIntent) -> OrderIntent:
    """A change as it goes to the broker: where a trailing stop began is not said again, it stands elsewhere now."""
    began = known is not None and known.stop_price == wanted.stop_price and wanted.order_type in TRAILS
    return wanted.model_copy(update={"stop_price": None}) if began else wanted


def unchangeable(known: OrderIntent, wanted: OrderIntent) -> str:
    """The first field that a change wants to move and cannot; empty when there is none."""
    fields = (name for name in type(known).model_fields if name not in _MOVABLE)
    return next((name for name in fields if getattr(known, name) != getattr(wanted, name)), "")
