"""Orders: how each stands with its whole trail, and orders that a person places or cancels by hand."""

import asyncio
import uuid
from decimal import Decimal
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import Field

from consumers.api.access import Caller, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.decisions import AccountFilter, DecisionOut, decision_out
from consumers.api.front import Front
from consumers.api.models import Accepted, Answer, Body, Exact, Limit, Offset, Page
from consumers.api.portfolio import FillOut, account_of
from consumers.api.prices import Prices
from consumers.api.problems import ConflictError, InvalidError, NotFoundError
from consumers.api.remembered import Remembered
from consumers.api.rows import fields, page, told
from consumers.api.symbols import tradable
from infra.store import pages, queries
from infra.store.queries import FINAL_STATUSES, Slice
from infra.symbol_names import parse_symbol
from schemas.event import Money, Name, Quantity, UtcTime
from schemas.orders import CancelIntent, OrderIntent, OrderStatus, OrderType, Side, TimeInForce

MANUAL = "manual"
"""The strategy id of orders that people place by hand."""
_FILLS_MAX = 1000
_INTENTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:manual-intents")

OrderIdPath = Annotated[str, Path(min_length=1, max_length=40)]
IdempotencyKey = Annotated[
    str,
    Header(
        min_length=8,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="A fresh text for each new order, sent again when the request is repeated: from the same "
        "caller the same text with the same body gives the same order, never a second one; with another body 409.",
    ),
]


class OrderIn(Body):
    """An order by hand. Risk checks it like any other."""

    account_id: Name | None = Field(None, description="May be left out when there is only one account.")
    symbol: Name = Field(examples=["AAPL"])
    side: Side
    quantity: Quantity = Field(examples=["100"])
    order_type: OrderType = OrderType.MARKET
    limit_price: Money | None = Field(None, description="Of a limit order.", examples=["441.50"])
    time_in_force: TimeInForce = TimeInForce.DAY


class OrderOut(Answer):
    """How an order stands."""

    order_id: str
    broker_order_id: int | None
    account_id: str
    strategy_id: str
    contract_id: int
    symbol: str
    side: Side
    quantity: Exact
    order_type: str
    limit_price: Exact | None
    time_in_force: str
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
    cumulative_quantity: Decimal
    average_price: Decimal
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


class Orders:
    """Routes about orders."""

    def __init__(self, front: Front, prices: Prices) -> None:
        self._front = front
        self._prices = prices
        self._placed: Remembered[OrderIntent] = Remembered()
        self._one_at_a_time = asyncio.Lock()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["orders"])
        router.get("/orders", summary="Orders, the newest first", response_model=Page[OrderOut])(self.list_orders)
        router.get("/orders/{order_id}", summary="One order with its trail")(self.show)
        router.post("/orders", status_code=202, summary="Place an order by hand")(self.place)
        router.delete("/orders/{order_id}", status_code=202, summary="Ask for an order to be cancelled")(self.cancel)
        return router

    async def list_orders(
        self,
        caller: Viewer,
        working: Annotated[bool | None, Query(description="true: only those that may still fill.")] = None,
        account_id: AccountFilter = None,
        strategy_id: Annotated[str | None, Query(max_length=128)] = None,
        symbol: Annotated[str | None, Query(max_length=128)] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        wanted = {"account_id": account_id, "strategy_id": strategy_id, "symbol": symbol}
        row = await self._front.ask(pages.order_page(Slice(limit, offset), fields(OrderOut), working=working, **wanted))
        return page(told(row["json"]), limit, offset)

    async def show(self, caller: Viewer, order_id: OrderIdPath) -> TrailOut:
        async with self._front.reading() as connection:
            intent = await queries.intent(connection, order_id)
            decision = await queries.decision_of(connection, order_id)
            order = await queries.order(connection, order_id)
            updates = await queries.events_of_order(connection, order_id)
        fills = await self._front.ask(pages.fill_page(Slice(_FILLS_MAX), fields(FillOut), order_id=order_id))
        placed = self._placed.get(order_id)
        if intent is None and order is None and placed is None:
            raise NotFoundError(f"no order {order_id!r}: GET /orders lists them")
        known = intent["body"] if intent else placed.model_dump(mode="json") if placed else None
        return TrailOut(
            order_id=order_id,
            intent=known,
            decision=decision_out(decision) if decision else None,
            order=OrderOut.model_validate(dict(order)) if order else None,
            updates=[UpdateOut.model_validate(row["body"]) for row in updates],
            fills=[FillOut.model_validate_json(each) for each in fills["json"]],
        )

    async def place(
        self, caller: Trader, body: OrderIn, idempotency_key: IdempotencyKey, response: Response
    ) -> Accepted:
        """Publishes an intent; `location` tells what risk decided and what became of it."""
        if (body.order_type is OrderType.LIMIT) != (body.limit_price is not None):
            raise InvalidError("a limit order needs limit_price, a market order has none")
        intent_id = str(uuid.uuid5(_INTENTS, f"{caller.key_id}\0{idempotency_key}"))
        async with self._one_at_a_time:
            known = await self._known(intent_id)
            if known is None:
                await self._publish(caller, await self._intent(intent_id, body), body)
            elif not _asks_the_same(body, known):
                raise ConflictError(
                    "this Idempotency-Key was used for another order: take a fresh one for each new order"
                )
        response.headers["Location"] = location = f"/orders/{intent_id}"
        return Accepted(id=intent_id, location=location)

    async def _known(self, intent_id: str) -> OrderIntent | None:
        """What was asked for under this id before: by this process, or by an earlier one as risk has stored it."""
        if placed := self._placed.get(intent_id):
            return placed
        async with self._front.reading() as connection:
            row = await queries.intent(connection, intent_id)
        return OrderIntent.model_validate(row["body"]) if row else None

    async def _intent(self, intent_id: str, body: OrderIn) -> OrderIntent:
        account = await account_of(self._front, body.account_id)
        contract = await tradable(self._front, body.symbol)
        price = self._prices.newest(contract.contract_id)
        if price is None:
            raise ConflictError(
                f"no price of {body.symbol} has come yet, and risk judges no order without one: "
                f"POST /subscriptions/{body.symbol} at the data farmer asks for them"
            )
        return OrderIntent(
            event_time=price.event_time,
            ingest_time=self._front.service.clock.now(),
            intent_id=intent_id,
            account_id=account.account_id,
            strategy_id=MANUAL,
            contract_id=contract.contract_id,
            symbol=contract.symbol,
            currency=contract.currency,
            side=body.side,
            quantity=body.quantity,
            order_type=body.order_type,
            limit_price=body.limit_price,
            time_in_force=body.time_in_force,
            reference_price=price.price,
            reference_time=price.received_at,
            minimum_tick=Decimal(str(contract.minimum_tick)),
        )

    async def _publish(self, caller: Caller, intent: OrderIntent, body: OrderIn) -> None:
        await self._front.changes.make(caller, Change("POST /orders", intent.intent_id, after=body), [intent])
        self._placed[intent.intent_id] = intent

    async def cancel(
        self,
        caller: Trader,
        order_id: OrderIdPath,
        response: Response,
        reason: Annotated[str, Query(max_length=150)] = "",
    ) -> Accepted:
        """Publishes the wish; whether the broker could still cancel shows in the order's updates."""
        async with self._front.reading() as connection:
            row = await queries.order(connection, order_id)
        if row is None:
            raise NotFoundError(f"no order {order_id!r} was sent: GET /orders?working=true lists what can be cancelled")
        if row["status"] in FINAL_STATUSES:
            raise ConflictError(f"the order is {row['status']} already: nothing is left to cancel")
        now = self._front.service.clock.now()
        intent = CancelIntent(
            event_time=now,
            ingest_time=now,
            intent_id=self._front.service.entropy.new_id(),
            account_id=row["account_id"],
            strategy_id=row["strategy_id"] or MANUAL,
            order_id=order_id,
            reason=f"key {caller.label}: {reason}"[:200],
        )
        before = OrderOut.model_validate(dict(row))
        await self._front.changes.make(caller, Change("DELETE /orders/{order_id}", order_id, before, intent), [intent])
        response.headers["Location"] = location = f"/orders/{order_id}"
        return Accepted(id=intent.intent_id, location=location)


def _asks_the_same(body: OrderIn, intent: OrderIntent) -> bool:
    fields = ("side", "quantity", "order_type", "limit_price", "time_in_force")
    same = all(getattr(body, name) == getattr(intent, name) for name in fields)
    return same and parse_symbol(body.symbol).symbol == intent.symbol and body.account_id in {None, intent.account_id}
