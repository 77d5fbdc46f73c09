"""Backtests: request, list, show, cancel."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal

import orjson
from fastapi import APIRouter, Header, Path, Query, Response
from pydantic import AfterValidator, Field

from consumers.api.access import Caller, Trader, Viewer
from consumers.api.changes import Change
from consumers.api.front import Front
from consumers.api.models import (
    Accepted,
    Answer,
    BarSizes,
    Body,
    Limit,
    Offset,
    Page,
    SymbolNames,
    Time,
    order_of_times,
)
from consumers.api.problems import ConflictError, InvalidError, NotFoundError, TooManyError
from consumers.api.remembered import Remembered
from consumers.api.rows import answer, fields, page, picked, told
from consumers.api.views import Latest
from infra.errors import UsageError
from infra.store import backtest_queries, queries
from infra.store.backtest_queries import Wanted
from infra.store.queries import Slice
from infra.symbol_names import parse_symbol
from schemas.backtest import NO_BENCHMARK, BacktestCanceled, BacktestProgress, BacktestRequested
from schemas.event import Name, UtcTime

_IDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:backtests")
_OF_THE_MOMENT = {"event_time", "ingest_time", "code_sha256"}

BacktestId = Annotated[str, Path(min_length=1, max_length=128)]
Pinned = Callable[[str, Mapping[str, Any]], Awaitable[str]]
"""Which text a strategy's name means from now on; empty for what comes with SCIZOR."""
IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=8,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="A fresh text for each new backtest, sent again when the request is repeated: from the same caller "
        "the same text with the same body gives the same backtest, never a second one; with another body 409.",
    ),
]
State = Literal["requested", "running", "done", "failed", "canceled"]


def _benchmark(given: str) -> str:
    if given in ("", NO_BENCHMARK):
        return given
    try:
        return str(parse_symbol(given))
    except UsageError as error:
        raise ValueError(str(error)) from error


class BacktestIn(Body):
    """What to replay through which strategy. Times are market time; without them all bars there are."""

    strategy: Name = Field(examples=["moving_average_crossover"])
    parameters: dict[str, Any] = Field(default_factory=dict, examples=[{"fast": 20, "slow": 50}])
    symbols: SymbolNames
    bar_size: BarSizes = Field(
        (timedelta(days=1),),
        examples=["1d"],
        description="One size, or several as a list: orders fill in the smallest, a strategy's frames are made of the "
        "others, each bar seen once it has closed.",
    )
    start: Time | None = None
    end: Time | None = None
    source: Literal["topic", "database"] = "topic"
    basis: Literal["split_adjusted", "raw"] = Field(
        "split_adjusted", description="Raw prices come with the splits and dividends that are known."
    )
    benchmark: Annotated[str, Field(max_length=64), AfterValidator(_benchmark)] = Field(
        "", description="A symbol that is bought and held beside; `none`; empty: the symbols themselves."
    )
    rules: dict[str, str | float] = Field(
        default_factory=dict,
        max_length=40,
        description="docs/backtests.md names them.",
        examples=[{"fill": "next_open"}],
    )
    cash: float = Field(100_000.0, gt=0, le=1e12, allow_inf_nan=False)
    quantity: float = Field(100.0, gt=0, le=1e9, allow_inf_nan=False, description="Shares of a full-strength position.")
    commission_bps: float = Field(10.0, ge=0, le=1000, allow_inf_nan=False)
    slippage_bps: float = Field(0.0, ge=0, le=1000, allow_inf_nan=False)


class ProgressOut(Answer):
    """How far the replay has come."""

    phase: str
    bars_done: int
    bars_total: int
    eta_seconds: float | None = Field(None, description="At the rate so far; null while nobody can say.")


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


class Backtests:
    """Routes about backtests."""

    def __init__(self, front: Front, progress: Latest[BacktestProgress], pinned: Pinned) -> None:
        self._front = front
        self._pinned = pinned
        self._progress = progress
        self._requested: Remembered[BacktestRequested] = Remembered()
        self._one_at_a_time = asyncio.Lock()

    def router(self) -> APIRouter:
        router = APIRouter(tags=["backtests"])
        router.post("/backtests", status_code=202, summary="Request a backtest")(self.request)
        router.get("/backtests", summary="Backtests, the latest request first", response_model=Page[SummaryOut])(
            self.list_backtests
        )
        one = "/backtests/{backtest_id}"
        router.get(one, summary="One backtest: progress, then result", response_model=BacktestOut)(self.show)
        router.delete(one, status_code=202, summary="Cancel")(self.delete)
        router.post(one + "/cancel", status_code=202, summary="Cancel", operation_id="cancel_backtest")(self.cancel)
        return router

    async def request(
        self, caller: Trader, body: BacktestIn, response: Response, idempotency_key: IdempotencyKey = None
    ) -> Accepted:
        """Publishes the request; `location` tells progress and result."""
        order_of_times(body.start, body.end)
        now, entropy = self._front.service.clock.now(), self._front.service.entropy
        name = entropy.new_id() if idempotency_key is None else _id_of(caller, idempotency_key)
        request = BacktestRequested(
            event_time=now,
            ingest_time=now,
            backtest_id=name,
            requested_by=caller.label,
            code_sha256=await self._pinned(body.strategy, body.parameters),
            **body.model_dump(exclude={"bar_size"}),
            bar_size=body.bar_size[0],
            larger_bar_sizes=body.bar_size[1:],
        )
        async with self._one_at_a_time:
            known = None if idempotency_key is None else await self._known(name)
            if known is None:
                await asyncio.to_thread(_refuse_impossible, request)
                await self._refuse_too_many(caller)
                await self._publish(caller, body, request)
            elif not _asks_the_same(request, known):
                raise ConflictError("this Idempotency-Key was used for another backtest: take a fresh one for each")
        response.headers["Location"] = location = f"/backtests/{name}"
        return Accepted(id=name, location=location)

    async def _publish(self, caller: Caller, body: BacktestIn, request: BacktestRequested) -> None:
        change = Change("POST /backtests", request.backtest_id, after=body)
        await self._front.changes.make(caller, change, [request])
        self._requested[request.backtest_id] = request

    async def _known(self, backtest_id: str) -> BacktestRequested | None:
        """What was asked for under this id before: by this process, or by an earlier one."""
        if asked := self._requested.get(backtest_id):
            return asked
        async with self._front.reading() as connection:
            row = await queries.backtest(connection, backtest_id)
        return BacktestRequested.model_validate(row["request"]) if row and row["request"] else None

    async def _refuse_too_many(self, caller: Caller) -> None:
        """What was asked for here a moment ago may not be in the table yet: it counts too."""
        mine = {name for name, each in self._requested.items() if each.requested_by == caller.label}
        async with self._front.reading() as connection:
            states = await backtest_queries.states_of(connection, caller.label, mine)
        still = {name for name in {*mine, *states} if states.get(name, "requested") == "requested"}
        if len(still) >= (most := self._front.service.settings.backtests_open_max):
            raise QuotaError(f"this key has {len(still)} backtests open, and may have {most}: wait, or cancel some")

    async def list_backtests(
        self,
        caller: Viewer,
        strategy: Annotated[str | None, Query(max_length=128)] = None,
        state: Literal["requested", "done", "failed", "canceled"] | None = None,
        symbol: Annotated[str | None, Query(max_length=64)] = None,
        requested_by: Annotated[str | None, Query(max_length=128, description="The label of a key.")] = None,
        limit: Limit = 100,
        offset: Offset = 0,
    ) -> Response:
        wanted = Wanted(strategy, state, str(parse_symbol(symbol)) if symbol else None, requested_by)
        row = await self._front.ask(backtest_queries.backtest_page(Slice(limit, offset), wanted, fields(SummaryOut)))
        return page(self._told(row), limit, offset)

    async def show(self, caller: Viewer, backtest_id: BacktestId) -> Response:
        found = self._told(await self._front.ask(backtest_queries.backtest(backtest_id, fields(BacktestOut))))
        return answer(found[0]) if found else whole(self.with_progress(await self.row(backtest_id)))

    def _told(self, row: Any) -> list[Any]:
        """As PostgreSQL has written them; those that run with their progress."""
        found: list[Any] = told(row["json"])
        for number, (name, state) in enumerate(zip(row["backtest_id"], row["state"], strict=True)):
            if state == "requested" and self._progress.get(name) is not None:
                found[number] = self.with_progress(orjson.loads(row["json"][number]))
        return found

    async def cancel(self, caller: Trader, backtest_id: BacktestId, response: Response) -> Accepted:
        """Nobody wants the result any more."""
        return await self._cancel(caller, "POST /backtests/{backtest_id}/cancel", backtest_id, response)

    async def delete(self, caller: Trader, backtest_id: BacktestId, response: Response) -> Accepted:
        """Nobody wants the result any more."""
        return await self._cancel(caller, "DELETE /backtests/{backtest_id}", backtest_id, response)

    async def _cancel(self, caller: Caller, called: str, backtest_id: str, response: Response) -> Accepted:
        row = await self.row(backtest_id)
        if row["state"] != "requested":
            raise ConflictError(f"the backtest is {row['state']} already")
        now = self._front.service.clock.now()
        event = BacktestCanceled(event_time=now, ingest_time=now, backtest_id=backtest_id, by=caller.label)
        change = Change(called, backtest_id, after=event)
        await self._front.changes.make(caller, change, [event])
        response.headers["Location"] = location = f"/backtests/{backtest_id}"
        return Accepted(id=backtest_id, location=location)

    async def row(self, backtest_id: str) -> dict[str, Any]:
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

    def with_progress(self, row: dict[str, Any]) -> dict[str, Any]:
        progress = self._progress.get(row["backtest_id"])
        if progress is None or row["state"] != "requested":
            return row
        return {**row, "state": "running", "progress": ProgressOut.model_validate(progress).model_dump()}


def whole(row: Mapping[str, Any]) -> Response:
    """Everything that a row tells."""
    equity = [(moment.replace("+00:00", "Z"), value) for moment, value in row.get("equity") or ()]
    return answer(picked(BacktestOut, row, equity=equity or None))


class QuotaError(TooManyError):
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "10"}


def _id_of(caller: Caller, key: str) -> str:
    return str(uuid.uuid5(_IDS, f"{caller.key_id}\0{key}"))


def _asks_the_same(asked: BacktestRequested, known: BacktestRequested) -> bool:
    """Apart from when, and from which version of an uploaded text was the newest then."""
    return asked.model_dump(exclude=_OF_THE_MOMENT) == known.model_dump(exclude=_OF_THE_MOMENT)


def _refuse_impossible(request: BacktestRequested) -> None:
    """Say now what the backtester would say later."""
    from engine.answer import check  # loads the engine, hence not at import

    try:
        check(request)
    except ValueError as error:
        raise InvalidError(str(error)) from error
