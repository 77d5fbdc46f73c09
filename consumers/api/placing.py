"""Orders by hand, and changes of working ones: judged here as far as the terms go, then by risk like any other."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from fastapi import APIRouter, Response

from consumers.api.access import Caller, Trader
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.order_bodies import ChangeIn, IdempotencyKey, OrderIdPath, OrderIn, OrderOut, OrdersAccepted
from consumers.api.portfolio import account_of
from consumers.api.prices import Price, Prices
from consumers.api.problems import ConflictError, InvalidError, NotFoundError
from consumers.api.remembered import Remembered
from consumers.api.symbols import tradable
from infra.store import queries
from infra.store.queries import FINAL_STATUSES
from infra.symbol_names import parse_symbol
from schemas.order_terms import flaw_of
from schemas.order_words import MANUAL, TRAILS
from schemas.orders import ModifyIntent, OrderIntent, OrderType, Side, TimeInForce
from schemas.validation import Contract

_INTENTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:manual-intents")
_OWN = frozenset({"account_id", "symbol", "exits"})
"""Fields of the body that an intent has otherwise."""


@dataclass(frozen=True)
class _Leg:
    """One order of what is asked for: its id, and the terms in which it differs from any other."""

    intent_id: str
    terms: dict[str, Any]

    def is_that_of(self, intent: OrderIntent) -> bool:
        return all(getattr(intent, name) == value for name, value in self.terms.items())


class Placing:
    """Routes that place and change orders."""

    def __init__(self, front: Front, prices: Prices) -> None:
        self._front = front
        self._prices = prices
        self.placed: Remembered[OrderIntent] = Remembered()
        self._changed: Remembered[ModifyIntent] = Remembered()
        self._one_at_a_time = asyncio.Lock()

    def routes(self, router: APIRouter) -> None:
        router.post("/orders", status_code=202, summary="Place an order by hand, or a bracket")(self.place)
        router.patch("/orders/{order_id}", status_code=202, summary="Ask for a working order to be changed")(
            self.change
        )

    async def place(
        self, caller: Trader, body: OrderIn, idempotency_key: IdempotencyKey, response: Response
    ) -> OrdersAccepted:
        """Publishes an intent for each order; `location` tells what risk decided and what became of it."""
        if (flaw := flaw_of(body)) is not None:
            raise InvalidError(flaw.text, f"body.{flaw.field}")
        legs = _legs(f"{caller.key_id}\0{idempotency_key}", body)
        async with self._one_at_a_time:
            known = await self.known(legs[0].intent_id)
            if known is None:
                await self._publish(caller, await self._intents(legs, body), body)
            elif not (legs[0].is_that_of(known) and await self._same_exits(legs[1:]) and _same_place(body, known)):
                raise ConflictError(
                    "this Idempotency-Key was used for another order: take a fresh one for each new order"
                )
        response.headers["Location"] = location = f"/orders/{legs[0].intent_id}"
        return OrdersAccepted(id=legs[0].intent_id, location=location, order_ids=[leg.intent_id for leg in legs])

    async def asked_for(self, seed: str, body: OrderIn) -> list[OrderIntent]:
        """The intents that a body would be published as; nothing is placed."""
        if (flaw := flaw_of(body)) is not None:
            raise InvalidError(flaw.text, f"body.{flaw.field}")
        return await self._intents(_legs(seed, body), body)

    async def known(self, intent_id: str) -> OrderIntent | None:
        """What was asked for under this id before: by this process, or by an earlier one as risk has stored it."""
        if placed := self.placed.get(intent_id):
            return placed
        async with self._front.reading() as connection:
            row = await queries.intent(connection, intent_id)
        return OrderIntent.model_validate(row["body"]) if row else None

    async def _same_exits(self, exits: Sequence[_Leg]) -> bool:
        known = [(leg, await self.known(leg.intent_id)) for leg in exits]
        return all(intent is not None and leg.is_that_of(intent) for leg, intent in known)

    async def _intents(self, legs: Sequence[_Leg], body: OrderIn) -> list[OrderIntent]:
        account = await account_of(self._front, body.account_id)
        contract = await tradable(self._front, body.symbol)
        price = self.price_of(contract.contract_id, body.symbol)
        common = {"account_id": account.account_id, "strategy_id": MANUAL, **_of_contract(contract)}
        return [OrderIntent(intent_id=leg.intent_id, **leg.terms, **common, **self.seen(price)) for leg in legs]

    def price_of(self, contract_id: int, symbol: str) -> Price:
        """The newest; ConflictError when there is none."""
        price = self._prices.newest(contract_id)
        if price is None:
            raise ConflictError(
                f"no price of {symbol} has come yet, and risk judges no order without one: "
                f"POST /subscriptions/{symbol} at the data farmer asks for them"
            )
        return price

    def seen(self, price: Price) -> dict[str, Any]:
        """What an intent says of the price it goes by."""
        return {
            "reference_price": price.price,
            "reference_time": price.received_at,
            "event_time": price.event_time,
            "ingest_time": self._front.service.clock.now(),
        }

    async def _publish(self, caller: Caller, intents: Sequence[OrderIntent], body: OrderIn) -> None:
        await self._front.changes.make(caller, Change("POST /orders", intents[0].intent_id, after=body), intents)
        for intent in intents:
            self.placed[intent.intent_id] = intent

    # changes

    async def change(
        self,
        caller: Trader,
        order_id: OrderIdPath,
        body: ChangeIn,
        idempotency_key: IdempotencyKey,
        response: Response,
    ) -> OrdersAccepted:
        """Publishes the wish; whether the broker took it shows in the order's updates, as `last_change`."""
        change_id = str(uuid.uuid5(_INTENTS, f"{caller.key_id}\0{idempotency_key}\0change"))
        async with self._one_at_a_time:
            known = await self._known_change(change_id)
            if known is None:
                await self._publish_change(caller, change_id, order_id, body)
            elif known.order_id != order_id or any(getattr(known.wanted, n) != v for n, v in body.given.items()):
                raise ConflictError("this Idempotency-Key was used for another change: take a fresh one for each")
        response.headers["Location"] = location = f"/orders/{order_id}"
        return OrdersAccepted(id=change_id, location=location, order_ids=[order_id])

    async def _known_change(self, change_id: str) -> ModifyIntent | None:
        if changed := self._changed.get(change_id):
            return changed
        async with self._front.reading() as connection:
            row = await queries.intent(connection, change_id)
        return ModifyIntent.model_validate(row["body"]) if row else None

    async def _publish_change(self, caller: Caller, change_id: str, order_id: str, body: ChangeIn) -> None:
        async with self._front.reading() as connection:
            row = await queries.order(connection, order_id)
        if row is None:
            raise NotFoundError(f"no order {order_id!r} was sent: GET /orders?working=true lists what can be changed")
        if row["status"] in FINAL_STATUSES:
            raise ConflictError(f"the order is {row['status']} already: nothing is left to change")
        if row["intent"] is None:
            raise ConflictError("the order was placed outside of SCIZOR: change it where it was placed")
        before = OrderOut.model_validate(dict(row))
        wanted = _changed(OrderIntent.model_validate(row["intent"]), before, body)
        wanted = wanted.revised(**self.seen(self.price_of(before.contract_id, before.symbol)))
        change = ModifyIntent(
            intent_id=change_id,
            account_id=wanted.account_id,
            strategy_id=wanted.strategy_id,
            order_id=order_id,
            wanted=wanted,
            event_time=wanted.event_time,
            ingest_time=wanted.ingest_time,
        )
        told = Change("PATCH /orders/{order_id}", order_id, before, body)
        await self._front.changes.make(caller, told, [change])
        self._changed[change_id] = change


def _legs(seed: str, body: OrderIn) -> list[_Leg]:
    """The orders that are asked for; their ids follow from the caller's key, so that a repetition names the same."""
    entry_id, exits = str(uuid.uuid5(_INTENTS, seed)), body.exits
    terms = {name: getattr(body, name) for name in OrderIn.model_fields if name not in _OWN}
    if exits is None:
        return [_Leg(entry_id, terms | {"legs": ()})]
    if body.parent_id is not None:
        raise InvalidError("the entry of a bracket has no parent", "body.parent_id")
    ways: list[tuple[str, dict[str, Any]]] = [
        ("stop", {"order_type": OrderType.STOP, "stop_price": exits.stop_price}),
        ("trail", {"order_type": OrderType.TRAIL, "trail_amount": exits.trail_amount}),
        ("profit", {"order_type": OrderType.LIMIT, "limit_price": exits.take_profit}),
    ]
    wanted = [(str(uuid.uuid5(_INTENTS, f"{seed}\0{name}")), way) for name, way in ways if None not in way.values()]
    legs = (entry_id, *(leg_id for leg_id, _ in wanted))
    common = {
        "side": Side.SELL if body.side is Side.BUY else Side.BUY,
        "quantity": body.quantity,
        "time_in_force": TimeInForce.GTC,
        "parent_id": entry_id,
        "legs": legs,
        "oca_group": f"oca-{entry_id}",
        "oca_reduces": True,
    }
    return [_Leg(entry_id, terms | {"legs": legs}), *(_Leg(leg_id, common | way) for leg_id, way in wanted)]


def _of_contract(contract: Contract) -> dict[str, Any]:
    return {
        "contract_id": contract.contract_id,
        "symbol": contract.symbol,
        "currency": contract.currency,
        "minimum_tick": Decimal(str(contract.minimum_tick)),
    }


def _same_place(body: OrderIn, intent: OrderIntent) -> bool:
    return parse_symbol(body.symbol).symbol == intent.symbol and body.account_id in {None, intent.account_id}


def _changed(intent: OrderIntent, now: OrderOut, body: ChangeIn) -> OrderIntent:
    """The order's own intent on other terms; the broker may work it on others than we last asked for."""
    stands = {"quantity": now.quantity} | {
        name: getattr(now, name)
        for name in ("limit_price", "stop_price")
        if getattr(intent, name) is not None and not (name == "stop_price" and intent.order_type in TRAILS)
    }
    given = stands | body.given
    if (flaw := flaw_of(intent.model_copy(update=given))) is not None:
        raise InvalidError(flaw.text, f"body.{flaw.field}")
    if given["quantity"] <= now.cumulative_quantity:
        filled = f"{now.cumulative_quantity:f} of it have filled already"
        raise InvalidError(f"{filled}: cancel the order instead", "body.quantity")
    return intent.revised(**given)
