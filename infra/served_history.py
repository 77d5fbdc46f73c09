"""Stored bars as somebody wants them: of a size that may have to be made, in a basis that may have to be computed.

They come in batches of bounded size, each read on a connection of its own: a slow reader holds nothing. All batches
count what was known at one moment, so they fit together however long the reading takes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.adjustment import Known, adjusted, in_force
from infra.bar_aggregation import aggregated, source_size
from infra.bar_moments import bar_size_text
from infra.calendars.calendar import ExchangeCalendar, UnknownExchangeError, calendar_of
from infra.columns import BAR_SCHEMA
from infra.errors import UsageError
from infra.store.corporate import actions_of
from infra.store.coverage import StoredSeries, stored_span
from infra.store.history import HistoryRange, Page, closes_before, history_page
from infra.store.queries import bar_sizes
from schemas.corporate import CorporateAction, Dividend, Split
from schemas.market import Basis, PriceKind
from schemas.validation import Contract

BATCH_ROWS = 20_000
"""Small enough that other requests are served between two of them."""
_DAY_SECONDS = 86_400
_BASES = (Basis.SPLIT_ADJUSTED, Basis.RAW, Basis.TOTAL_RETURN)
"""In the order in which a stored one is looked for, after the wanted one of dividends."""
COLUMNS = ("start_us", "end_us", "open", "high", "low", "close", "volume", "source", "revision", "late")
EMPTY = pl.DataFrame(schema={name: BAR_SCHEMA[name] for name in COLUMNS})

Reading = Callable[[], AbstractAsyncContextManager[AsyncConnection]]


class NoBarsError(UsageError):
    """Nothing stored that the answer could be made of."""


@dataclass(frozen=True)
class WantedHistory:
    """What is asked for. `start` is included, `end` is not."""

    contract: Contract
    size_seconds: int
    basis: Basis
    known_by: datetime
    start: datetime | None = None
    end: datetime | None = None
    price_kind: PriceKind = PriceKind.TRADES
    source: str | None = None


@dataclass(frozen=True)
class Plan:
    """How it is made of what is stored."""

    wanted: WantedHistory
    series: StoredSeries
    start: datetime
    end: datetime
    known: Known
    calendar: ExchangeCalendar | None

    @property
    def is_aggregated(self) -> bool:
        return self.series.bar_size_seconds != self.wanted.size_seconds

    @property
    def actions(self) -> list[CorporateAction]:
        """Those that the prices were computed with."""
        bases = {Basis(self.series.basis), self.wanted.basis}
        if len(bases) == 1 and bases != {Basis.SPLIT_ADJUSTED}:
            return []
        kinds = (Split, Dividend) if Basis.TOTAL_RETURN in bases else (Split,)
        return [action for action in self.known.actions if isinstance(action, kinds)]

    @property
    def warning(self) -> str:
        """That no action on record tells the wanted prices from the stored ones; empty where one does."""
        stored, wanted = Basis(self.series.basis), self.wanted.basis
        by_basis = {Basis.RAW: Split, Basis.TOTAL_RETURN: Dividend}
        kinds = tuple(kind for basis, kind in by_basis.items() if basis in (stored, wanted))
        if stored is wanted or any(isinstance(action, kinds) for action in self.known.actions):
            return ""
        lacking = " or ".join(kind.__name__.lower() for kind in kinds)
        return (
            f"prices as {wanted.value} were asked for, but no {lacking} of {self.wanted.contract.symbol} is on record "
            f"(`scizor data action list`): they are as they are stored, {stored.value}"
        )


async def plan_of(connection: AsyncConnection, wanted: WantedHistory, now: datetime) -> Plan:
    """What to read and what to do with it; NoBarsError names the sizes there are."""
    contract = wanted.contract
    sizes = list(await bar_sizes(connection, contract.contract_id))
    size = source_size(wanted.size_seconds, sizes)
    if size is None:
        stored = ", ".join(bar_size_text(timedelta(seconds=each)) for each in sizes) or "none at all"
        size_wanted = bar_size_text(timedelta(seconds=wanted.size_seconds))
        raise NoBarsError(
            f"no bars of {size_wanted} for {contract.symbol}, and none to make them of; "
            f"stored sizes: {stored}; POST /collections or `scizor collect history` brings more"
        )
    for basis in _BASES:
        series = StoredSeries(contract.contract_id, size, wanted.price_kind.value, basis.value)
        if (span := await stored_span(connection, series)) is not None:
            break
    else:
        raise NoBarsError(f"no bars of {wanted.price_kind.value} of that size are stored for {contract.symbol}")
    known = await _known(connection, wanted, series, span[1], now)
    return Plan(wanted, series, wanted.start or span[0], wanted.end or span[1], known, _calendar(contract))


async def _known(
    connection: AsyncConnection, wanted: WantedHistory, series: StoredSeries, traded_until: datetime, now: datetime
) -> Known:
    """The actions, and the closes that dividends are a part of: of daily bars, if there are any."""
    actions = in_force(await actions_of(connection, series.contract_id, wanted.known_by), now, wanted.known_by)
    moments = [action.event_time for action in actions if isinstance(action, Dividend)]
    closes = await closes_before(connection, replace(series, bar_size_seconds=_DAY_SECONDS), moments, wanted.known_by)
    if len(closes) < len(moments):
        closes = await closes_before(connection, series, moments, wanted.known_by)
    until_us = int(traded_until.timestamp()) * 1_000_000
    return Known(actions, until_us, closes, Basis(series.basis))


def _calendar(contract: Contract) -> ExchangeCalendar | None:
    try:
        return calendar_of(contract.primary_exchange or contract.exchange)
    except UnknownExchangeError:
        return None


async def batches(
    plan: Plan, reading: Reading, rows_max: int = BATCH_ROWS, *, ahead: bool = True
) -> AsyncIterator[pl.DataFrame]:
    """The bars, oldest first; columns of COLUMNS. A batch has about `rows_max` rows of what is stored at most.

    `ahead`: while one is made and taken, the next one is read, which is in vain where it will not be asked for.
    """
    start: datetime | None = plan.start if plan.start < plan.end else None
    coming: asyncio.Task[Page] | None = None
    kept: pl.DataFrame | None = None
    try:
        while start is not None:
            page, start = await (coming or _read(plan, start, reading, rows_max))
            coming = asyncio.create_task(_read(plan, start, reading, rows_max)) if start is not None and ahead else None
            page = page if kept is None else pl.concat([kept, page])
            made, kept = await asyncio.to_thread(_made, plan, page, start is None)
            if len(made):
                yield made
    finally:
        if coming is not None:
            coming.cancel()


async def _read(plan: Plan, start: datetime, reading: Reading, rows_max: int) -> Page:
    wanted = HistoryRange(plan.series, start, plan.end, plan.wanted.known_by, plan.wanted.source)
    async with reading() as connection:
        return await history_page(connection, wanted, rows_max)


def _made(plan: Plan, page: pl.DataFrame, is_last: bool) -> tuple[pl.DataFrame, pl.DataFrame | None]:
    """The bars of a page, and the parts of its last bar, which the next page may go on with."""
    if page.is_empty():
        return page.select(COLUMNS), None
    kept = None
    made = page
    if plan.known.actions:
        made = adjusted(page.with_columns(basis=pl.lit(plan.series.basis)), plan.wanted.basis, plan.known)
    if plan.is_aggregated:
        made = aggregated(made, plan.wanted.size_seconds, plan.calendar)
        if not is_last:
            kept = page.filter(pl.col("start_us") >= made["start_us"][-1])
            made = made.head(-1)
    return made.select(COLUMNS), kept
