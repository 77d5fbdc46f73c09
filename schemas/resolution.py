"""What a person has found out about an order of which nobody could tell how it stands."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.event import Event, Name
from schemas.order_terms import OrderId


class Finding(StrEnum):
    """What the broker has of an order, as a person sees it in TWS."""

    NEVER_ARRIVED = "never_arrived"
    """Nothing: it is done, and nothing of it was filled."""
    ENDED = "ended"
    """An order that works no more; what was filled of it counts."""
    WORKING = "working"
    """An order that works: it is followed again, and may be cancelled."""


class OrderResolved(Event):
    """A person says how an UNKNOWN order stands; anything that the broker says later weighs more."""

    type: Literal["OrderResolved"] = "OrderResolved"
    account_id: Name
    order_id: OrderId
    finding: Finding
    permanent_id: Annotated[int, Field(ge=0)] = 0
    """The broker's number of an order that works, if it was looked up; it tells the order apart."""
    reason: Annotated[str, Field(min_length=1, max_length=400)]
    by: Name
