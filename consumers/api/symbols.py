"""The symbol registry: search it, and ask for symbols to be validated."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.collections import Requested
from consumers.api.front import Front
from consumers.api.models import Accepted, Answer, Body, Limit, Offset, Page, page_of
from consumers.api.problems import ConflictError, NotFoundError
from infra.store import queries
from infra.store.queries import Slice
from schemas.collection import ValidateSymbols
from schemas.event import Name, UtcTime
from schemas.validation import SymbolState

SymbolPath = Annotated[str, Path(min_length=1, max_length=128, examples=["AAPL"])]


class SymbolOut(Answer):
    """One entry of the registry."""

    symbol_id: str
    symbol: str
    security_type: str
    exchange: str
    currency: str
    state: SymbolState
    contract_id: int | None
    contract: dict[str, Any] | None = Field(description="The contract as the gateway describes it; null before then.")
    last_verified: UtcTime | None
    reason: str


class ValidateIn(Body):
    """Symbols for the gateway to be asked about."""

    symbols: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000, examples=[["AAPL", "MSFT"]])]
    force: bool = Field(False, description="Ask again even when the registry verified the symbol lately.")


class Symbols:
    """Routes about the registry."""

    def __init__(self, front: Front, requested: Requested) -> None:
        self._front = front
        self._requested = requested

    def router(self) -> APIRouter:
        router = APIRouter(tags=["symbols"])
        router.get("/symbols", summary="Search the registry")(self.search)
        router.get("/symbols/{symbol}", summary="One symbol")(self.show)
        router.post("/symbols", status_code=202, summary="Have symbols validated at the gateway")(self.validate)
        return router

    async def search(
        self,
        caller: Viewer,
        search: Annotated[str | None, Query(max_length=100, description="Part of a symbol or of a name.")] = None,
        state: SymbolState | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Page[SymbolOut]:
        async with self._front.reading() as connection:
            rows = await queries.symbol_page(connection, Slice(limit, offset), search=search, state=state)
        return page_of([SymbolOut.model_validate(dict(row)) for row in rows], limit, offset)

    async def show(self, caller: Viewer, symbol: SymbolPath) -> SymbolOut:
        return (await meanings(self._front, symbol))[0]

    async def validate(self, caller: Trader, body: ValidateIn, response: Response) -> Accepted:
        """Publishes the request; the answer's `location` tells how far the run has come."""
        clock = self._front.service.clock
        request = ValidateSymbols(
            event_time=clock.now(),
            ingest_time=clock.now(),
            run_id=self._front.service.entropy.new_id(),
            symbols=body.symbols,
            force=body.force,
            requested_by=caller.label,
        )
        change = Change("POST /symbols", request.run_id, after=body)
        await self._front.changes.make(caller, change, [request])
        return self._requested.accepted(request, response)


async def meanings(front: Front, symbol: str) -> Sequence[SymbolOut]:
    """What a symbol can mean, valid ones first; NotFoundError when the registry does not know it."""
    async with front.reading() as connection:
        rows = await queries.symbol_meanings(connection, symbol)
    if not rows:
        raise NotFoundError(f"no symbol {symbol!r} in the registry: POST /symbols asks the gateway about it")
    return [SymbolOut.model_validate(dict(row)) for row in rows]


async def tradable(front: Front, symbol: str) -> SymbolOut:
    """The one entry with a contract; ConflictError when there is none, or several."""
    known = await meanings(front, symbol)
    valid = [each for each in known if each.contract_id is not None]
    if not valid:
        raise ConflictError(f"{symbol} has no contract yet (state {known[0].state}): POST /symbols validates it")
    if len({each.contract_id for each in valid}) > 1:
        names = ", ".join(each.symbol_id for each in valid)
        raise ConflictError(f"{symbol} can mean {names}: use one of these ids in its place")
    return valid[0]
