"""Positions closed by hand: orders at the market that risk lets pass only where they reduce, and no further."""

import asyncio
import itertools
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import Field
from sqlalchemy import RowMapping

from consumers.api.access import Caller, Trader
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Answer, Body
from consumers.api.order_bodies import IdempotencyKey, OrdersAccepted
from consumers.api.placing import Placing
from consumers.api.portfolio import account_of
from consumers.api.positions import held_as
from consumers.api.prices import Price
from consumers.api.problems import ConflictError, InvalidError
from consumers.api.remembered import Remembered
from consumers.api.risk_figures import RiskFigures
from consumers.api.symbols import SymbolPath
from engine.account_book import AccountBook
from engine.account_figures import Exposure, exposures
from engine.trading_state import account_scope
from infra.calendars.open_now import opens_at
from infra.store import orders, position_pages
from schemas.event import Name, Quantity
from schemas.order_words import MANUAL
from schemas.orders import OrderIntent, OrderType, Side

_CLOSES = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:closes-by-hand")
_ALL_ROUTE = "POST /positions/close-all"
_FRESH = timedelta(seconds=0.5)
_LOOK_SECONDS = 0.02
_USED = "this Idempotency-Key was used to close something else: take a fresh one for each"
Reason = Annotated[str, Field(max_length=200)]


class CloseIn(Body):
    """How much of a position is to be closed, and why."""

    account_id: Name | None = Field(None, description="May be left out when there is only one account.")
    quantity: Quantity | None = Field(None, description="All that no order in flight closes already, unless said.")
    reason: Reason = ""


class CloseAllIn(Body):
    """Whose positions are to be closed, and why."""

    account_id: Name | None = Field(None, description="May be left out when there is only one account.")
    reason: Reason = ""


class LeftOut(Answer):
    """A position for which no order was placed."""

    symbol: str
    why: str


class ClosesAccepted(OrdersAccepted):
    """What was asked for, and what was left."""

    left: list[LeftOut]


class Closing:
    """Routes that close positions. The orders are `manual` ones: what a strategy believes to hold is its own affair."""

    def __init__(self, front: Front, placing: Placing, figures: RiskFigures) -> None:
        self._front = front
        self._placing = placing
        self._figures = figures
        self._asked: Remembered[Decimal | None] = Remembered()
        self._answered: Remembered[tuple[str, ClosesAccepted]] = Remembered()
        self._one_at_a_time = asyncio.Lock()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["portfolio"])
        router.post("/positions/close-all", status_code=202, summary="Close every position")(self.close_all)
        router.post("/positions/{symbol}/close", status_code=202, summary="Close one position, or a part")(self.close)
        return router

    async def close(
        self,
        caller: Trader,
        symbol: SymbolPath,
        idempotency_key: IdempotencyKey,
        response: Response,
        how: CloseIn | None = None,
    ) -> OrdersAccepted:
        """Publishes an intent; `location` tells what risk decided and what became of it."""
        body = how or CloseIn()
        held = await held_as(self._front, symbol, body.account_id)
        account_id, contract_id = held["account_id"], held["contract_id"]
        name = _id_of(caller, idempotency_key, "close")
        async with self._one_at_a_time:
            known = await self._placing.known(name)
            if known is None:
                await self._decided(account_id)
                book = await self._figures.book(account_id)
                intent = await self._intent(name, book, _exposure(book, contract_id), body.quantity)
                change = Change("POST /positions/{symbol}/close", held["symbol"], after=body, reason=body.reason)
                self._asked[name] = body.quantity
                await self._publish(caller, change, [intent])
            elif not self._same(body, held, known):
                raise ConflictError(_USED)
        response.headers["Location"] = location = f"/orders/{name}"
        return OrdersAccepted(id=name, location=location, order_ids=[name])

    def _same(self, body: CloseIn, held: RowMapping, known: OrderIntent) -> bool:
        """Whether it is what was asked for; an earlier process may have been asked for all or for as much."""
        place = held["account_id"], held["contract_id"]
        asked = {self._asked[known.intent_id]} if known.intent_id in self._asked else {None, known.quantity}
        return place == (known.account_id, known.contract_id) and body.quantity in asked

    async def close_all(
        self, caller: Trader, idempotency_key: IdempotencyKey, response: Response, how: CloseAllIn | None = None
    ) -> ClosesAccepted:
        """An intent for each open position of the account; of which none could be placed is told under `left`."""
        body = how or CloseAllIn()
        account_id = (await account_of(self._front, body.account_id)).account_id
        name = _id_of(caller, idempotency_key, "close-all")
        async with self._one_at_a_time:
            of_account, answer = self._answered.get(name) or await self._answer_of_before(name, account_id)
            if answer is None:
                answer = await self._close_all(caller, name, account_id, body)
                self._answered[name] = account_id, answer
            elif of_account != account_id:
                raise ConflictError(_USED)
        response.headers["Location"] = answer.location
        return answer

    async def _close_all(self, caller: Caller, name: str, account_id: str, body: CloseAllIn) -> ClosesAccepted:
        await self._decided(account_id)
        intents: list[OrderIntent] = []
        left: list[LeftOut] = []
        book = await self._figures.book(account_id)
        for each in exposures(book):
            if not each.position:
                continue
            try:
                intents.append(await self._intent(_id_within(name, each.contract_id), book, each, None))
            except ConflictError as error:
                left.append(LeftOut(symbol=each.symbol, why=str(error)))
        if not intents:
            whys = "; ".join(f"{each.symbol}: {each.why}" for each in left)
            raise ConflictError(f"nothing was closed in {account_id}: {whys or 'nothing is held'}"[:2000])
        await self._publish(caller, Change(_ALL_ROUTE, account_id, after=body, reason=body.reason), intents)
        return _accepted(name, [intent.intent_id for intent in intents], left)

    async def _answer_of_before(self, name: str, account_id: str) -> tuple[str, ClosesAccepted | None]:
        """What an earlier process was asked under the same key, as risk has stored it."""
        async with self._front.reading() as connection:
            rows = await position_pages.positions_of(connection, account_id)
            ids = [_id_within(name, row["contract_id"]) for row in rows]
            known = await position_pages.known_intents(connection, ids)
        if not known:
            return account_id, None
        (of_account,) = {body["account_id"] for body in known.values()}
        return of_account, _accepted(name, sorted(known, key=ids.index), [])

    async def _decided(self, account_id: str) -> None:
        """Until risk has decided on what was placed here a moment ago, so that its book has it; or that moment is over.

        Without this what is asked for could be too much: risk would deny it, where less would have passed.
        """
        clock = self._front.service.clock
        since, deadline = clock.now() - _FRESH, clock.monotonic() + _FRESH.total_seconds()
        placed = itertools.takewhile(lambda each: each.ingest_time > since, reversed(self._placing.placed.values()))
        fresh = {each.intent_id for each in placed if each.account_id == account_id}
        while fresh and clock.monotonic() < deadline:
            async with self._front.reading() as connection:
                fresh -= await position_pages.decided(connection, fresh)
            await asyncio.sleep(_LOOK_SECONDS if fresh else 0)

    async def _intent(self, name: str, book: AccountBook, held: Exposure, wanted: Decimal | None) -> OrderIntent:
        if not held.reducible:
            raise ConflictError(
                f"orders in flight close all {abs(held.position):f} already: "
                f"GET /orders?working=true&symbol={held.symbol} lists them"
            )
        if wanted is not None and wanted > held.reducible:
            raise InvalidError(
                f"at most {held.reducible:f} can be closed: {held.position:f} are held, "
                f"of which orders in flight take {abs(held.position) - held.reducible:f}",
                "body.quantity",
            )
        return OrderIntent(
            intent_id=name,
            account_id=book.account_id,
            strategy_id=MANUAL,
            contract_id=held.contract_id,
            symbol=held.symbol,
            currency=held.currency,
            side=Side.SELL if held.position > 0 else Side.BUY,
            quantity=wanted or held.reducible,
            order_type=OrderType.MARKET,
            reduces_only=True,
            **self._placing.seen(await self._fresh_price(book, held)),
        )

    async def _fresh_price(self, book: AccountBook, held: Exposure) -> Price:
        """One that risk does not find too old: of what no strategy watches any more none may have come for long."""
        price = self._placing.price_of(held.contract_id, held.symbol)
        limits = book.limits.get(account_scope(book.account_id))
        age = self._front.service.clock.now() - price.received_at
        if limits is not None and age.total_seconds() > limits.price_age_max_seconds:
            raise ConflictError(
                f"the newest price of {held.symbol} is {age.total_seconds():.0f} s old, and risk takes none older than "
                f"{limits.price_age_max_seconds:g} s: {await self._when_one_comes(held, price.event_time + age)}"
            )
        return price

    async def _when_one_comes(self, held: Exposure, market_now: datetime) -> str:
        ask = f"POST /subscriptions/{held.symbol} at the data farmer asks for prices"
        async with self._front.reading() as connection:
            contract = await orders.contract(connection, held.contract_id)
        opens = contract and opens_at(contract.primary_exchange or contract.exchange, market_now)
        return f"the market is closed until {opens:%F %H:%M}Z; {ask} then" if opens else f"{ask}, then try again"

    async def _publish(self, caller: Caller, change: Change, intents: Sequence[OrderIntent]) -> None:
        await self._front.changes.make(caller, change, intents)
        for intent in intents:
            self._placing.placed[intent.intent_id] = intent


def _exposure(book: AccountBook, contract_id: int) -> Exposure:
    found = next((each for each in exposures(book) if each.contract_id == contract_id and each.position), None)
    if found is None:
        raise ConflictError("nothing of it is held: GET /positions lists what is")
    return found


def _accepted(name: str, order_ids: list[str], left: list[LeftOut]) -> ClosesAccepted:
    return ClosesAccepted(id=name, location="/orders?working=true", order_ids=order_ids, left=left)


def _id_of(caller: Caller, key: str, what: str) -> str:
    return str(uuid.uuid5(_CLOSES, f"{caller.key_id}\0{key}\0{what}"))


def _id_within(name: str, contract_id: int) -> str:
    return str(uuid.uuid5(_CLOSES, f"{name}\0{contract_id}"))
