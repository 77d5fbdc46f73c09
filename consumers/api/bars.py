"""Stored bars of a symbol, page by page, as JSON or CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from fastapi.responses import PlainTextResponse
from pydantic import Field
from sqlalchemy import RowMapping
from starlette.responses import Response

from consumers.api.access import Viewer
from consumers.api.front import Front
from consumers.api.models import Answer, BarSize, Limit, Moment, order_of_times
from consumers.api.names import Names
from consumers.api.problems import NotFoundError
from consumers.api.rows import answer
from consumers.api.symbols import SymbolPath
from infra.bar_files import CSV_HEADER
from infra.bar_moments import bar_size_text
from infra.store import queries
from infra.store.queries import BarRange
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


_FIELDS = tuple(BarOut.model_fields)
_values = itemgetter(*_FIELDS)


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
    ) -> Any:
        """From `start` on, `start` included and `end` not; without `start` the newest bars before `end`."""
        order_of_times(start, end)
        contract = await self._names.contract(symbol)
        wanted = BarRange(
            contract.contract_id, int(bar_size.total_seconds()), start, end, source, as_of, price_kind, basis
        )
        async with self._front.reading() as connection:
            rows = await queries.bar_page(connection, wanted, limit)
            sizes = [] if rows else await queries.bar_sizes(connection, contract.contract_id)
        if not rows and wanted.bar_size_seconds not in sizes:
            stored = ", ".join(bar_size_text(timedelta(seconds=each)) for each in sizes) or "none at all"
            raise NotFoundError(
                f"no bars of {bar_size_text(bar_size)} for {symbol}; stored sizes: {stored}; "
                "POST /collections brings more"
            )
        found = _page(contract.symbol, wanted, rows, limit)
        return _as_csv(found) if format == "csv" else answer(found)


def _page(symbol: str, wanted: BarRange, rows: Sequence[RowMapping], limit: int) -> dict[str, Any]:
    """What `BarsOut` declares."""
    more = len(rows) > limit
    forward = wanted.start is not None
    shown = rows[:limit] if forward else rows[:limit][::-1]
    return {
        "symbol": symbol,
        "contract_id": wanted.contract_id,
        "bar_size": bar_size_text(timedelta(seconds=wanted.bar_size_seconds)),
        "items": [dict(zip(_FIELDS, _values(row), strict=True)) for row in shown],
        "next_start": rows[limit]["start"] if more and forward else None,
        "previous_end": shown[0]["start"] if more and not forward else None,
    }


def _as_csv(found: Mapping[str, Any]) -> Response:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    for bar in found["items"]:
        moment = bar["start"].isoformat().replace("+00:00", "Z")
        writer.writerow((moment, *(bar[name] for name in CSV_HEADER[1:])))
    places = {"X-Next-Start": found["next_start"], "X-Previous-End": found["previous_end"]}
    headers = {name: start.isoformat() for name, start in places.items() if start is not None}
    return PlainTextResponse(text.getvalue(), media_type="text/csv", headers=headers)
