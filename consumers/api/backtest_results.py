"""What came of backtests: results, trades, reports, comparisons, and a strategy over all of its runs."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import median
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import Field

from consumers.api.access import Viewer
from consumers.api.backtests import BacktestId, BacktestOut, Backtests, SummaryOut, whole
from consumers.api.catalog import StrategyName
from consumers.api.front import Front
from consumers.api.models import Answer, Limit, Offset, Page
from consumers.api.problems import ConflictError, InvalidError, NotFoundError
from consumers.api.rows import answer, page, picked
from infra.store import backtest_queries, queries
from schemas.backtest import BacktestFinished, BacktestRequested
from schemas.event import UtcTime

COMPARED_MAX = 20
_PAGE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'"
)
_HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {}}}}
_SPREAD = ("total_return", "annualised_return", "sharpe", "sortino", "max_drawdown", "win_rate", "profit_factor")


class ComparisonOut(Answer):
    """Backtests side by side."""

    items: list[SummaryOut]
    metrics: dict[str, dict[str, float | None]] = Field(description="Metric -> backtest id -> value.")


class TradeOut(Answer):
    """From flat to flat; amounts as decimal text with every digit."""

    symbol: str
    direction: Literal["long", "short"]
    quantity: str
    entry_time: UtcTime
    entry_price: str
    exit_time: UtcTime = Field(description="Of one that is still open: the last bar's end.")
    exit_price: str
    bars: int
    commission: str
    pnl: str
    gain: float | None = Field(description="Of what was paid at the entry.")
    open: bool


class Spread(Answer):
    """One figure over several backtests."""

    least: float
    median: float
    most: float


class PerformanceOut(Answer):
    """A strategy over all of its backtests. The best of many runs proves little: look at how many there were."""

    strategy: str
    backtests: int = Field(description="At most the newest 10,000.")
    done: int
    failed: int
    trials: int = Field(description="How often it was ever run, searches among it: see `scizor strategy gate`.")
    symbols: list[str]
    latest_finished_at: UtcTime | None
    best: str | None = Field(description="The backtest with the highest Sharpe ratio.")
    metrics: dict[str, Spread]


class BacktestResults:
    """Routes about results."""

    def __init__(self, front: Front, backtests: Backtests) -> None:
        self._front = front
        self._backtests = backtests

    def router(self) -> APIRouter:
        router = APIRouter(tags=["backtests"])
        router.get(
            "/backtests/compare", summary="Backtests side by side", response_model=ComparisonOut, responses=_HTML
        )(self.compare)
        one = "/backtests/{backtest_id}"
        router.get(one + "/results", summary="The result", response_model=BacktestOut)(self.results)
        router.get(one + "/trades", summary="Round trips, the first first", response_model=Page[TradeOut])(self.trades)
        router.get(one + "/report", summary="The result as one page", response_class=Response, responses=_HTML)(
            self.report
        )
        router.get("/performance/strategies/{strategy_id}", summary="A strategy over all of its backtests")(
            self.performance
        )
        return router

    async def compare(
        self,
        caller: Viewer,
        ids: Annotated[list[str], Query(min_length=1, max_length=COMPARED_MAX, description="Repeat, or use commas.")],
        format: Annotated[Literal["json", "html"], Query(description="`html`: one page of 2 to 8.")] = "json",  # noqa: A002 - the parameter's name
    ) -> Response:
        wanted = list(dict.fromkeys(each for group in ids for each in group.split(",") if each))
        if not 2 <= len(wanted) <= COMPARED_MAX:
            raise InvalidError(f"name 2 to {COMPARED_MAX} backtests in ids, not {len(wanted)}")
        if format == "html":
            rows = [await self._done(each) for each in wanted]
            return _page_of(await asyncio.to_thread(_comparison_of, rows))
        async with self._front.reading() as connection:
            found = {row["backtest_id"]: row for row in await queries.backtest_summaries(connection, wanted)}
        if missing := [each for each in wanted if each not in found]:
            raise NotFoundError(f"no backtest {', '.join(missing)}: GET /backtests lists them")
        items = [picked(SummaryOut, found[each]) for each in wanted]
        names = dict.fromkeys(name for item in items for name in item["metrics"] or {})
        metrics = {name: {item["backtest_id"]: (item["metrics"] or {}).get(name) for item in items} for name in names}
        return answer({"items": items, "metrics": metrics})

    async def results(self, caller: Viewer, backtest_id: BacktestId) -> Response:
        """Everything that came of it, once it is done; until then /progress tells."""
        return whole(await self._done(backtest_id))

    async def trades(self, caller: Viewer, backtest_id: BacktestId, limit: Limit = 100, offset: Offset = 0) -> Response:
        row = await self._done(backtest_id)
        trips: Sequence[Mapping[str, Any]] = row["round_trips"] or ()
        shown = trips[offset : offset + limit + 1]
        return page([picked(TradeOut, each, gain=each.get("return")) for each in shown], limit, offset)

    async def report(self, caller: Viewer, backtest_id: BacktestId) -> Response:
        """One page that needs nothing else: save it, send it."""
        row = await self._done(backtest_id)
        return _page_of(await asyncio.to_thread(_report_of, row))

    async def performance(self, caller: Viewer, strategy_id: StrategyName) -> PerformanceOut:
        async with self._front.reading() as connection:
            rows = await backtest_queries.jobs_of(connection, strategy_id)
            trials = await backtest_queries.trials_of(connection, strategy_id)
        if not rows and not trials:
            raise NotFoundError(f"{strategy_id} was never run: POST /backtests, or look at GET /strategies")
        done = [dict(row) for row in rows if row["state"] == "done"]
        best = max((row for row in done if _figure(row, "sharpe") is not None), key=_sharpe, default=None)
        return PerformanceOut(
            strategy=strategy_id,
            backtests=len(rows),
            done=len(done),
            failed=sum(row["state"] == "failed" for row in rows),
            trials=trials,
            symbols=sorted({symbol for row in rows for symbol in row["symbols"] or ()}),
            latest_finished_at=max((row["finished_at"] for row in rows if row["finished_at"]), default=None),
            best=best["backtest_id"] if best else None,
            metrics=_spreads(done),
        )

    async def _done(self, backtest_id: str) -> dict[str, Any]:
        row = await self._backtests.row(backtest_id)
        if row["state"] != "done":
            why = f" ({row['error']})" if row.get("error") else ""
            raise ConflictError(
                f"backtest {backtest_id} {'has' if row['state'] == 'failed' else 'is'} {row['state']}{why}: "
                "only one that is done has a result"
            )
        return row


def _figure(row: Mapping[str, Any], name: str) -> float | None:
    value = (row["metrics"] or {}).get(name)
    return None if value is None else float(value)


def _sharpe(row: Mapping[str, Any]) -> float:
    value = _figure(row, "sharpe")
    assert value is not None, "only those that have one are compared"
    return value


def _spreads(rows: Sequence[Mapping[str, Any]]) -> dict[str, Spread]:
    found = {}
    for name in _SPREAD:
        values = [value for row in rows if (value := _figure(row, name)) is not None]
        if values:
            found[name] = Spread(least=min(values), median=median(values), most=max(values))
    return found


def _page_of(html: str) -> Response:
    return Response(html, media_type="text/html", headers={"Content-Security-Policy": _PAGE_POLICY})


def _report_of(row: dict[str, Any]) -> str:
    from engine import report  # loads the engine, hence not at import

    return report.page(_finished(row))


def _comparison_of(rows: Sequence[dict[str, Any]]) -> str:
    from engine import report  # loads the engine, hence not at import

    try:
        return report.comparison([_finished(row) for row in rows])
    except ValueError as error:
        raise InvalidError(str(error)) from error


def _finished(row: dict[str, Any]) -> BacktestFinished:
    """The event that the row was made from."""
    request = BacktestRequested.model_validate(row["request"])
    finished_at: datetime = row["finished_at"]
    kept = {name: row[name] for name in BacktestFinished.model_fields if row.get(name) is not None}
    return BacktestFinished.model_validate(
        {**kept, "request": request, "event_time": finished_at, "ingest_time": finished_at}
    )
