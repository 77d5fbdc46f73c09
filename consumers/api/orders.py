"""Orders: how each stands with its whole trail, and orders that a person places or cancels by hand."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlalchemy import RowMapping

from consumers.api.access import Admin, Caller, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.decisions import AccountFilter, decision_out
from consumers.api.front import Front
from consumers.api.models import Accepted, Limit, Offset, Page, page_of
from consumers.api.order_bodies import (
    CancelAllIn,
    OrderIdPath,
    OrderOut,
    OrdersAccepted,
    ResolveIn,
    TrailOut,
    UpdateOut,
)
from consumers.api.placing import Placing
from consumers.api.portfolio import FillOut
from consumers.api.problems import ConflictError, InvalidError, NotFoundError
from consumers.api.rows import fields, page, told
from infra.store import pages, queries
from infra.store.queries import FINAL_STATUSES, Slice
from schemas.order_words import MANUAL
from schemas.orders import CancelIntent, OrderStatus, Side
from schemas.resolution import Finding, OrderResolved

_FILLS_MAX = 1000
_AT_ONCE_MAX = 1000


class Orders:
    """Routes about orders."""

    def __init__(self, front: Front, placing: Placing) -> None:
        self._front = front
        self._placing = placing

    def router(self) -> APIRouter:
        router = APIRouter(tags=["orders"])
        get, post = router.get, router.post
        get("/orders", summary="Orders, the newest first", response_model=Page[OrderOut])(self.list_orders)
        get("/orders/{order_id}", summary="One order with its trail")(self.show)
        get("/orders/{order_id}/events", summary="Every step of an order, the first one first")(self.events)
        get("/orders/{order_id}/fills", summary="Its executions that count", response_model=Page[FillOut])(self.fills)
        self._placing.routes(router)
        router.delete("/orders/{order_id}", status_code=202, summary="Ask for an order to be cancelled")(self.cancel)
        post("/orders/cancel-all", status_code=202, summary="Ask for working orders to be cancelled")(self.cancel_all)
        post("/orders/{order_id}/resolve", status_code=202, summary="Say how an UNKNOWN order stands")(self.resolve)
        return router

    async def list_orders(
        self,
        caller: Viewer,
        working: Annotated[bool | None, Query(description="true: only those that may still fill.")] = None,
        account_id: AccountFilter = None,
        strategy_id: Annotated[str | None, Query(max_length=128)] = None,
        symbol: Annotated[str | None, Query(max_length=128)] = None,
        status: OrderStatus | None = None,
        side: Side | None = None,
        parent_id: Annotated[str | None, Query(max_length=40, description="Only the exits of this order.")] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        wanted = {"account_id": account_id, "strategy_id": strategy_id, "symbol": symbol, "parent_id": parent_id}
        wanted |= {"status": status.value if status else None, "side": side.value if side else None}
        row = await self._front.ask(pages.order_page(Slice(limit, offset), fields(OrderOut), working=working, **wanted))
        return page(told(row["json"]), limit, offset)

    async def show(self, caller: Viewer, order_id: OrderIdPath) -> TrailOut:
        async with self._front.reading() as connection:
            intent = await queries.intent(connection, order_id)
            decision = await queries.decision_of(connection, order_id)
            order = await queries.order(connection, order_id)
            updates = await queries.events_of_order(connection, order_id)
        fills = await self._front.ask(pages.fill_page(Slice(_FILLS_MAX), fields(FillOut), order_id=order_id))
        placed = self._placing.placed.get(order_id)
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

    async def events(
        self, caller: Viewer, order_id: OrderIdPath, limit: Limit = 100, offset: Offset = 0
    ) -> Page[UpdateOut]:
        async with self._front.reading() as connection:
            rows = await queries.events_of_order(connection, order_id, Slice(limit, offset))
        return page_of([UpdateOut.model_validate(row["body"]) for row in rows], limit, offset)

    async def fills(self, caller: Viewer, order_id: OrderIdPath, limit: Limit = 100, offset: Offset = 0) -> Response:
        row = await self._front.ask(pages.fill_page(Slice(limit, offset), fields(FillOut), order_id=order_id))
        return page(told(row["json"]), limit, offset)

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
        intent = self._cancel_of(caller, row, reason)
        before = OrderOut.model_validate(dict(row))
        await self._front.changes.make(caller, Change("DELETE /orders/{order_id}", order_id, before, intent), [intent])
        response.headers["Location"] = location = f"/orders/{order_id}"
        return Accepted(id=intent.intent_id, location=location)

    def _cancel_of(self, caller: Caller, row: RowMapping, reason: str) -> CancelIntent:
        now = self._front.service.clock.now()
        return CancelIntent(
            event_time=now,
            ingest_time=now,
            intent_id=self._front.service.entropy.new_id(),
            account_id=row["account_id"],
            strategy_id=row["strategy_id"] or MANUAL,
            order_id=row["order_id"],
            reason=f"key {caller.label}: {reason}"[:200],
        )

    async def cancel_all(self, caller: Trader, body: CancelAllIn) -> OrdersAccepted:
        """All that match and that SCIZOR has placed; POST /trading/emergency-stop also ends those of others."""
        wanted = body.model_dump(exclude={"reason"}, exclude_none=True)
        async with self._front.reading() as connection:
            rows = await queries.own_working_orders(connection, _AT_ONCE_MAX, **wanted)
        cancels = [self._cancel_of(caller, row, body.reason) for row in rows]
        await self._front.changes.make(caller, Change("POST /orders/cancel-all", "orders", after=body), cancels)
        ids = [cancel.order_id for cancel in cancels]
        return OrdersAccepted(id=caller.request_id, location="/orders?working=true", order_ids=ids)

    async def resolve(self, caller: Admin, order_id: OrderIdPath, body: ResolveIn, response: Response) -> Accepted:
        """For an order of which nobody could tell whether the broker has it: its symbol trades again afterwards."""
        async with self._front.reading() as connection:
            row = await queries.order(connection, order_id)
        if row is None:
            raise NotFoundError(f"no order {order_id!r} was sent: GET /orders?status=UNKNOWN lists what is open")
        if row["status"] != OrderStatus.UNKNOWN:
            raise ConflictError(f"the order is {row['status']}: only an UNKNOWN one needs somebody to look")
        if body.finding is Finding.NEVER_ARRIVED and row["permanent_id"]:
            raise InvalidError(f"the broker has given it the number {row['permanent_id']}", "body.finding")
        now = self._front.service.clock.now()
        resolved = OrderResolved(
            account_id=row["account_id"],
            order_id=order_id,
            by=caller.actor,
            event_time=now,
            ingest_time=now,
            **body.model_dump(),
        )
        before = OrderOut.model_validate(dict(row))
        await self._front.changes.make(
            caller, Change("POST /orders/{order_id}/resolve", order_id, before, body), [resolved]
        )
        response.headers["Location"] = location = f"/orders/{order_id}"
        return Accepted(id=order_id, location=location)
