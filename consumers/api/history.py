"""Stored history of a symbol: any size it can be made of, in any basis, in any of four formats, however long."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import polars as pl
from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from consumers.api.access import Viewer
from consumers.api.bars import HistoryBar
from consumers.api.front import Front
from consumers.api.models import Answer, BarSize, Moment, order_of_times
from consumers.api.problems import InvalidError, NotFoundError
from consumers.api.symbols import SymbolPath, known_contract
from infra.bar_files import WRITERS, ParquetWriter, Writer, typed
from infra.bar_moments import bar_size_text, first_moment, last_moment, zone_of
from infra.errors import UsageError
from infra.served_history import EMPTY, NoBarsError, Plan, WantedHistory, batches, plan_of
from schemas.corporate import CorporateAction
from schemas.event import UtcTime
from schemas.market import Basis, PriceKind, Source
from schemas.moments import to_datetime
from schemas.validation import Contract

ROWS_MAX = 10_000
_PAGE = 1000
"""Bars of a page of JSON, unless said."""
_READERS_MAX = 2
"""Long answers that are read from the database at a time: short ones find a connection beside them."""
_CURSOR = re.compile(r"(\d{1,17})\.(\d{1,17})")
_MEDIA = {"application/json": "json", "text/csv": "csv"} | {
    f"application/vnd.apache.{name}": kind
    for name, kind in (("parquet", "parquet"), ("arrow.stream", "arrow"), ("arrow.file", "arrow"))
}
_BASES = {"raw": Basis.RAW, "split": Basis.SPLIT_ADJUSTED, "total_return": Basis.TOTAL_RETURN}
_TEXT_MAX = 64

Format = Literal["json", "csv", "parquet", "arrow"]
Adjustment = Literal["raw", "split", "total_return"]
When = Annotated[
    str | None,
    Query(max_length=_TEXT_MAX, description="A day, month, year or moment, or so far back: 2013-02-28, 2013, 30d, 3y."),
]


class HistoryOut(Answer):
    """A page of bars, oldest first, and how they were made."""

    symbol: str
    contract_id: int
    bar_size: str
    made_from: str | None = Field(description="The stored size that the bars were made of; null when as stored.")
    adjustment: Adjustment
    stored_basis: Basis
    as_of: UtcTime = Field(description="What was known by then counts, on all pages of this answer.")
    warning: str = Field(description="Why the prices are not what was asked for; empty when they are.")
    actions: list[CorporateAction] = Field(description="Splits and dividends that the prices were computed with.")
    items: list[HistoryBar]
    next_cursor: str | None = Field(description="`cursor` of the next page; null on the last one.")


class History:
    """The route about history."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._readers = asyncio.Semaphore(_READERS_MAX)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["data"])
        content: dict[str, Any] = {media: {} for media in _MEDIA if media != "application/json"}
        router.get(
            "/data/historical/{symbol}",
            summary="Stored history in any size, basis and format",
            response_model=HistoryOut,
            responses={200: {"content": content}},
        )(self.show)
        return router

    async def show(
        self,
        request: Request,
        caller: Viewer,
        symbol: SymbolPath,
        bar_size: Annotated[BarSize, Query(description="5s, 1m, 1h, 1d ...")] = timedelta(days=1),
        start: When = None,
        end: When = None,
        adjustment: Adjustment = "split",
        price_kind: PriceKind = PriceKind.TRADES,
        source: Source | None = None,
        as_of: Annotated[Moment, Query(description="Only what was known at this moment.")] = None,
        format: Annotated[Format | None, Query(description="Else what `Accept` asks for, else JSON.")] = None,  # noqa: A002 - what the address calls it
        limit: Annotated[
            int | None,
            Query(ge=1, le=ROWS_MAX, description=f"Bars of a page; else {_PAGE} as JSON, all of them as a file."),
        ] = None,
        cursor: Annotated[
            str | None, Query(max_length=_TEXT_MAX, description="`next_cursor` of the page before.")
        ] = None,
    ) -> Response:
        """From `start` to `end` in the exchange's days, a day as `end` included; else all there is.

        JSON comes in pages. CSV, Arrow and Parquet hold all of it and are streamed, unless `limit` asks for a page:
        then the header `X-Next-Cursor` says where the next one begins. What JSON says in `warning` stands in the header
        `X-Warning` of the others.
        """
        contract = await known_contract(self._front, symbol)
        now = self._front.service.clock.now()
        wanted = WantedHistory(
            contract=contract,
            size_seconds=int(bar_size.total_seconds()),
            basis=_BASES[adjustment],
            known_by=as_of or now,
            price_kind=price_kind,
            source=source,
        )
        begin = None
        if cursor is not None:
            begin, known_by = _place(cursor)
            wanted = replace(wanted, known_by=known_by)
        async with self._front.reading() as connection:
            try:
                plan = await plan_of(connection, wanted, now)
            except NoBarsError as error:
                raise NotFoundError(str(error)) from error
        plan = _bounded(plan, contract, start, end)
        if begin is not None:
            plan = replace(plan, start=max(plan.start, begin))
        kind = format or _accepted(request.headers.get("accept", ""))
        if kind == "json":
            return await asyncio.to_thread(_as_json, plan, adjustment, *await self._page(plan, limit or _PAGE))
        if limit is None:
            return await self._file(plan, adjustment, kind, batches(plan, self._reading))
        bars, more = await self._page(plan, limit)
        return await self._file(plan, adjustment, kind, _only(bars), more)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        async with self._readers, self._front.reading() as connection:
            yield connection

    async def _page(self, plan: Plan, limit: int) -> tuple[pl.DataFrame, str | None]:
        """The first bars, and the cursor of those that follow, if any do."""
        parts: list[pl.DataFrame] = []
        rows_max = min(_rows_for(plan, limit + 1), 10 * ROWS_MAX)
        async for frame in batches(plan, self._reading, rows_max, ahead=False):
            parts.append(frame)
            if sum(map(len, parts)) > limit:
                break
        bars = pl.concat(parts) if parts else EMPTY
        more = f"{int(bars['start_us'][limit])}.{_us(plan.wanted.known_by)}" if len(bars) > limit else None
        return bars.head(limit), more

    async def _file(
        self, plan: Plan, adjustment: Adjustment, kind: str, found: AsyncIterator[pl.DataFrame], more: str | None = None
    ) -> Response:
        """The first batch is read before the answer begins: what goes wrong by then is told as a problem."""
        writer = WRITERS[kind](EMPTY)
        first = await anext(found, None)
        size = bar_size_text(timedelta(seconds=plan.wanted.size_seconds))
        name = f"{plan.wanted.contract.symbol}-{size}-{adjustment}.{kind}".replace("/", "-").replace(" ", "-")
        headers = {
            "X-Bar-Size": size,
            "X-Made-From": _made_from(plan) or size,
            "X-Adjustment": adjustment,
            "X-Stored-Basis": plan.series.basis,
            "X-As-Of": plan.wanted.known_by.isoformat(),
            "Content-Disposition": f'attachment; filename="{name}"',
        }
        if plan.warning:
            headers["X-Warning"] = plan.warning.encode("ascii", "backslashreplace").decode()
        if more is not None:
            headers["X-Next-Cursor"] = more
        return StreamingResponse(_written(writer, first, found), media_type=writer.media_type, headers=headers)


async def _only(bars: pl.DataFrame) -> AsyncIterator[pl.DataFrame]:
    yield bars


async def _written(
    writer: Writer, first: pl.DataFrame | None, rest: AsyncIterator[pl.DataFrame]
) -> AsyncIterator[bytes]:
    try:
        frame = first
        while frame is not None:
            if part := await asyncio.to_thread(writer.batch, frame):
                yield part
            frame = await anext(rest, None)
        pieces = writer.rest()
        while piece := await asyncio.to_thread(next, pieces, b""):
            yield piece
    finally:
        if isinstance(writer, ParquetWriter):
            writer.drop()


def _rows_for(plan: Plan, bars: int) -> int:
    """How many stored bars so many wanted ones are made of, about."""
    return bars * max(1, plan.wanted.size_seconds // plan.series.bar_size_seconds)


def _made_from(plan: Plan) -> str | None:
    return bar_size_text(timedelta(seconds=plan.series.bar_size_seconds)) if plan.is_aggregated else None


def _bounded(plan: Plan, contract: Contract, start: str | None, end: str | None) -> Plan:
    """The plan for the time that was asked for. What is counted back is counted from the end."""
    zone = zone_of(contract)
    try:
        until = last_moment("end", end, zone, plan.end) if end is not None else None
        since = first_moment("start", start, zone, until or plan.end) if start is not None else None
    except UsageError as error:
        raise InvalidError(str(error)) from error
    order_of_times(since, until)
    return replace(plan, start=since or plan.start, end=until or plan.end)


def _place(cursor: str) -> tuple[datetime, datetime]:
    """Where the next page begins, and what counts on it."""
    if (found := _CURSOR.fullmatch(cursor)) is None:
        raise InvalidError("cursor: pass on the `next_cursor` of the page before, as it is")
    try:
        return to_datetime(int(found[1])), to_datetime(int(found[2]))
    except OverflowError as error:
        raise InvalidError("cursor: pass on the `next_cursor` of the page before, as it is") from error


def _accepted(header: str) -> str:
    """The format that an Accept header likes best; JSON unless it names another one."""
    liked = []
    for number, part in enumerate(header.split(",")):
        media, *options = (each.strip().lower() for each in part.split(";"))
        quality = next((option[2:] for option in options if option.startswith("q=")), "1")
        if media in _MEDIA and re.fullmatch(r"[01](\.\d{0,3})?", quality):
            liked.append((-float(quality), number, _MEDIA[media]))
    return min(liked)[2] if liked else "json"


def _as_json(plan: Plan, adjustment: Adjustment, bars: pl.DataFrame, more: str | None) -> Response:
    """Bars are written by column; only what stands around them goes through the model."""
    around = HistoryOut(
        symbol=plan.wanted.contract.symbol,
        contract_id=plan.wanted.contract.contract_id,
        bar_size=bar_size_text(timedelta(seconds=plan.wanted.size_seconds)),
        made_from=_made_from(plan),
        adjustment=adjustment,
        stored_basis=Basis(plan.series.basis),
        as_of=plan.wanted.known_by,
        warning=plan.warning,
        actions=plan.actions,
        items=[],
        next_cursor=more,
    ).model_dump_json()
    moments = [pl.col(name).dt.to_string("%Y-%m-%dT%H:%M:%S%.fZ") for name in ("start", "end")]
    items = typed(bars).with_columns(moments).write_json()
    return Response(around.replace('"items":[]', f'"items":{items}', 1), media_type="application/json")


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
