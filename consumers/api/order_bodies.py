"""What is said about orders over HTTP: what a person asks for, and how an order stands."""

from decimal import Decimal
from typing import Annotated, Any

from fastapi import Header, Path
from pydantic import Field, model_validator

from consumers.api.decisions import DecisionOut
from consumers.api.models import Accepted, Answer, Body, Exact, Flag, Time
from consumers.api.portfolio import FillOut
from schemas.event import Money, Name, Quantity, UtcTime
from schemas.order_terms import Distance, OrderId
from schemas.orders import OrderStatus, OrderType, Side, TimeInForce
from schemas.resolution import Finding

OrderIdPath = Annotated[str, Path(min_length=1, max_length=40)]
IdempotencyKey = Annotated[
    str,
    Header(
        min_length=8,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="A fresh text for each new wish, sent again when the request is repeated: from the same caller the "
        "same text with the same body gives the same order or change, never a second one; with another body 409.",
    ),
]
Percent = Annotated[Decimal, Field(gt=0, lt=100, max_digits=12, decimal_places=8)]
Offset = Annotated[Decimal, Field(ge=0, max_digits=24, decimal_places=8)]


class ExitsIn(Body):
    """How to leave again what the order enters: of several the first to fill takes the others' place. Good till
    cancelled, for the order's whole quantity."""

    stop_price: Money | None = Field(None, description="Leave at the market when it trades here.", examples=["430.00"])
    trail_amount: Distance | None = Field(None, description="Or so far behind the best price.")
    take_profit: Money | None = Field(None, description="Leave at this price or better.", examples=["450.00"])

    @model_validator(mode="after")
    def _is_a_way_out(self) -> "ExitsIn":
        if self.stop_price is not None and self.trail_amount is not None:
            raise ValueError("stop_price and trail_amount: a position is protected by one of them")
        if self == ExitsIn.model_construct():
            raise ValueError("name stop_price, trail_amount or take_profit")
        return self


class OrderIn(Body):
    """An order by hand. Risk checks it like any other."""

    account_id: Name | None = Field(None, description="May be left out when there is only one account.")
    symbol: Name = Field(examples=["AAPL"])
    side: Side
    quantity: Quantity = Field(examples=["100"])
    order_type: OrderType = OrderType.MARKET
    limit_price: Money | None = Field(None, description="LMT, STP LMT, LIT, LOC; cap of REL.", examples=["441.50"])
    stop_price: Money | None = Field(None, description="Triggers STP, STP LMT, MIT, LIT; where a trailing stop begins.")
    trail_amount: Distance | None = Field(None, description="TRAIL, TRAIL LIMIT: how far the stop stays behind.")
    trail_percent: Percent | None = Field(None, description="The same in per cent of the price.")
    limit_offset: Offset | None = Field(None, description="TRAIL LIMIT: how far the limit lies beyond the stop.")
    peg_offset: Distance | None = Field(None, description="REL: how much better than the best quote.")
    time_in_force: TimeInForce = TimeInForce.DAY
    good_till: Time | None = Field(None, description="When a GTD order ends, in market time.")
    outside_hours: Flag = Field(False, description="Whether it may trade outside of regular hours.")
    parent_id: OrderId | None = Field(None, description="A working order that has to fill before this one works.")
    oca_group: str = Field(
        "", max_length=40, pattern=r"^[A-Za-z0-9-]*$", description="One of a group cancels the rest."
    )
    oca_reduces: Flag = Field(False, description="A fill of one takes its size off the others, instead.")
    exits: ExitsIn | None = Field(None, description="Makes it a bracket: sent together, or none of it is.")


class ChangeIn(Body):
    """What shall be different about a working order; what is left out stays."""

    quantity: Quantity | None = Field(None, description="In all, what has filled included.")
    limit_price: Money | None = None
    stop_price: Money | None = None
    trail_amount: Distance | None = None
    trail_percent: Percent | None = None
    limit_offset: Offset | None = None
    peg_offset: Distance | None = None
    good_till: Time | None = None

    @property
    def given(self) -> dict[str, Any]:
        return {name: value for name, value in self if value is not None}

    @model_validator(mode="after")
    def _changes_something(self) -> "ChangeIn":
        if not self.given:
            raise ValueError(f"name what shall change: {', '.join(type(self).model_fields)}")
        return self


class CancelAllIn(Body):
    """Which working orders shall be cancelled; without a filter all that SCIZOR has placed."""

    account_id: Name | None = None
    strategy_id: Name | None = None
    symbol: Name | None = None
    reason: str = Field("", max_length=150)


class ResolveIn(Body):
    """How an UNKNOWN order stands at the broker, as a person has seen."""

    finding: Finding = Field(
        description="`never_arrived`: the broker has nothing of it. `ended`: it works no more, what filled counts. "
        "`working`: it works, and is followed again."
    )
    permanent_id: int = Field(0, ge=0, description="The broker's number of an order that works, if you have it.")
    reason: str = Field(min_length=1, max_length=400, description="Where you looked, and what you saw.")


class OrdersAccepted(Accepted):
    """What was asked for; each order is told under `/orders/{order_id}`."""

    order_ids: list[str] = Field(description="Of a bracket the entry first; of a cancel those that were asked to end.")


class OrderOut(Answer):
    """How an order stands."""

    order_id: str
    broker_order_id: int | None
    permanent_id: int = Field(description="The broker's number; 0 before it has given one.")
    account_id: str
    strategy_id: str
    contract_id: int
    symbol: str
    side: Side
    quantity: Exact
    order_type: OrderType
    limit_price: Exact | None
    stop_price: Exact | None
    time_in_force: str
    parent_id: str | None
    oca_group: str
    status: OrderStatus
    cumulative_quantity: Exact
    average_price: Exact
    reason: str
    code: int = Field(description="The broker's error code, 0 when there is none.")
    created_at: UtcTime
    updated_at: UtcTime


class UpdateOut(Answer):
    """One step in the life of an order."""

    sequence: int
    status: OrderStatus
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None = None
    cumulative_quantity: Decimal
    average_price: Decimal
    last_change: str = Field("", description="The newest change that the broker has answered.")
    reason: str
    code: int
    event_time: UtcTime
    ingest_time: UtcTime


class TrailOut(Answer):
    """An order from the wish to its executions. Without `decision`: risk has not spoken; without `order`: not sent."""

    order_id: str
    intent: dict[str, Any] | None
    decision: DecisionOut | None
    order: OrderOut | None
    updates: list[UpdateOut]
    fills: list[FillOut]
