"""What the gateway knows about contracts and their past, asked within its limits."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from infra.gateway import translate
from infra.gateway.connection import Connection
from infra.gateway.errors import GatewayAnswerError, GatewayRequestError, GatewayTimeoutError
from infra.gateway.library import PastRows
from infra.gateway.pacing import HistoryRequest
from infra.gateway.past import DAY, PastBar, Series, Span, duration_of, spans_of
from infra.gateway.quality import broken_rule, quarantined
from infra.gateway.windows import Priority
from schemas.market import HistoricalBar, PriceKind, Quarantined, QuarantineRule, Severity, Source
from schemas.moments import to_datetime, to_microseconds
from schemas.validation import Contract

_CONTRACT_SECONDS = 15.0
HISTORY_SECONDS = 60.0
_PACING_ATTEMPTS = 7
"""With the governor's back-off: longer than the gateway remembers."""
_TIMEOUT_ATTEMPTS = 3
_SECOND = 1_000_000

Numbers = np.ndarray[Any, np.dtype[np.int64]]

PAST_SCHEMA = pl.Schema(
    {"start_us": pl.Int64(), "end_us": pl.Int64(), **dict.fromkeys(PastBar._fields[2:], pl.Float64())}
)
"""Columns of bars of the past: moments in microseconds since the epoch, prices, volume."""


@dataclass(frozen=True)
class History:
    """A part of a contract's past, oldest first."""

    bars: pl.DataFrame
    """Of PAST_SCHEMA: those that can be true."""
    quarantined: list[Quarantined]
    end: datetime
    """Up to here the past is known now, also where there were no bars."""
    requests: int = 1
    """How many it took; none where another's answer was joined."""

    def past_bars(self, *, last: int | None = None) -> Iterator[PastBar]:
        """One by one, all of them or the last ones."""
        for row in (self.bars if last is None else self.bars.tail(last)).iter_rows():
            yield _past_bar(row)


class Market:
    """Contracts, head timestamps and historical bars."""

    def __init__(self, connection: Connection, *, history_seconds: float = HISTORY_SECONDS) -> None:
        self._connection = connection
        self._history_seconds = history_seconds
        self._asked: dict[str, _Asked] = {}
        """What is being asked: who wants the same waits for the same answer."""
        self.requests = 0
        """How many history requests were sent."""

    async def now(self) -> datetime:
        """Market time, as the gateway tells it."""
        rows = await self._connection.ask_all(lambda e: e.reqCurrentTime(), rows="currentTime", end="currentTime")
        return datetime.fromtimestamp(rows[-1][0], UTC)

    async def contract_details(
        self,
        symbol: str = "",
        *,
        security_type: str = "STK",
        primary_exchange: str = "",
        currency: str = "USD",
        contract_id: int = 0,
    ) -> list[Contract]:
        """All contracts that match, routed by SMART; GatewayRequestError 200 when there are none."""
        if contract_id:
            wanted = self._connection.library.contract(conId=contract_id, exchange="SMART")
        else:
            wanted = self._connection.library.contract(
                symbol=symbol,
                secType=security_type,
                exchange="SMART",
                primaryExchange=primary_exchange,
                currency=currency,
            )
        rows = await self._connection.ask(
            lambda e, number: e.reqContractDetails(number, wanted),
            rows="contractDetails",
            end="contractDetailsEnd",
            seconds=_CONTRACT_SECONDS,
        )
        now = self._connection.clock.now()
        try:
            found = [translate.contract(details, now) for (details,) in rows]
        except (ValueError, LookupError) as error:
            raise GatewayAnswerError(symbol or str(contract_id), error) from error
        return [contract for contract in found if primary_exchange in ("", contract.primary_exchange)]

    async def head_timestamp(self, contract: Contract) -> datetime:
        """When the contract's recorded trades begin."""
        wanted = translate.contract_to_ib(self._connection.library, contract)
        rows = await self._connection.ask(
            lambda e, number: e.reqHeadTimeStamp(number, wanted, "TRADES", True, 2),
            rows="headTimestamp",
            end="headTimestamp",
        )
        return translate.moment(rows[-1][0])

    async def bars(
        self, contract: Contract, series: Series, span: Span, priority: Priority = Priority.BACKFILL
    ) -> History:
        """The closed bars of one request. An identical one that is under way is joined.

        GatewayRequestError when the gateway refuses, GatewayTimeoutError when it does not answer, TurnMissedError when
        it could not be asked in time: no bars mean that it looked and has nothing.
        """
        asked = self._asked_for(contract, series, span, priority)
        is_first = not asked.wanted_by
        frame = _frame_of(contract, series, await asked.rows())
        found: list[Quarantined] = []
        good = np.ones(len(frame), dtype=bool)
        start, end = to_microseconds(span.start), to_microseconds(span.end)
        good &= (frame["end_us"].to_numpy() > start) & (frame["end_us"].to_numpy() <= end)
        possible = _possible(frame)
        for row in np.flatnonzero(~possible | (frame["start_us"].to_numpy() >= end)).tolist():
            bar = _past_bar(frame.row(row))
            if good[row]:
                found.append(self._impossible(contract, series, bar))
            elif bar.start >= span.end and not series.ends_now:
                found.append(self._ahead(contract, series, bar, span))
        good &= possible
        return History(frame if good.all() else frame.filter(good), found, span.end, asked.requests if is_first else 0)

    async def history(
        self, contract: Contract, bar_size: timedelta, start: datetime, end: datetime
    ) -> AsyncIterator[History]:
        """The closed bars between two moments, part by part, oldest first, each bar once."""
        series = Series(bar_size)
        for span in spans_of(contract, series.size, start, end):
            yield await self.bars(contract, series, span, Priority.LIVE)

    async def historical_bars(
        self, contract: Contract, bar_size: timedelta, start: datetime, end: datetime
    ) -> list[HistoricalBar | Quarantined]:
        """All parts of `history` as events, in the order of time."""
        found: list[HistoricalBar | Quarantined] = []
        series = Series(bar_size)
        async for part in self.history(contract, bar_size, start, end):
            events = [HistoricalBar(**self._values(contract, series, bar)) for bar in part.past_bars()]
            found += sorted([*events, *part.quarantined], key=lambda event: event.event_time)
        return found

    def _impossible(self, contract: Contract, series: Series, bar: PastBar) -> Quarantined:
        broken = broken_rule(dict(zip(PastBar._fields[2:], bar[2:], strict=True)))
        assert broken is not None, "the columns and the rule ask the same"
        return quarantined(HistoricalBar, self._values(contract, series, bar), *broken, severity=Severity.ERROR)

    def _ahead(self, contract: Contract, series: Series, bar: PastBar, span: Span) -> Quarantined:
        reason = f"it starts at {bar.start:%F %T}, bars until {span.end:%F %T} were asked for"
        values, rule = self._values(contract, series, bar), QuarantineRule.FROM_THE_FUTURE
        return quarantined(HistoricalBar, values, rule, reason, severity=Severity.ERROR)

    def _values(self, contract: Contract, series: Series, bar: PastBar) -> dict[str, Any]:
        return {
            "contract_id": contract.contract_id,
            "symbol": contract.symbol,
            "bar_size": series.bar_size,
            "start": bar.start,
            "event_time": bar.end,
            "ingest_time": self._connection.clock.now(),
            **dict(zip(PastBar._fields[2:], bar[2:], strict=True)),
            "source": source_of(contract, series.bar_size),
            "price_kind": series.price_kind,
            "basis": series.basis,
        }

    def _asked_for(self, contract: Contract, series: Series, span: Span, priority: Priority) -> "_Asked":
        until = "" if series.ends_now else f"{span.end.astimezone(UTC):%Y%m%d-%H:%M:%S}"
        duration = duration_of(series.size, span)
        identity = f"{contract.contract_id}/{until}/{duration}/{series.size.words}/{series.what_to_show}"
        if (asked := self._asked.get(identity)) is None or asked.answer.cancelling():
            new = asked = self._asked[identity] = _Asked(_Query(contract, series, until, duration, identity))
            new.answer = asyncio.create_task(self._patiently(new, priority))
            new.answer.add_done_callback(lambda _: self._forget(identity, new))
        return asked

    def _forget(self, identity: str, asked: "_Asked") -> None:
        if self._asked.get(identity) is asked:
            del self._asked[identity]

    async def _patiently(self, asked: "_Asked", priority: Priority) -> PastRows:
        """Ask again what was refused for its pace or while the farm was away; once or twice what was not answered."""
        refusals = timeouts = 0
        while True:
            try:
                return await self._ask(asked, priority)
            except GatewayRequestError as error:
                if error.no_data:
                    return PastRows.of([])
                refusals += 1
                if not (error.pacing or error.farm_away) or refusals == _PACING_ATTEMPTS:
                    raise
            except GatewayTimeoutError:
                timeouts += 1
                if timeouts == _TIMEOUT_ATTEMPTS:
                    raise

    async def _ask(self, asked: "_Asked", priority: Priority) -> PastRows:
        query = asked.query
        wanted = translate.contract_to_ib(self._connection.library, query.contract)
        size, what = query.series.size, query.series.what_to_show
        sent: list[int] = []

        def send(encoder: Any, number: int) -> None:
            sent.append(number)
            encoder.reqHistoricalData(number, wanted, query.until, query.duration, size.words, what, 1, 2, False, [])

        async with self._connection.governor.history(query.paced, priority):
            self.requests += 1
            asked.requests += 1
            try:
                ((rows,),) = await self._connection.ask_admitted(
                    send, rows="historicalData", end="historicalDataEnd", seconds=self._history_seconds
                )
            except GatewayTimeoutError:
                self._connection.urgent.cancelHistoricalData(sent[0])
                raise
            except GatewayRequestError as error:
                if error.pacing or error.farm_away:
                    self._connection.governor.complained()
                raise
        assert isinstance(rows, PastRows)
        return rows


@dataclass(frozen=True)
class _Query:
    """One history request, in IB's words."""

    contract: Contract
    series: Series
    until: str
    duration: str
    identity: str

    @property
    def paced(self) -> HistoryRequest:
        contract, what = self.contract, self.series.what_to_show
        return HistoryRequest(
            identity=self.identity,
            contract=f"{contract.contract_id}/{contract.exchange}/{what}",
            bar_seconds=self.series.bar_size.total_seconds(),
            cost=2 if self.series.price_kind is PriceKind.BID_ASK else 1,
        )


@dataclass
class _Asked:
    """An answer that is awaited, and by how many."""

    query: _Query
    answer: "asyncio.Task[PastRows]" = field(init=False)
    requests: int = 0
    wanted_by: int = 0

    async def rows(self) -> PastRows:
        """The answer; when nobody waits for it any more, it is not asked for any more."""
        self.wanted_by += 1
        try:
            return await asyncio.shield(self.answer)
        finally:
            self.wanted_by -= 1
            if not self.wanted_by:
                self.answer.cancel()  # no effect once it is there


def source_of(contract: Contract, bar_size: timedelta) -> Source:
    return contract.daily_source if bar_size >= DAY else contract.intraday_source


def _frame_of(contract: Contract, series: Series, rows: PastRows) -> pl.DataFrame:
    """The rows of an answer as they came, oldest first."""
    try:
        starts, ends = _times(contract, series, rows.dates)
    except (ValueError, OverflowError) as error:
        raise GatewayAnswerError(f"bars of {contract.symbol}", error) from error
    has_volume = series.price_kind is PriceKind.TRADES  # of quotes IB says -1
    columns = {
        "start_us": starts,
        "end_us": ends,
        "open": rows.open,
        "high": rows.high,
        "low": rows.low,
        "close": rows.close,
        "volume": rows.volume if has_volume else np.zeros(len(rows.dates)),
    }
    frame = pl.DataFrame([pl.Series(name, values) for name, values in columns.items()])
    return frame if frame["end_us"].is_sorted() else frame.sort("end_us", maintain_order=True)


def _times(contract: Contract, series: Series, dates: Sequence[str]) -> tuple[Numbers, Numbers]:
    """Starts and ends; seconds since the epoch, as intraday bars have them, need no calendar."""
    if dates and "".join(dates).isdigit() and not {0, 8} & set(map(len, dates)):
        seconds = np.fromiter(map(int, dates), np.int64)
        for each in (seconds.min(), seconds.max()):
            datetime.fromtimestamp(int(each), UTC)  # what is no moment in time is nonsense
        return seconds * _SECOND, (seconds + int(series.bar_size.total_seconds())) * _SECOND
    spans = [translate.bar_interval(contract, series.bar_size, date) for date in dates]
    starts, ends = (np.fromiter((to_microseconds(span[side]) for span in spans), np.int64) for side in (0, 1))
    return starts, ends


def _possible(frame: pl.DataFrame) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """The rules of `broken_rule`, for all rows at once."""
    opening, high, low, close, volume = (frame[name].to_numpy() for name in PastBar._fields[2:])
    in_range = (low <= opening) & (opening <= high) & (low <= close) & (close <= high)
    possible: np.ndarray[Any, np.dtype[np.bool_]] = (
        in_range & np.isfinite(low) & np.isfinite(high) & (volume >= 0) & np.isfinite(volume)
    )
    return possible


def _past_bar(row: tuple[Any, ...]) -> PastBar:
    start_us, end_us, *values = row
    return PastBar(to_datetime(start_us), to_datetime(end_us), *values)
