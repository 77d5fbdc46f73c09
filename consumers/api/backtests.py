"""Backtests: request, follow, read, compare, cancel."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
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
    Time,
    order_of_times,
)
from consumers.api.problems import ConflictError, InvalidError, NotFoundError
from consumers.api.rows import answer, page, picked
from consumers.api.views import Latest
from infra.store import queries
from infra.store.queries import Slice
from schemas.backtest import BacktestCanceled, BacktestFinished, BacktestProgress, BacktestRequested
from schemas.event import Name, UtcTime

COMPARED_MAX = 20
_REMEMBERED_MAX = 1000
_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)

BacktestId = Annotated[str, Path(min_length=1, max_length=128)]
Pinned = Callable[[str, Mapping[str, Any]], Awaitable[str]]
"""Which text a strategy's name means from now on; empty for what comes with SCIZOR."""
State = Literal["requested", "running", "done", "failed", "canceled"]


class BacktestIn(Body):
    """What to replay through which strategy. Times are market time; without them all bars there are."""

    strategy: Name = Field(examples=["moving_average_crossover"])
    parameters: dict[str, Any] = Field(default_factory=dict, examples=[{"fast": 20, "slow": 50}])
    symbols: SymbolNames
    bar_size: BarSize = Field(timedelta(days=1), examples=["1d"])
    start: Time | None = None
    end: Time | None = None
    source: Literal["topic", "database"] = "topic"
    cash: float = Field(100_000.0, gt=0, le=1e12, allow_inf_nan=False)
    quantity: float = Field(100.0, gt=0, le=1e9, allow_inf_nan=False, description="Shares of a full-strength position.")
    commission_bps: float = Field(10.0, ge=0, le=1000, allow_inf_nan=False)
    slippage_bps: float = Field(0.0, ge=0, le=1000, allow_inf_nan=False)


class ProgressOut(Answer):
    """How far the replay has come."""

    phase: str
    bars_done: int
    bars_total: int


class SummaryOut(Answer):
    """One backtest in a list."""

    backtest_id: str
    strategy: str | None
    parameters: dict[str, Any] | None
    symbols: list[str] | None
    state: State
    progress: ProgressOut | None = Field(None, description="Of a running one.")
    requested_by: str | None
    requested_at: UtcTime | None
    finished_at: UtcTime | None = None
    canceled_by: str | None = None
    error: str | None = None
    code_hash: str | None = None
    bars: int | None = None
    data_digest: str | None = None
    result_hash: str | None = Field(None, description="The same request on the same bars gives the same hash.")
    metrics: dict[str, float | None] | None = None
    confidence: dict[str, tuple[float, float]] | None = Field(None, description="95 % intervals of the main figures.")
    by_symbol: list[dict[str, Any]] | None = None
    sources: list[str] | None = None
    warnings: list[str] | None = Field(None, description="What a reader must know before believing the figures.")


class BacktestOut(SummaryOut):
    """Everything that is known of one backtest."""

    request: dict[str, Any] | None = None
    fills: list[dict[str, Any]] | None = None
    round_trips: list[dict[str, Any]] | None = None
    equity: list[tuple[UtcTime, float]] | None = None
    benchmark: list[float] | None = Field(None, description="Of the same times as `equity`.")
    prices: list[dict[str, Any]] | None = None


class ComparisonOut(Answer):
    """Backtests side by side."""

    items: list[SummaryOut]
    metrics: dict[str, dict[str, float | None]] = Field(description="Metric -> backtest id -> value.")


class Backtests:
    """Routes about backtests."""

    def __init__(self, front: Front, progress: Latest[BacktestProgress], pinned: Pinned) -> None:
        self._front = front
        self._pinned = pinned
        self._progress = progress
        self._requested: OrderedDict[str, BacktestRequested] = OrderedDict()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["backtests"])
        router.post("/backtests", status_code=202, summary="Request a backtest")(self.request)
        router.get("/backtests", summary="Backtests, the latest request first", response_model=Page[SummaryOut])(
            self.list_backtests
        )
        router.get("/backtests/compare", summary="Backtests side by side")(self.compare)
        router.get(
            "/backtests/{backtest_id}", summary="One backtest: progress, then result", response_model=BacktestOut
        )(self.show)
        html: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}}}
        router.get(
            "/backtests/{backtest_id}/report", summary="The result as one page", response_class=Response, responses=html
        )(self.report)
        router.delete("/backtests/{backtest_id}", status_code=202, summary="Cancel")(self.cancel)
        return router

    async def request(self, caller: Trader, body: BacktestIn, response: Response) -> Accepted:
        """Publishes the request; `location` tells progress and result."""
        order_of_times(body.start, body.end)
        now = self._front.service.clock.now()
        request = BacktestRequested(
            event_time=now,
            ingest_time=now,
            backtest_id=self._front.service.entropy.new_id(),
            requested_by=caller.label,
            code_sha256=await self._pinned(body.strategy, body.parameters),
            **body.model_dump(exclude={"bar_size"}),
            bar_size=body.bar_size,
        )
        await asyncio.to_thread(_refuse_impossible, request)
        await self._front.changes.make(caller, Change("POST /backtests", request.backtest_id, after=body), [request])
        self._requested[request.backtest_id] = request
        if len(self._requested) > _REMEMBERED_MAX:
            self._requested.popitem(last=False)
        response.headers["Location"] = location = f"/backtests/{request.backtest_id}"
        return Accepted(id=request.backtest_id, location=location)

    async def list_backtests(
        self,
        caller: Viewer,
        strategy: Annotated[str | None, Query(max_length=128)] = None,
        state: Literal["requested", "done", "failed", "canceled"] | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        async with self._front.reading() as connection:
            rows = await queries.backtest_page(connection, Slice(limit, offset), strategy=strategy, state=state)
        return page([picked(SummaryOut, self._with_progress(dict(row))) for row in rows], limit, offset)

    async def compare(
        self,
        caller: Viewer,
        ids: Annotated[list[str], Query(min_length=1, max_length=COMPARED_MAX, description="Repeat, or use commas.")],
    ) -> ComparisonOut:
        wanted = list(dict.fromkeys(each for group in ids for each in group.split(",") if each))
        if not 2 <= len(wanted) <= COMPARED_MAX:
            raise InvalidError(f"name 2 to {COMPARED_MAX} backtests in ids, not {len(wanted)}")
        async with self._front.reading() as connection:
            rows = await queries.backtest_summaries(connection, wanted)
        found = {row["backtest_id"]: SummaryOut.model_validate(dict(row)) for row in rows}
        if missing := [each for each in wanted if each not in found]:
            raise NotFoundError(f"no backtest {', '.join(missing)}: GET /backtests lists them")
        items = [found[each] for each in wanted]
        names = dict.fromkeys(name for item in items for name in item.metrics or {})
        metrics = {name: {item.backtest_id: (item.metrics or {}).get(name) for item in items} for name in names}
        return ComparisonOut(items=items, metrics=metrics)

    async def show(self, caller: Viewer, backtest_id: BacktestId) -> Response:
        row = self._with_progress(await self._row(backtest_id))
        equity = [(moment.replace("+00:00", "Z"), value) for moment, value in row.get("equity") or ()]
        return answer(picked(BacktestOut, row, equity=equity or None))

    async def report(self, caller: Viewer, backtest_id: BacktestId) -> Response:
        """One page that needs nothing else: save it, send it."""
        row = await self._row(backtest_id)
        if row["state"] != "done":
            raise ConflictError(f"the backtest is {row['state']}: there is a report once it is done")
        html = await asyncio.to_thread(_report_of, row)
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY})

    async def cancel(self, caller: Trader, backtest_id: BacktestId, response: Response) -> Accepted:
        """Nobody wants the result any more."""
        row = await self._row(backtest_id)
        if row["state"] != "requested":
            raise ConflictError(f"the backtest is {row['state']} already")
        now = self._front.service.clock.now()
        event = BacktestCanceled(event_time=now, ingest_time=now, backtest_id=backtest_id, by=caller.label)
        change = Change("DELETE /backtests/{backtest_id}", backtest_id, after=event)
        await self._front.changes.make(caller, change, [event])
        response.headers["Location"] = location = f"/backtests/{backtest_id}"
        return Accepted(id=backtest_id, location=location)

    async def _row(self, backtest_id: str) -> dict[str, Any]:
        """What the table holds; what was requested here a moment ago may not be there yet."""
        async with self._front.reading() as connection:
            row = await queries.backtest(connection, backtest_id)
        if row is not None:
            return dict(row)
        request = self._requested.get(backtest_id)
        if request is None:
            raise NotFoundError(f"no backtest {backtest_id!r}: GET /backtests lists them")
        return {
            "backtest_id": backtest_id,
            "strategy": request.strategy,
            "parameters": request.parameters,
            "symbols": list(request.symbols),
            "state": "requested",
            "requested_by": request.requested_by,
            "requested_at": request.ingest_time,
            "request": request.model_dump(mode="json"),
        }

    def _with_progress(self, row: dict[str, Any]) -> dict[str, Any]:
        progress = self._progress.get(row["backtest_id"])
        if progress is None or row["state"] != "requested":
            return row
        return {**row, "state": "running", "progress": ProgressOut.model_validate(progress).model_dump()}


def _refuse_impossible(request: BacktestRequested) -> None:
    """Say now what the backtester would say later."""
    from engine.answer import check  # loads the engine, hence not at import

    try:
        check(request)
    except ValueError as error:
        raise InvalidError(str(error)) from error


def _report_of(row: dict[str, Any]) -> str:
    from engine import report  # loads the engine, hence not at import

    return report.page(_finished(row))


def _finished(row: dict[str, Any]) -> BacktestFinished:
    """The event that the row was made from."""
    request = BacktestRequested.model_validate(row["request"])
    finished_at: datetime = row["finished_at"]
    kept = {name: row[name] for name in BacktestFinished.model_fields if row.get(name) is not None}
    return BacktestFinished.model_validate(
        {**kept, "request": request, "event_time": finished_at, "ingest_time": finished_at}
    )
