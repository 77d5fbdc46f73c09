"""The symbol registry: search it, have symbols validated, changed and removed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field, model_validator

from consumers.api.access import Admin, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.collections import Requested, RunOut, requested
from consumers.api.front import Front
from consumers.api.models import OFFSET_MAX, PAGE_MAX, Accepted, Answer, Body, Flag, Page, SymbolNames
from consumers.api.problems import ConflictError, NotFoundError
from consumers.api.rows import fields, page, told
from consumers.api.views import Latest
from infra.store import symbol_queries
from infra.store.queries import Slice
from infra.store.symbol_queries import SymbolFilter
from infra.symbol_meanings import meanings as meant
from infra.symbol_names import SymbolName, parse_symbol
from schemas.collection import CollectionRun, RunState, ValidateSymbols
from schemas.event import UtcTime
from schemas.registry import ChangeSymbol, Note, RemoveSymbol
from schemas.validation import Candidate, Contract, Symbol, SymbolState, Tag

_WAIT_SECONDS_MAX = 10.0
_TAGS_MAX = 50
_FINISHED = (RunState.DONE, RunState.FAILED)

SymbolPath = Annotated[str, Path(min_length=1, max_length=128, examples=["AAPL"])]
Wait = Annotated[
    float, Query(ge=0, le=_WAIT_SECONDS_MAX, description="Seconds to wait for the outcome; 202 if it is not there yet.")
]
Word = Annotated[str, Field(max_length=32, pattern=r"^[A-Za-z0-9._-]+$")]


class SymbolsWanted(Body):
    """Which entries of the registry."""

    search: Annotated[str, Field(max_length=100, pattern=r"^[^\x00]*$")] | None = Field(
        None, description="Part of a symbol or of a name."
    )
    state: SymbolState | None = None
    exchange: Word | None = None
    currency: Word | None = None
    kind: Word | None = None
    tag: Tag | None = None
    stale: bool = Field(False, description="Only valid ones that were verified too long ago.")
    limit: int = Field(100, ge=1, le=PAGE_MAX, description=f"Rows of a page, at most {PAGE_MAX}.")
    offset: int = Field(0, ge=0, le=OFFSET_MAX, description="Rows to skip: `next_offset` of the page before.")

    def filter(self, old: datetime) -> SymbolFilter:
        return SymbolFilter(
            search=self.search,
            state=self.state,
            exchange=self.exchange.upper() if self.exchange else None,
            currency=self.currency.upper() if self.currency else None,
            kind=self.kind,
            tag=self.tag,
            stale_before=old if self.stale else None,
        )


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
    last_verified: UtcTime | None = Field(description="When the gateway was last asked and answered.")
    stale: bool = Field(description="Valid, but verified longer ago than SCIZOR_SYMBOLS_VERIFIED_DAYS.")
    reason: str
    candidates: tuple[Candidate, ...] = Field(
        description="What an ambiguous symbol can mean: choose by SYMBOL:EXCHANGE."
    )
    kind: str
    name: str
    note: str
    tags: tuple[str, ...]
    collect: bool = Field(description="Whether daily collection takes it.")


class SymbolPage(Page[SymbolOut]):
    """One page of the registry."""

    total: int = Field(description="How many entries match in all.")


class ValidateIn(Body):
    """Symbols for the gateway to be asked about."""

    symbols: SymbolNames
    force: Flag = Field(False, description="Ask again even when the registry verified the symbol lately.")
    accept_change: Flag = Field(False, description="Where the gateway answers another contract than before, take it.")


class ChangeIn(Body):
    """What is to change; what is left out stays."""

    state: Literal["valid", "suspended", "delisted"] | None = Field(
        None, description="Suspended: nothing is asked or collected. Valid: taken up again."
    )
    note: Note | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=_TAGS_MAX)] | None = None
    collect: Flag | None = Field(None, description="Whether daily collection takes it.")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_dump(exclude_none=True):
            raise ValueError("nothing is to change: send state, note, tags or collect")
        return self


class Outcome(Accepted):
    """A request that was published, and, where that was waited for, what became of it."""

    run: RunOut | None = None


class Symbols:
    """Routes about the registry."""

    def __init__(self, front: Front, requested: Requested, runs: Latest[CollectionRun]) -> None:
        self._front = front
        self._requested = requested
        self._runs = runs

    def router(self) -> APIRouter:
        router = APIRouter(tags=["symbols"])
        router.get("/symbols", summary="Search the registry", response_model=SymbolPage)(self.search)
        router.get("/symbols/{symbol}", summary="One symbol")(self.show)
        router.post("/symbols", status_code=202, summary="Have symbols validated at the gateway")(self.validate)
        router.patch("/symbols/{symbol}", status_code=202, summary="Suspend, resume, note, tag")(self.change)
        router.delete("/symbols/{symbol}", status_code=202, summary="Remove a symbol and its data")(self.remove)
        return router

    async def search(
        self,
        caller: Viewer,
        wanted: Annotated[SymbolsWanted, Query()],
    ) -> Response:
        """By ticker. Removed symbols are listed only by `state=removed`."""
        part, old, chosen = Slice(wanted.limit, wanted.offset), self._old(), wanted.filter(self._old())
        row = await self._front.ask(symbol_queries.symbol_page(part, chosen, fields(SymbolOut), old))
        total = row["total"][0] if row["total"] else 0
        if part.offset and not total:
            total = (await self._front.ask(symbol_queries.symbol_count(chosen)))["total"]
        return page(told(row["json"]), part.limit, part.offset, total=total)

    async def show(self, caller: Viewer, symbol: SymbolPath) -> SymbolOut:
        return (await meanings(self._front, symbol))[0]

    async def validate(self, caller: Trader, body: ValidateIn, response: Response, wait: Wait = 0.0) -> Outcome:
        """Asks at once, also about symbols that were rejected lately; valid ones only when `force` or stale."""
        clock = self._front.service.clock
        request = ValidateSymbols(
            event_time=clock.now(),
            ingest_time=clock.now(),
            run_id=self._front.service.entropy.new_id(),
            symbols=body.symbols,
            force=body.force or body.accept_change,
            retry=True,
            accept_change=body.accept_change,
            requested_by=caller.label,
        )
        await self._front.changes.make(caller, Change("POST /symbols", request.run_id, after=body), [request])
        asked = requested(request.run_id, "validate", len(request.symbols), request.ingest_time)
        return await self._outcome(asked, response, wait)

    async def change(
        self, caller: Trader, symbol: SymbolPath, body: ChangeIn, response: Response, wait: Wait = 3.0
    ) -> Outcome:
        """200 once it is done, 409 with the reason when it cannot be."""
        before = (await meanings(self._front, symbol))[0]
        now = self._front.service.clock.now()
        request = ChangeSymbol(
            event_time=now,
            ingest_time=now,
            run_id=self._front.service.entropy.new_id(),
            symbol=_spelt(before),
            requested_by=caller.label,
            **body.model_dump(),
        )
        change = Change("PATCH /symbols/{symbol}", _spelt(before), before, body)
        await self._front.changes.make(caller, change, [request])
        asked = requested(request.run_id, "change", 1, now)
        return await self._outcome(asked, response, wait, refused=ConflictError)

    async def remove(
        self,
        caller: Admin,
        symbol: SymbolPath,
        response: Response,
        keep_data: Annotated[bool, Query(description="Only the registry forgets the symbol; its bars stay.")] = False,
        wait: Wait = 3.0,
    ) -> Outcome:
        """Its bars are archived to Parquet, its live data end, its rows go; a rebuild from the topics keeps to that.

        409 while a strategy wants its live data or an account holds it. Adding it again starts anew.
        """
        before = (await meanings(self._front, symbol))[0]
        now = self._front.service.clock.now()
        request = RemoveSymbol(
            event_time=now,
            ingest_time=now,
            run_id=self._front.service.entropy.new_id(),
            symbol=_spelt(before),
            keep_data=keep_data,
            requested_by=caller.label,
        )
        change = Change("DELETE /symbols/{symbol}", _spelt(before), before)
        await self._front.changes.make(caller, change, [request])
        asked = requested(request.run_id, "remove", 1, now)
        return await self._outcome(asked, response, wait, refused=ConflictError)

    async def _outcome(
        self, asked: RunOut, response: Response, wait: float, *, refused: type[ConflictError] | None = None
    ) -> Outcome:
        accepted = self._requested.accepted(asked, response)
        if not await self._runs.wait_for(asked.run_id, lambda run: run.state in _FINISHED, wait):
            return Outcome(**accepted.model_dump())
        run = self._runs.get(asked.run_id)
        assert run is not None, "it was waited for"
        if refused is not None and run.failures:
            raise refused("; ".join(run.failures.values()))
        response.status_code = HTTPStatus.OK
        return Outcome(**accepted.model_dump(), run=RunOut.model_validate(run))

    def _old(self) -> datetime:
        return old(self._front)


def old(front: Front) -> datetime:
    """What was verified before this moment is stale."""
    return front.service.clock.now() - timedelta(days=front.service.settings.symbols_verified_days)


def _is_stale(row: Any, old: datetime) -> bool:
    verified = row["last_verified"]
    return row["state"] == SymbolState.VALID.value and (verified is None or verified < old)


def _out(row: Any, old: datetime) -> SymbolOut:
    return SymbolOut.model_validate({**row, "stale": _is_stale(row, old)})


def _spelt(entry: SymbolOut) -> str:
    return str(SymbolName(entry.symbol, entry.exchange, entry.currency, entry.security_type))


async def meanings(front: Front, symbol: str) -> Sequence[SymbolOut]:
    """What a symbol can mean, valid ones first; NotFoundError when the registry does not know it."""
    name = parse_symbol(symbol)
    async with front.reading() as connection:
        rows = await symbol_queries.entries_of(connection, name.symbol)
    by_id = {row["symbol_id"]: row for row in rows}
    found = meant(name, [Symbol.model_validate(dict(row)) for row in rows])
    if found:
        return [_out(by_id[each.symbol_id], old(front)) for each in found]
    removed = by_id.get(name.symbol_id)
    was = f" ({removed['reason']})" if removed is not None else ""
    raise NotFoundError(f"no symbol {symbol!r} in the registry{was}: POST /symbols asks the gateway about it")


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
