"""The symbol registry: search it, and ask for symbols to be validated."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.collections import Requested
from consumers.api.front import Front
from consumers.api.models import Accepted, Answer, Body, Limit, Offset, Page, SymbolNames, page_of
from consumers.api.problems import ConflictError, NotFoundError
from infra.store import queries
from infra.store.queries import Slice
from infra.symbol_names import parse_symbol
from schemas.collection import ValidateSymbols
from schemas.event import UtcTime
from schemas.validation import Contract, SymbolState

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

    symbols: SymbolNames
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
    name = parse_symbol(symbol)
    async with front.reading() as connection:
        rows = await queries.symbol_meanings(connection, name.symbol_id, name.symbol)
    if not rows:
        raise NotFoundError(f"no symbol {symbol!r} in the registry: POST /symbols asks the gateway about it")
    return [SymbolOut.model_validate(dict(row)) for row in rows]


async def known_contract(front: Front, symbol: str) -> Contract:
    """The one contract that a symbol means; ConflictError when there is none yet, or several."""
    known = await meanings(front, symbol)
    contracts = [Contract.model_validate(each.contract) for each in known if each.contract is not None]
    if not contracts:
        raise ConflictError(f"{symbol} has no contract (state {known[0].state}): POST /symbols asks the gateway for it")
    if len({each.contract_id for each in contracts}) > 1:
        names = ", ".join(f"{each.symbol}:{each.primary_exchange or each.exchange}" for each in contracts)
        raise ConflictError(f"{symbol} can mean {names}: say which")
    return contracts[0]


async def tradable(front: Front, symbol: str) -> Contract:
    """The contract of a symbol that is valid now; ConflictError when it is not."""
    known = await meanings(front, symbol)
    if known[0].state is not SymbolState.VALID:
        why = f" ({known[0].reason})" if known[0].reason else ""
        raise ConflictError(f"{symbol} is {known[0].state}{why}: POST /symbols with force asks the gateway again")
    return await known_contract(front, symbol)
