"""How complete the stored bars are: by symbol, year and session."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from consumers.api.access import Viewer
from consumers.api.front import Front
from consumers.api.models import Answer, BarSize, Moment, Page, order_of_times, page_of
from consumers.api.problems import InvalidError
from consumers.api.symbols import SymbolPath, known_contract
from infra.bar_moments import bar_size_text
from infra.coverage import Coverage, Lack, Tally, coverage_of
from infra.store.covered import contracts_with_bars
from schemas.event import UtcTime

_SYMBOLS_MAX = 100
_FIRST_YEAR, _LAST_YEAR = 1960, 2050


class YearOut(Tally):
    """The sessions of a year."""

    year: int


class CoverageOut(Answer):
    """What the exchange's calendar leads one to expect, beside what is stored."""

    symbol: str
    contract_id: int
    exchange: str
    bar_size: str
    first: UtcTime | None
    last: UtcTime | None
    note: str = Field(description="Why nothing could be judged; empty when it was.")
    total: Tally
    years: list[YearOut]


class CoverageInFull(CoverageOut):
    lacks: list[Lack]
    lacks_left_out: int


class Coverages:
    """Routes about completeness."""

    def __init__(self, front: Front) -> None:
        self._front = front

    def router(self) -> APIRouter:
        router = APIRouter(tags=["data"])
        router.get("/coverage", summary="Completeness of all symbols with bars")(self.list_all)
        router.get("/coverage/{symbol}", summary="Completeness of one symbol, session by session")(self.show)
        return router

    async def list_all(
        self,
        caller: Viewer,
        bar_size: Annotated[BarSize, Query()] = timedelta(days=1),
        limit: Annotated[int, Query(ge=1, le=_SYMBOLS_MAX)] = 20,
        offset: Annotated[int, Query(ge=0, le=1_000_000)] = 0,
    ) -> Page[CoverageOut]:
        home = self._front.service.settings.home
        async with self._front.reading() as connection:
            contracts = await contracts_with_bars(connection, int(bar_size.total_seconds()), limit + 1, offset)
            found = [await coverage_of(connection, each, bar_size, home) for each in contracts[:limit]]
        items: list[CoverageOut] = [CoverageOut.model_validate(_told(each)) for each in found]
        page = page_of(items, limit, offset)
        return page.model_copy(update={"next_offset": offset + limit if len(contracts) > limit else None})

    async def show(
        self,
        caller: Viewer,
        symbol: SymbolPath,
        bar_size: Annotated[BarSize, Query()] = timedelta(days=1),
        start: Moment = None,
        end: Moment = None,
    ) -> CoverageInFull:
        """From `start` to `end`; without them, from the first stored bar to the last one."""
        order_of_times(start, end)
        for name, moment in (("start", start), ("end", end)):
            if moment is not None and not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
                raise InvalidError(f"{name}: exchanges have calendars from {_FIRST_YEAR} to {_LAST_YEAR}")
        contract = await known_contract(self._front, symbol)
        home = self._front.service.settings.home
        async with self._front.reading() as connection:
            found = await coverage_of(connection, contract, bar_size, home, start=start, end=end)
        return CoverageInFull.model_validate(_told(found))


def _told(found: Coverage) -> dict[str, Any]:
    return {**found.as_dict(), "bar_size": bar_size_text(timedelta(seconds=found.bar_size_seconds))}
