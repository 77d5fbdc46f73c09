"""Searches for parameters: request, follow, read, cancel."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from consumers.api.access import Trader, Viewer
from consumers.api.backtests import BacktestIn, State
from consumers.api.catalog import Declared, StrategyCatalog
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import Accepted, Answer, Body, Limit, Offset, Page, order_of_times
from consumers.api.problems import ConflictError, InvalidError, NotFoundError
from consumers.api.remembered import Remembered
from consumers.api.rows import answer, page, picked
from consumers.api.views import Latest
from infra.store import optimizations
from infra.store.queries import Slice
from schemas.backtest import BacktestRequested
from schemas.event import UtcTime
from schemas.research import (
    TRIALS_MAX,
    Method,
    OptimizationCanceled,
    OptimizationFinished,
    OptimizationProgress,
    OptimizationRequested,
)

_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)

OptimizationId = Annotated[str, Path(min_length=1, max_length=128)]
Range = Annotated[str, Field(min_length=1, max_length=1000)]


class WalkForwardIn(Body):
    """Search in one window, test on what follows, move on. Lengths in sessions."""

    kind: Literal["anchored", "rolling"] = "rolling"
    train: int = Field(504, strict=True, ge=20, le=100_000)
    test: int = Field(126, strict=True, ge=5, le=100_000)
    gap: int = Field(0, strict=True, ge=0, le=10_000, description="Sessions left out between the two.")


class OptimizationIn(Body):
    """What to search. `backtest` is what every parameter set is run as; its parameters are those that stay."""

    backtest: BacktestIn = Field(examples=[{"strategy": "moving_average_crossover", "symbols": ["AAPL"]}])
    axes: list[Range] = Field(min_length=1, max_length=50, examples=[["fast=5:50:5", "slow=20:200:10"]])
    constraints: list[Range] = Field(default_factory=list, max_length=50, examples=[["fast < slow"]])
    method: Method = "grid"
    objectives: list[Range] = Field(["sharpe"], min_length=1, max_length=4)
    trials: int | None = Field(
        None, strict=True, ge=1, le=TRIALS_MAX, description="At most; null: the whole grid, or 100."
    )
    seed: int = Field(1, strict=True, ge=0, lt=2**32)
    batch: int = Field(
        16, strict=True, ge=1, le=1000, description="Chosen at once; the population of nsga2 and genetic."
    )
    prune: bool = Field(False, strict=True)
    walk_forward: WalkForwardIn | None = None
    holdout: float = Field(
        0.0, strict=True, ge=0, le=0.8, allow_inf_nan=False, description="The last part, never searched."
    )
    read_holdout: bool = Field(
        False, strict=True, description="Look at that part with the best set: this goes on record."
    )


class SearchProgressOut(Answer):
    """How far the search is; runs over all folds."""

    phase: str
    done: int
    total: int
    eta_seconds: float | None
    best: float | None


class SearchSummaryOut(Answer):
    """One search in a list."""

    optimization_id: str
    strategy: str | None
    symbols: list[str] | None
    method: str | None
    state: State
    progress: SearchProgressOut | None = Field(None, description="Of a running one.")
    requested_by: str | None
    requested_at: UtcTime | None
    finished_at: UtcTime | None = None
    canceled_by: str | None = None
    error: str | None = None
    code_hash: str | None = None
    data_digest: str | None = None
    trials_hash: str | None = Field(None, description="The same request on the same bars gives the same.")
    seconds: float | None = None
    warnings: list[str] | None = None


class SearchOut(SearchSummaryOut):
    """Everything that is known of one search."""

    request: dict[str, Any] | None = None
    result: dict[str, Any] | None = Field(None, description="docs/optimisation.md tells what is in it.")


class Optimizations:
    """Routes about searches."""

    def __init__(self, front: Front, progress: Latest[OptimizationProgress], catalog: StrategyCatalog) -> None:
        self._front = front
        self._progress = progress
        self._catalog = catalog
        self._requested: Remembered[OptimizationRequested] = Remembered()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["optimizations"])
        router.post("/optimizations", status_code=202, summary="Search a strategy's parameters")(self.request)
        router.get(
            "/optimizations", summary="Searches, the latest request first", response_model=Page[SearchSummaryOut]
        )(self.list_searches)
        one = "/optimizations/{optimization_id}"
        router.get(one, summary="One search: progress, then result", response_model=SearchOut)(self.show)
        router.get(one + "/progress", summary="How far a search is", response_model=SearchSummaryOut)(self.progress)
        html: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}}}
        router.get(one + "/report", summary="The result as one page", response_class=Response, responses=html)(
            self.report
        )
        router.post(one + "/cancel", status_code=202, summary="Cancel a search")(self.cancel)
        return router

    async def request(self, caller: Trader, body: OptimizationIn, response: Response) -> Accepted:
        """Publishes the request; `location` tells progress and result."""
        with _named("backtest"):
            order_of_times(body.backtest.start, body.backtest.end)
            code = await self._catalog.pinned(body.backtest.strategy, body.backtest.parameters)
        request = self._event(caller.label, body, code)
        declared = await self._catalog.declared(body.backtest.strategy) if code else None
        await asyncio.to_thread(_refuse_impossible, request, declared)
        name = request.optimization_id
        await self._front.changes.make(caller, Change("POST /optimizations", name, after=body), [request])
        self._requested[name] = request
        response.headers["Location"] = location = f"/optimizations/{name}"
        return Accepted(id=name, location=location)

    def _event(self, label: str, body: OptimizationIn, code_sha256: str) -> OptimizationRequested:
        now, name = self._front.service.clock.now(), self._front.service.entropy.new_id()
        times = {"event_time": now, "ingest_time": now, "requested_by": label}
        backtest = BacktestRequested(
            **times,
            backtest_id=name,
            code_sha256=code_sha256,
            **body.backtest.model_dump(exclude={"bar_size"}),
            bar_size=body.backtest.bar_size[0],
            larger_bar_sizes=body.backtest.bar_size[1:],
        )
        try:
            return OptimizationRequested(
                **times, optimization_id=name, backtest=backtest, **body.model_dump(exclude={"backtest"})
            )
        except ValueError as error:
            raise InvalidError(str(error).partition("Value error, ")[2].partition(" [")[0]) from error

    async def list_searches(
        self,
        caller: Viewer,
        strategy: Annotated[str | None, Query(max_length=128)] = None,
        state: Literal["requested", "done", "failed", "canceled"] | None = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        async with self._front.reading() as connection:
            rows = await optimizations.optimization_page(
                connection, Slice(limit, offset), strategy=strategy, state=state
            )
        return page([picked(SearchSummaryOut, self._with_progress(dict(row))) for row in rows], limit, offset)

    async def show(self, caller: Viewer, optimization_id: OptimizationId) -> Response:
        return answer(picked(SearchOut, self._with_progress(await self._row(optimization_id))))

    async def progress(self, caller: Viewer, optimization_id: OptimizationId) -> Response:
        return answer(picked(SearchSummaryOut, self._with_progress(await self._row(optimization_id))))

    async def report(self, caller: Viewer, optimization_id: OptimizationId) -> Response:
        """One page that needs nothing else: save it, send it."""
        row = await self._row(optimization_id)
        if row["state"] != "done":
            raise ConflictError(f"the search is {row['state']}: there is a report once it is done")
        html = await asyncio.to_thread(_report_of, row)
        return Response(html, media_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY})

    async def cancel(self, caller: Trader, optimization_id: OptimizationId, response: Response) -> Accepted:
        """Nobody wants the result any more. What was run stays in the ledger."""
        row = await self._row(optimization_id)
        if row["state"] != "requested":
            raise ConflictError(f"the search is {row['state']} already")
        now = self._front.service.clock.now()
        event = OptimizationCanceled(event_time=now, ingest_time=now, optimization_id=optimization_id, by=caller.label)
        change = Change("POST /optimizations/{optimization_id}/cancel", optimization_id, after=event)
        await self._front.changes.make(caller, change, [event])
        response.headers["Location"] = location = f"/optimizations/{optimization_id}"
        return Accepted(id=optimization_id, location=location)

    async def _row(self, optimization_id: str) -> dict[str, Any]:
        """What the table holds; what was requested here a moment ago may not be there yet."""
        async with self._front.reading() as connection:
            row = await optimizations.optimization(connection, optimization_id)
        if row is not None:
            return dict(row)
        request = self._requested.get(optimization_id)
        if request is None:
            raise NotFoundError(f"no search {optimization_id!r}: GET /optimizations lists them")
        return {
            "optimization_id": optimization_id,
            "strategy": request.backtest.strategy,
            "symbols": list(request.backtest.symbols),
            "method": request.method,
            "state": "requested",
            "requested_by": request.requested_by,
            "requested_at": request.ingest_time,
            "request": request.model_dump(mode="json"),
        }

    def _with_progress(self, row: dict[str, Any]) -> dict[str, Any]:
        progress = self._progress.get(row["optimization_id"])
        if progress is None or row["state"] != "requested":
            return row
        return {**row, "state": "running", "progress": SearchProgressOut.model_validate(progress).model_dump()}


@contextmanager
def _named(field: str) -> Iterator[None]:
    """Say which field of the body a refusal is about."""
    try:
        yield
    except InvalidError as error:
        raise InvalidError(f"{field}: {error}") from error
    except ValueError as error:
        raise InvalidError(f"{field}: {error}") from error


def _refuse_impossible(request: OptimizationRequested, declared: Declared | None) -> None:
    """Say now what the backtester would say later; of an uploaded strategy what its schema tells."""
    from engine.answer import check  # loads the engine, hence not at import
    from engine.research.constraints import ConstraintError
    from engine.research.evaluation import ObjectiveError
    from engine.research.request import allowed_by, declared_by, plan_of

    with _named("backtest"):
        if request.backtest.basis == "raw":
            raise ValueError("basis: a search runs on adjusted prices, raw ones are for a single backtest")
        if request.backtest.larger_bar_sizes:
            raise ValueError("bar_size: a search runs on bars of one size, several are for a single backtest")
        check(request.backtest)
    try:
        if declared is not None:
            plan_of(request, declared_by(declared.defaults, declared.parameter_schema))
        elif not request.backtest.code_sha256:
            plan_of(request, allowed_by(request.backtest.strategy))
    except ConstraintError as error:
        raise InvalidError(f"constraints: {error}") from error
    except ObjectiveError as error:
        raise InvalidError(f"objectives: {error}") from error
    except ValueError as error:
        raise InvalidError(f"axes: {error}") from error


def _report_of(row: dict[str, Any]) -> str:
    from engine.research.page import page as report_page  # loads the engine, hence not at import

    kept = {name: row[name] for name in OptimizationFinished.model_fields if row.get(name) is not None}
    times = {"event_time": row["finished_at"], "ingest_time": row["finished_at"]}
    return report_page(OptimizationFinished.model_validate({**kept, **times}))
