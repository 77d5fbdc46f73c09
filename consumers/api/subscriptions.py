"""Live data: which contracts are wanted, and the last quote of each."""

import asyncio

from fastapi import APIRouter
from pydantic import Field

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Answer, Body
from consumers.api.problems import InvalidError, NotFoundError
from consumers.api.symbols import SymbolPath, known_contract, tradable
from consumers.api.views import Latest
from schemas.event import UtcTime
from schemas.market import Quote, Source, Subscription

WANTED_BY = "api"
"""The name under which people who use the HTTP service want live data."""
_SEEN_SECONDS = 3.0


class SubscribeIn(Body):
    """What live data is wanted."""

    bars: bool = True
    ticks: bool = False
    quotes: bool = True


class SubscriptionOut(Answer):
    """What live data of a contract is wanted, and by whom."""

    contract_id: int
    symbol: str
    bars: bool
    ticks: bool
    quotes: bool
    wanted_by: tuple[str, ...]


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

    def __init__(self, front: Front, subscriptions: Latest[Subscription], quotes: Latest[Quote]) -> None:
        self._front = front
        self._subscriptions = subscriptions
        self._quotes = quotes
        self._one_at_a_time = asyncio.Lock()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["live data"])
        router.get("/quotes/{symbol}", summary="The last quote")(self.quote)
        router.get("/subscriptions", summary="What live data is wanted, and by whom")(self.list_subscriptions)
        router.post("/subscriptions/{symbol}", status_code=202, summary="Want live data")(self.subscribe)
        router.delete("/subscriptions/{symbol}", status_code=202, summary="Want it no more")(self.unsubscribe)
        return router

    async def quote(self, caller: Viewer, symbol: SymbolPath) -> QuoteOut:
        contract = await known_contract(self._front, symbol)
        quote = self._quotes.get(str(contract.contract_id))
        if quote is None:
            raise NotFoundError(
                f"no quote of {symbol} has come since this service started: POST /subscriptions/{symbol} asks for them"
            )
        return QuoteOut.model_validate(quote)

    async def list_subscriptions(self, caller: Viewer) -> list[SubscriptionOut]:
        wanted = [each for each in self._subscriptions.all() if each.wanted_by]
        return [SubscriptionOut.model_validate(each) for each in sorted(wanted, key=lambda each: each.symbol)]

    async def subscribe(self, caller: Trader, symbol: SymbolPath, body: SubscribeIn) -> SubscriptionOut:
        """Live data starts to flow in a moment; what others want of the contract goes on."""
        if not (body.bars or body.ticks or body.quotes):
            raise InvalidError(f"nothing is wanted: set bars, ticks or quotes, or DELETE /subscriptions/{symbol}")
        contract = await tradable(self._front, symbol)
        async with self._one_at_a_time:
            before = self._subscriptions.get(str(contract.contract_id))
            others = tuple(each for each in before.wanted_by if each != WANTED_BY) if before else ()
            now = self._front.service.clock.now()
            after = Subscription(
                event_time=now,
                ingest_time=now,
                contract_id=contract.contract_id,
                symbol=contract.symbol,
                bars=body.bars or bool(others and before and before.bars),
                ticks=body.ticks or bool(others and before and before.ticks),
                quotes=body.quotes or bool(others and before and before.quotes),
                wanted_by=(*others, WANTED_BY),
            )
            await self._change(caller, Change("POST /subscriptions/{symbol}", contract.symbol, before, after), after)
        return SubscriptionOut.model_validate(after)

    async def unsubscribe(self, caller: Trader, symbol: SymbolPath) -> SubscriptionOut:
        """Live data stops when nobody else wants it."""
        contract = await known_contract(self._front, symbol)
        async with self._one_at_a_time:
            before = self._subscriptions.get(str(contract.contract_id))
            if before is None or WANTED_BY not in before.wanted_by:
                raise NotFoundError(f"nobody subscribed {symbol} here: GET /subscriptions lists what is wanted")
            now = self._front.service.clock.now()
            others = tuple(each for each in before.wanted_by if each != WANTED_BY)
            after = before.revised(event_time=now, ingest_time=now, wanted_by=others)
            await self._change(caller, Change("DELETE /subscriptions/{symbol}", contract.symbol, before, after), after)
        return SubscriptionOut.model_validate(after)

    async def _change(self, caller: Trader, change: Change, after: Subscription) -> None:
        await self._front.changes.make(caller, change, [after])
        # the next change is made from what the topic says, so wait until it says this one
        await self._subscriptions.wait_for(str(after.contract_id), lambda seen: seen == after, _SEEN_SECONDS)
