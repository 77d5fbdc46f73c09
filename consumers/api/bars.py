"""Stored bars of a symbol, page by page, as JSON or CSV."""

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import Field
from starlette.responses import Response

from consumers.api.access import Viewer
from consumers.api.front import Front
from consumers.api.models import Answer, BarSize, Limit, Moment, order_of_times
from consumers.api.names import Names
from consumers.api.problems import NotFoundError
from consumers.api.rows import answer, fields, told
from consumers.api.symbols import SymbolPath
from infra.bar_files import CSV_HEADER
from infra.bar_moments import bar_size_text
from infra.store import queries
from infra.store.bar_pages import BarRange, bar_page, newest_start
from schemas.event import UtcTime
from schemas.market import Basis, PriceKind, Source


class HistoryBar(Answer):
    """One bar, its newest revision as known then."""

    start: UtcTime
    end: UtcTime = Field(description="When the bar closed; a daily bar's is the session's close.")
    open: float
    high: float
    low: float
    close: float
    volume: float
    source: Source
    revision: int
    late: bool


class BarOut(HistoryBar):
    """One bar as it is stored."""

    price_kind: PriceKind
    basis: Basis


class BarsOut(Answer):
    """A page of bars, oldest first."""

    symbol: str
    contract_id: int
    bar_size: str
    items: list[BarOut]
    next_start: UtcTime | None = Field(description="`start` of the next page; null when there is none.")
    previous_end: UtcTime | None = Field(description="`end` of the page before; null when there is none, or unknown.")


class Bars:
    """Routes about stored bars."""

    def __init__(self, front: Front, names: Names) -> None:
        self._front = front
        self._names = names

    def router(self) -> APIRouter:
        router = APIRouter(tags=["bars"])
        csv_too: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {}}}}
        router.get("/bars/{symbol}", summary="Stored bars", response_model=BarsOut, responses=csv_too)(self.show)
        return router

    async def show(
        self,
        caller: Viewer,
        symbol: SymbolPath,
        bar_size: Annotated[BarSize, Query(description="5s, 1m, 1h, 1d ...")] = timedelta(days=1),
        start: Moment = None,
        end: Moment = None,
        source: Source | None = None,
        price_kind: Annotated[PriceKind, Query(description="Prices of trades, or of quotes.")] = PriceKind.TRADES,
        basis: Annotated[Basis, Query(description="What stored prices are adjusted for.")] = Basis.SPLIT_ADJUSTED,
        as_of: Annotated[Moment, Query(description="Only what was known at this moment.")] = None,
        limit: Limit = 500,
        format: Annotated[Literal["json", "csv"], Query()] = "json",  # noqa: A002 - what the address calls it
    ) -> Response:
        """From `start` on, `start` included and `end` not; without `start` the newest bars before `end`."""
        order_of_times(start, end)
        contract = await self._names.contract(symbol)
        wanted = BarRange(
            contract.contract_id, int(bar_size.total_seconds()), start, end, source, as_of, price_kind, basis
        )
        row = await self._row(wanted, limit)
        if row is None or not row["json"]:
            await self._refuse_missing(symbol, wanted)
        found = _page(contract.symbol, wanted, row, limit)
        return _as_csv(found) if format == "csv" else answer({**found, "items": told(found["items"])})

    async def _row(self, wanted: BarRange, limit: int) -> Any:
        if wanted.start is not None and wanted.end is None:
            # to know where the series ends spares PostgreSQL a look into the partitions of all years to come
            newest = (await self._front.ask(newest_start(wanted)))["start"]
            if newest is None:
                return None
            wanted = replace(wanted, end=newest + timedelta.resolution)
        return await self._front.ask(bar_page(wanted, fields(BarOut), limit))

    async def _refuse_missing(self, symbol: str, wanted: BarRange) -> None:
        async with self._front.reading() as connection:
            sizes = await queries.bar_sizes(connection, wanted.contract_id)
        if wanted.bar_size_seconds not in sizes:
            stored, size = ", ".join(map(_size_text, sizes)) or "none at all", _size_text(wanted.bar_size_seconds)
            raise NotFoundError(
                f"no bars of {size} for {symbol}; stored sizes: {stored}; POST /collections brings more"
            )


def _size_text(seconds: int) -> str:
    return bar_size_text(timedelta(seconds=seconds))


def _page(symbol: str, wanted: BarRange, row: Any, limit: int) -> dict[str, Any]:
    """What `BarsOut` declares, its items still text."""
    items, starts = (row["json"], row["start"]) if row is not None else ([], [])
    more = len(items) > limit
    forward = wanted.start is not None
    return {
        "symbol": symbol,
        "contract_id": wanted.contract_id,
        "bar_size": _size_text(wanted.bar_size_seconds),
        "items": items[:limit] if forward else items[:limit][::-1],
        "next_start": starts[limit] if more and forward else None,
        "previous_end": starts[limit - 1] if more and not forward else None,
    }


def _as_csv(found: Mapping[str, Any]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for bar in map(orjson.loads, found["items"]):
        writer.writerow((bar["start"], *(float(bar[name]) for name in CSV_HEADER[1:])))
    places = {"X-Next-Start": found["next_start"], "X-Previous-End": found["previous_end"]}
    headers = {name: start.isoformat() for name, start in places.items() if start is not None}
    return PlainTextResponse(text.getvalue(), media_type="text/csv", headers=headers)
