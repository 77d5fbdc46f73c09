"""Live data: which contracts are wanted, and the last quote of each."""

import asyncio
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import AfterValidator, Field

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.live_tape import LiveTape
from consumers.api.models import Answer, BarSize, Body, Flag
from consumers.api.names import Names
from consumers.api.problems import InvalidError, NotFoundError
from consumers.api.reels import MarketKind
from consumers.api.rows import answer, picked
from consumers.api.symbols import SymbolPath, known_contract, tradable
from consumers.api.views import Latest
from engine.wants import together
from schemas.event import UtcTime
from schemas.market import Delivery, Source, Subscription, Want

WANTED_BY = "api"
"""The name under which people who use the HTTP service want live data."""
_SEEN_SECONDS = 3.0


def want_key(want: Want) -> str:
    """Under which a view keeps the wants of holders apart."""
    return f"{want.contract_id}:{want.holder}"


def _whole_minutes(size: timedelta) -> timedelta:
    if size % timedelta(minutes=1) or size > timedelta(days=1):
        raise ValueError("live bars larger than 5s are of whole minutes, up to a day: write 1m, 1h or 1d")
    return size


class SubscribeIn(Body):
    """What live data is wanted."""

    bars: Flag = True
    ticks: Flag = False
    quotes: Flag = True
    bar_sizes: Annotated[tuple[Annotated[BarSize, AfterValidator(_whole_minutes)], ...], Field(max_length=20)] = Field(
        (), description="Larger live bars, made of those of five seconds.", examples=[["1m", "1d"]]
    )


class SubscriptionOut(Answer):
    """What live data of a contract is wanted, and by whom."""

    contract_id: int
    symbol: str
    bars: bool
    ticks: bool
    quotes: bool
    bar_sizes: tuple[BarSize, ...]
    wanted_by: tuple[str, ...]
    problem: str = Field("", description="Why data does not come, or not all of it; empty when nothing is wrong.")
    feeds: dict[str, Delivery] = Field(
        default_factory=dict, description="How bars, ticks and quotes come, as far as they are wanted."
    )


class QuoteOut(Answer):
    """Best bid and ask, as last heard."""

    contract_id: int
    symbol: str
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    source: Source
    event_time: UtcTime = Field(description="Market time.")
    ingest_time: UtcTime = Field(description="Wall time when it was received.")


class LiveData:
    """Routes about subscriptions and quotes."""

    def __init__(
        self, front: Front, wants: Latest[Want], subscriptions: Latest[Subscription], tape: LiveTape, names: Names
    ) -> None:
        self._front = front
        self._wants = wants
        self._subscriptions = subscriptions
        self._tape = tape
        self._names = names
        self._one_at_a_time = asyncio.Lock()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["live data"])
        router.get("/quotes/{symbol}", summary="The last quote", response_model=QuoteOut)(self.quote)
        router.get("/subscriptions", summary="What live data is wanted, and by whom")(self.list_subscriptions)
        router.post("/subscriptions/{symbol}", status_code=202, summary="Want live data")(self.subscribe)
        router.delete("/subscriptions/{symbol}", status_code=202, summary="Want it no more")(self.unsubscribe)
        return router

    async def quote(self, caller: Viewer, symbol: SymbolPath) -> Response:
        contract = await self._names.contract(symbol)
        quote = self._tape.newest(contract.contract_id, MarketKind.QUOTE.value)
        if quote is None:
            raise NotFoundError(
                f"no quote of {symbol} has come since this service started: POST /subscriptions/{symbol} asks for them"
            )
        return answer(picked(QuoteOut, vars(quote)))

    async def list_subscriptions(self, caller: Viewer) -> list[SubscriptionOut]:
        found = [self._out(contract_id) for contract_id in {want.contract_id for want in self._wants.all()}]
        return sorted((each for each in found if each.wanted_by), key=lambda each: each.symbol)

    async def subscribe(self, caller: Trader, symbol: SymbolPath, body: SubscribeIn | None = None) -> SubscriptionOut:
        """Live data starts to flow in a moment; what others want goes on. Without a body: bars and quotes."""
        body = body or SubscribeIn()
        if not (body.bars or body.ticks or body.quotes):
            raise InvalidError(f"nothing is wanted: set bars, ticks or quotes, or DELETE /subscriptions/{symbol}")
        if body.bar_sizes and not body.bars:
            raise InvalidError("bar_sizes: larger bars are made of bars: set bars too")
        contract = await tradable(self._front, symbol)
        now = self._front.service.clock.now()
        after = Want(
            event_time=now,
            ingest_time=now,
            contract_id=contract.contract_id,
            symbol=contract.symbol,
            holder=WANTED_BY,
            bars=body.bars,
            ticks=body.ticks,
            quotes=body.quotes,
            bar_sizes=body.bar_sizes,
        )
        async with self._one_at_a_time:
            before = self._wants.get(want_key(after))
            await self._change(caller, Change("POST /subscriptions/{symbol}", contract.symbol, before, after), after)
        return self._out(contract.contract_id)

    async def unsubscribe(self, caller: Trader, symbol: SymbolPath) -> SubscriptionOut:
        """Live data stops when nobody else wants it."""
        contract = await known_contract(self._front, symbol)
        async with self._one_at_a_time:
            before = self._wants.get(f"{contract.contract_id}:{WANTED_BY}")
            if before is None or before.is_over:
                raise NotFoundError(f"nobody subscribed {symbol} here: GET /subscriptions lists what is wanted")
            after = before.ended(self._front.service.clock.now())
            await self._change(caller, Change("DELETE /subscriptions/{symbol}", contract.symbol, before, after), after)
        return self._out(contract.contract_id)

    def _out(self, contract_id: int) -> SubscriptionOut:
        """What all want of a contract, with what the service that brings it last said about it."""
        wants = [want for want in self._wants.all() if want.contract_id == contract_id]
        found = together(wants, self._front.service.clock.now())
        assert found is not None, "somebody has wanted something of it"
        told = self._subscriptions.get(str(contract_id))
        if told is None or not found.wanted_by:
            return SubscriptionOut.model_validate(found)
        return SubscriptionOut.model_validate(found.model_copy(update={"problem": told.problem, "feeds": told.feeds}))

    async def _change(self, caller: Trader, change: Change, after: Want) -> None:
        await self._front.changes.make(caller, change, [after])
        # what is answered is what the topic says, so wait until it says this change
        await self._wants.wait_for(want_key(after), lambda seen: seen == after, _SEEN_SECONDS)
