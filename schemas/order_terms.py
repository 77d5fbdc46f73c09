"""What an order asks for beside contract, side and quantity, and which of it fits together."""

from decimal import Decimal
from typing import Annotated, Any, NamedTuple, Self

from pydantic import Field, model_validator

from schemas.event import Event, Money, UtcTime
from schemas.order_words import AT_CLOSE, AT_ONCE, OUTSIDE_HOURS, TRAILS, TRIGGERED, OrderType, TimeInForce

OrderId = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9-]+$")]
"""Our id of an intent and of the order it becomes; also the broker's `orderRef`, hence short safe ASCII."""

Distance = Annotated[Decimal, Field(gt=0, max_digits=24, decimal_places=8, allow_inf_nan=False)]
"""An amount of money between two prices."""

_NEEDED = {
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
    OrderType.MARKET_IF_TOUCHED: ("stop_price",),
    OrderType.LIMIT_IF_TOUCHED: ("limit_price", "stop_price"),
    OrderType.LIMIT_ON_CLOSE: ("limit_price",),
    OrderType.TRAIL_LIMIT: ("limit_offset",),
}
_POSSIBLE = {
    OrderType.TRAIL: ("stop_price", "trail_amount", "trail_percent"),
    OrderType.TRAIL_LIMIT: ("stop_price", "trail_amount", "trail_percent"),
    OrderType.RELATIVE: ("limit_price", "peg_offset"),
}
PRICES = ("limit_price", "stop_price", "trail_amount", "trail_percent", "limit_offset", "peg_offset")


class Flaw(NamedTuple):
    """A field that does not fit the others, and why."""

    field: str
    text: str


def flaw_of(asked: Any) -> Flaw | None:
    """What first makes no sense in an intent, or in anything with the same fields; None when the terms fit together."""
    kind = asked.order_type
    needed, possible = _NEEDED.get(kind, ()), _POSSIBLE.get(kind, ())
    for name in PRICES:
        given = getattr(asked, name)
        if given is None and name in needed:
            return Flaw(name, f"a {kind} order needs {name}")
        if given is not None and name not in needed and name not in possible:
            return Flaw(name, f"a {kind} order has no {name}")
    if kind in TRAILS and (asked.trail_amount is None) == (asked.trail_percent is None):
        return Flaw("trail_amount", f"a {kind} order needs trail_amount or trail_percent, and not both")
    if asked.oca_reduces and not asked.oca_group:
        return Flaw("oca_group", "oca_reduces says how a group works: it needs oca_group")
    return _flaw_of_time(asked)


def _flaw_of_time(asked: Any) -> Flaw | None:
    kind, tif = asked.order_type, asked.time_in_force
    if (tif is TimeInForce.GTD) != (asked.good_till is not None):
        return Flaw("good_till", "a GTD order, and no other, needs good_till")
    if tif is TimeInForce.OPG and kind not in (OrderType.MARKET, OrderType.LIMIT):
        return Flaw("time_in_force", f"only MKT and LMT orders take part in the opening (OPG), not {kind}")
    if kind in AT_CLOSE and tif is not TimeInForce.DAY:
        return Flaw("time_in_force", f"a {kind} order is DAY, not {tif}")
    if tif in AT_ONCE and kind in TRIGGERED:
        return Flaw("time_in_force", f"a {kind} order waits for its price: it cannot be {tif}")
    if asked.outside_hours and (kind not in OUTSIDE_HOURS or tif is TimeInForce.OPG):
        return Flaw("outside_hours", f"a {kind} {tif} order cannot trade outside of regular hours")
    return None


class OrderTerms(Event):
    """How an order works: its type with the prices this needs, how long, and what other orders it hangs on."""

    order_type: OrderType
    limit_price: Money | None = None
    """Of LMT, STP LMT, LIT and LOC orders; of a REL order the cap, if it has one."""
    stop_price: Money | None = None
    """What triggers STP, STP LMT, MIT and LIT orders; where a TRAIL or TRAIL LIMIT order begins, if it says so."""
    trail_amount: Distance | None = None
    """How far a TRAIL or TRAIL LIMIT order's stop stays behind the best price; or `trail_percent` of that price."""
    trail_percent: Annotated[Decimal, Field(gt=0, lt=100, max_digits=12, decimal_places=8)] | None = None
    limit_offset: Annotated[Decimal, Field(ge=0, max_digits=24, decimal_places=8)] | None = None
    """How far beyond its stop a TRAIL LIMIT order's limit lies."""
    peg_offset: Distance | None = None
    """How much better than the best bid (a sale: the best ask) a REL order stands."""
    time_in_force: TimeInForce = TimeInForce.DAY
    good_till: UtcTime | None = None
    """Market time at which a GTD order ends."""
    outside_hours: bool = False
    """Whether it may trade outside of regular hours."""
    parent_id: OrderId | None = None
    """The order that has to fill before this one works. On its parent's other side it is an exit: no larger than its
    parent may come to, and with other exits in one group, so that at worst they are worth what the parent is alone."""
    legs: Annotated[tuple[OrderId, ...], Field(max_length=10)] = ()
    """All orders of a bracket, the entry first: they are sent together, or none of them is. Each is an intent and has
    an approval of its own."""
    oca_group: Annotated[str, Field(max_length=40, pattern=r"^[A-Za-z0-9-]*$")] = ""
    """Orders of one group take each other's place when one fills: at worst the group is worth its largest order."""
    oca_reduces: bool = False
    """Whether a fill takes its size off the group's others, instead of cancelling them."""

    @model_validator(mode="after")
    def _terms_fit_together(self) -> Self:
        if (flaw := flaw_of(self)) is not None:
            raise ValueError(flaw.text)
        return self

    def worst_price(self, reference: Decimal) -> Decimal:
        """What a share counts in limits when it trades at `reference` now: the highest price that the order names.

        Of a trailing order that is where its stop and limit would stand if it began at `reference`. A sale counts at
        the same price as a purchase, and an order without any price at `reference`.
        """
        named = [each for each in (self.limit_price, self.stop_price) if each is not None]
        if self.order_type in TRAILS:
            trail = self.trail_amount or abs(reference) * (self.trail_percent or Decimal(0)) / 100
            named.append(reference + trail + (self.limit_offset or Decimal(0)))
        return max(reference, *named) if named else reference
