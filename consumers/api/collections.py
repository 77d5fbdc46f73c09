"""Collection runs: ask for history, and see how far each run has come."""

from collections import OrderedDict
from datetime import datetime, timedelta
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
    Limit,
    Offset,
    Page,
    SymbolNames,
    order_of_times,
    page_of,
)
from consumers.api.problems import NotFoundError
from consumers.api.views import Latest
from infra.store import queries
from infra.store.queries import Slice
from schemas.collection import CollectHistory, CollectionRun, RunKind
from schemas.event import UtcTime

_REMEMBERED_MAX = 1000

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
    ingest_time: UtcTime = Field(description="When this was last heard of.")


class CollectIn(Body):
    """History to be collected, in market time. Without `start` all there is, without `end` until now."""

    symbols: SymbolNames
    bar_size: BarSize = Field(timedelta(days=1), examples=["1d", "5s"])
    start: UtcTime | None = None
    end: UtcTime | None = None


def requested(run_id: str, kind: RunKind, symbols: int, at: datetime) -> RunOut:
    """A run of which nothing was heard yet."""
    return RunOut(run_id=run_id, kind=kind, state="requested", symbols=symbols, ingest_time=at)


class Requested:
    """Runs that were asked for here and of which nothing was heard yet; bounded."""

    def __init__(self) -> None:
        self._runs: OrderedDict[str, RunOut] = OrderedDict()

    def get(self, run_id: str) -> RunOut | None:
        return self._runs.get(run_id)

    def accepted(self, run: RunOut, response: Response) -> Accepted:
        """Remember a request that was published, and the answer to who made it."""
        self._runs[run.run_id] = run
        if len(self._runs) > _REMEMBERED_MAX:
            self._runs.popitem(last=False)
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
        router.get("/collections", summary="Runs, the latest first")(self.list_runs)
        router.get("/collections/{run_id}", summary="One run")(self.show)
        return router

    async def collect(self, caller: Trader, body: CollectIn, response: Response) -> Accepted:
        """Publishes the request; the answer's `location` tells how far the run has come."""
        order_of_times(body.start, body.end)
        clock = self._front.service.clock
        request = CollectHistory(
            event_time=clock.now(),
            ingest_time=clock.now(),
            run_id=self._front.service.entropy.new_id(),
            symbols=body.symbols,
            bar_size=body.bar_size,
            start=body.start,
            end=body.end,
            requested_by=caller.label,
        )
        change = Change("POST /collections", request.run_id, after=body)
        await self._front.changes.make(caller, change, [request])
        asked = requested(request.run_id, "history", len(request.symbols), request.ingest_time)
        return self._requested.accepted(asked, response)

    async def list_runs(self, caller: Viewer, limit: Limit = 100, offset: Offset = 0) -> Page[RunOut]:
        async with self._front.reading() as connection:
            rows = await queries.collection_page(connection, Slice(limit, offset))
        return page_of([self._newest(RunOut.model_validate(dict(row))) for row in rows], limit, offset)

    async def show(self, caller: Viewer, run_id: RunId) -> RunOut:
        if event := self._runs.get(run_id):
            return RunOut.model_validate(event)
        async with self._front.reading() as connection:
            row = await queries.collection_run(connection, run_id)
        if row is not None:
            return RunOut.model_validate(dict(row))
        if known := self._requested.get(run_id):
            return known
        raise NotFoundError(f"no run {run_id!r}: GET /collections lists them")

    def _newest(self, stored: RunOut) -> RunOut:
        event = self._runs.get(stored.run_id)
        newer = event is not None and event.ingest_time > stored.ingest_time
        return RunOut.model_validate(event) if newer else stored
