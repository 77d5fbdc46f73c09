"""Collection runs: ask for history, and see how far each run has come."""

from datetime import date, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Response
from pydantic import Field

from consumers.api.access import Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import (
    Accepted,
    Answer,
    BarSize,
    Body,
    Day,
    Flag,
    Limit,
    Offset,
    Page,
    SymbolNames,
    Time,
    Whole,
    order_of_times,
    page_of,
)
from consumers.api.problems import InvalidError, NotFoundError
from consumers.api.remembered import Remembered
from consumers.api.views import Latest
from infra.calendars.calendar import UnknownExchangeError, calendar_of
from infra.gateway.past import BarSizeUnknownError, PricesUnknownError, Series
from infra.store import queries
from infra.store.collection import outcomes_of
from infra.store.queries import Slice
from schemas.collection import CollectDaily, CollectHistory, CollectionRun, RunKind, SymbolOutcome
from schemas.event import UtcTime
from schemas.market import Basis, PriceKind

RunId = Annotated[str, Path(min_length=1, max_length=128)]


class RunOut(Answer):
    """How far a run has come."""

    run_id: str
    kind: RunKind
    state: Literal["requested", "started", "running", "done", "failed"]
    symbols: int
    symbols_done: int = 0
    bars_received: int = 0
    bars_published: int = Field(0, description="Received bars that were new or had changed.")
    quarantined: int = 0
    gateway_requests: int = 0
    requests_saved: int = 0
    failures: dict[str, str] = Field(default_factory=dict, description="What went wrong, by symbol.")
    what: str = Field("", description="The bars that are collected, in words.")
    exchange: str = Field("", description="Of a daily collection: its exchange or calendar, empty for all.")
    session: date | None = Field(None, description="The session whose end set it off.")
    chunks: int = Field(0, description="Requests for bars that are needed, as far as that is known.")
    chunks_done: int = 0
    retries: int = Field(0, description="Requests that had to be made again.")
    sessions: int = 0
    sessions_complete: int = 0
    gaps: int = Field(0, description="Stretches of sessions without bars; `outcomes` tells why.")
    chunks_per_minute: float = 0.0
    eta_seconds: float | None = Field(None, description="How long it will still take at this rate.")
    ingest_time: UtcTime = Field(description="When this was last heard of.")


class GapOut(Answer):
    """Sessions without bars, in a row."""

    first_day: date
    last_day: date
    sessions: int
    reason: str


class OutcomeOut(Answer):
    """What a run did about one symbol."""

    symbol: str
    contract_id: int | None
    outcome: SymbolOutcome
    reason: str = Field(description="What went wrong; empty when nothing did.")
    chunks: int
    bars_received: int
    bars_published: int
    quarantined: int
    sessions: int
    sessions_complete: int
    gaps: list[GapOut]


class RunWithOutcomes(RunOut):
    """A run, symbol by symbol."""

    outcomes: list[OutcomeOut] = Field(default_factory=list, description="Of the symbols that it is done with.")


class CollectIn(Body):
    """History to be collected: only what is missing is asked for. Days are those of each exchange's calendar.

    Without a beginning (`start`, `first_day` or `years`) all there is, without an end until now.
    """

    symbols: SymbolNames
    bar_size: BarSize = Field(timedelta(days=1), examples=["1d", "5s"])
    start: Time | None = None
    end: Time | None = None
    first_day: Day | None = None
    last_day: Day | None = None
    years: Whole | None = Field(None, ge=1, le=100, description="Back from the end.")
    price_kind: PriceKind = PriceKind.TRADES
    basis: Basis = Basis.SPLIT_ADJUSTED
    refresh: Flag = Field(False, description="Ask for everything again; what has changed is a new revision.")


class CollectDailyIn(Body):
    """The missing daily bars of every valid symbol."""

    exchange: str | None = Field(
        None, min_length=1, max_length=40, description="An exchange (NASDAQ, ASX) or a calendar (XNYS, XASX)."
    )
    days: Whole = Field(30, ge=1, le=366, description="How far back it looks for missing sessions.")


def requested(run_id: str, kind: RunKind, symbols: int, at: datetime) -> RunOut:
    """A run of which nothing was heard yet."""
    return RunOut(run_id=run_id, kind=kind, state="requested", symbols=symbols, ingest_time=at)


class Requested:
    """Runs that were asked for here and of which nothing was heard yet; bounded."""

    def __init__(self) -> None:
        self._runs: Remembered[RunOut] = Remembered()

    def get(self, run_id: str) -> RunOut | None:
        return self._runs.get(run_id)

    def accepted(self, run: RunOut, response: Response) -> Accepted:
        """Remember a request that was published, and the answer to who made it."""
        self._runs[run.run_id] = run
        location = f"/collections/{run.run_id}"
        response.headers["Location"] = location
        return Accepted(id=run.run_id, location=location)


class Collections:
    """Routes about collection runs. What the topic said last outdoes the table, which follows it."""

    def __init__(self, front: Front, runs: Latest[CollectionRun], requested: Requested) -> None:
        self._front = front
        self._runs = runs
        self._requested = requested

    def router(self) -> APIRouter:
        router = APIRouter(tags=["collections"])
        router.post("/collections", status_code=202, summary="Have history collected")(self.collect)
        router.post("/collections/daily", status_code=202, summary="Have daily bars collected")(self.collect_daily)
        router.get("/collections", summary="Runs, the latest first")(self.list_runs)
        router.get("/collections/{run_id}", summary="One run")(self.show)
        return router

    async def collect(self, caller: Trader, body: CollectIn, response: Response) -> Accepted:
        """Publishes the request; the answer's `location` tells how far the run has come."""
        order_of_times(body.start, body.end)
        _order_of_days(body.first_day, body.last_day)
        _served(body)
        clock = self._front.service.clock
        request = CollectHistory(
            event_time=clock.now(),
            ingest_time=clock.now(),
            run_id=self._front.service.entropy.new_id(),
            symbols=body.symbols,
            bar_size=body.bar_size,
            start=body.start,
            end=body.end,
            first_day=body.first_day,
            last_day=body.last_day,
            years=body.years,
            price_kind=body.price_kind,
            basis=body.basis,
            refresh=body.refresh,
            requested_by=caller.label,
        )
        change = Change("POST /collections", request.run_id, after=body)
        await self._front.changes.make(caller, change, [request])
        asked = requested(request.run_id, "history", len(request.symbols), request.ingest_time)
        return self._requested.accepted(asked, response)

    async def collect_daily(self, caller: Trader, body: CollectDailyIn, response: Response) -> Accepted:
        """Publishes the request; the answer's `location` tells how far the run has come."""
        exchange = body.exchange.upper() if body.exchange else None
        if exchange is not None:
            try:
                calendar_of(exchange)
            except UnknownExchangeError as error:
                raise InvalidError(f"exchange: {error}") from error
        now = self._front.service.clock.now()
        request = CollectDaily(
            event_time=now,
            ingest_time=now,
            run_id=self._front.service.entropy.new_id(),
            exchange=exchange,
            days=body.days,
            requested_by=caller.label,
        )
        change = Change("POST /collections/daily", request.run_id, after=body)
        await self._front.changes.make(caller, change, [request])
        return self._requested.accepted(requested(request.run_id, "daily", 0, now), response)

    async def list_runs(self, caller: Viewer, limit: Limit = 100, offset: Offset = 0) -> Page[RunOut]:
        async with self._front.reading() as connection:
            rows = await queries.collection_page(connection, Slice(limit, offset))
        return page_of([self._newest(RunOut.model_validate(dict(row))) for row in rows], limit, offset)

    async def show(self, caller: Viewer, run_id: RunId) -> RunWithOutcomes:
        """How far it is, and what it did about each symbol that it is done with."""
        async with self._front.reading() as connection:
            row = await queries.collection_run(connection, run_id)
            outcomes = await outcomes_of(connection, run_id)
        if event := self._runs.get(run_id):
            run = RunOut.model_validate(event)
        elif row is not None:
            run = RunOut.model_validate(dict(row))
        elif known := self._requested.get(run_id):
            run = known
        else:
            raise NotFoundError(f"no run {run_id!r}: GET /collections lists them")
        told = [OutcomeOut.model_validate(dict(each)) for each in outcomes]
        return RunWithOutcomes(**run.model_dump(), outcomes=told)

    def _newest(self, stored: RunOut) -> RunOut:
        event = self._runs.get(stored.run_id)
        newer = event is not None and event.ingest_time > stored.ingest_time
        return RunOut.model_validate(event) if newer else stored


def _order_of_days(first: date | None, last: date | None) -> None:
    if first is not None and last is not None and last < first:
        raise InvalidError("last_day must not be before first_day")


def _served(body: CollectIn) -> None:
    """Refuse bars that IB does not serve."""
    try:
        Series(body.bar_size, body.price_kind, body.basis)
    except BarSizeUnknownError as error:
        raise InvalidError(f"bar_size: {error}") from error
    except PricesUnknownError as error:
        raise InvalidError(f"price_kind, basis: {error}") from error
