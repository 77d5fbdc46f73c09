"""What the gateway knows about contracts and their past, asked within its limits."""

import math
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from infra.errors import UsageError
from infra.gateway import hours, translate
from infra.gateway.connection import Connection
from infra.gateway.errors import GatewayAnswerError, GatewayRequestError, GatewayTimeoutError
from infra.gateway.pacing import HistoryRequest
from infra.gateway.quality import broken_rule, quarantined
from schemas.market import Basis, HistoricalBar, Quarantined, Severity, Source
from schemas.validation import Contract

_CONTRACT_SECONDS = 15.0
_HISTORY_SECONDS = 60.0
_PACING_PAUSE_SECONDS = 15.0
_ATTEMPTS = 3
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class BarSize:
    """A bar size that IB serves, and how much of it one request may ask for."""

    size: timedelta
    words: str
    step: timedelta
    unit: str
    """Of the duration: S, D, W, M, Y."""


_UNITS = {
    "S": timedelta(seconds=1),
    "D": _DAY,
    "W": timedelta(days=7),
    "M": timedelta(days=28),
    "Y": timedelta(days=365),
}

BAR_SIZES = {
    bar.size: bar
    for bar in (
        BarSize(timedelta(seconds=5), "5 secs", timedelta(hours=1), "S"),
        BarSize(timedelta(seconds=30), "30 secs", timedelta(hours=8), "S"),
        BarSize(timedelta(minutes=1), "1 min", _DAY, "D"),
        BarSize(timedelta(minutes=5), "5 mins", timedelta(days=7), "W"),
        BarSize(timedelta(minutes=15), "15 mins", timedelta(days=7), "W"),
        BarSize(timedelta(minutes=30), "30 mins", timedelta(days=28), "M"),
        BarSize(timedelta(hours=1), "1 hour", timedelta(days=28), "M"),
        BarSize(_DAY, "1 day", timedelta(days=3650), "Y"),
    )
}
"""https://interactivebrokers.github.io/tws-api/historical_bars.html: durations and bar sizes that go together."""


class BarSizeUnknownError(UsageError):
    def __init__(self, size: timedelta) -> None:
        known = ", ".join(bar.words for bar in BAR_SIZES.values())
        super().__init__(f"IB serves no bars of {size}: choose one of {known}")


class PastBar(NamedTuple):
    """A bar of the past that can be true: when it began and ended, prices, volume."""

    start: datetime
    end: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


@dataclass(frozen=True)
class History:
    """A part of a contract's past, oldest first."""

    bars: list[PastBar]
    quarantined: list[Quarantined]
    end: datetime
    """Up to here the past is known now, also where there were no bars."""


@dataclass(frozen=True)
class Span:
    start: datetime
    end: datetime


class Market:
    """Contracts, head timestamps and historical bars."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
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

    async def history(
        self, contract: Contract, bar_size: timedelta, start: datetime, end: datetime
    ) -> AsyncIterator[History]:
        """The closed bars between two moments, part by part, oldest first, each bar once.

        GatewayRequestError when the gateway refuses, GatewayTimeoutError when it does not answer: an empty part means
        that it looked and has nothing.
        """
        if bar_size not in BAR_SIZES:
            raise BarSizeUnknownError(bar_size)
        size = BAR_SIZES[bar_size]
        known = start
        for span in spans_of(contract, size, start, end):
            part = History([], [], span.end)
            for bar in _past_bars(contract, bar_size, await self._part(contract, size, span)):
                if known < bar.end <= end:
                    known = bar.end
                    self._sort_in(part, contract, bar_size, bar)
            yield part

    async def historical_bars(
        self, contract: Contract, bar_size: timedelta, start: datetime, end: datetime
    ) -> list[HistoricalBar | Quarantined]:
        """All parts of `history` as events, in the order of time."""
        found: list[HistoricalBar | Quarantined] = []
        async for part in self.history(contract, bar_size, start, end):
            events = [HistoricalBar(**self._values(contract, bar_size, bar)) for bar in part.bars]
            found += sorted([*events, *part.quarantined], key=lambda event: event.event_time)
        return found

    def _sort_in(self, part: History, contract: Contract, bar_size: timedelta, bar: PastBar) -> None:
        broken = broken_rule(dict(zip(PastBar._fields[2:], bar[2:], strict=True)))
        if broken is None:
            part.bars.append(bar)
        else:
            values = self._values(contract, bar_size, bar)
            part.quarantined.append(quarantined(HistoricalBar, values, *broken, severity=Severity.ERROR))

    def _values(self, contract: Contract, bar_size: timedelta, bar: PastBar) -> dict[str, Any]:
        return {
            "contract_id": contract.contract_id,
            "symbol": contract.symbol,
            "bar_size": bar_size,
            "start": bar.start,
            "event_time": bar.end,
            "ingest_time": self._connection.clock.now(),
            **dict(zip(PastBar._fields[2:], bar[2:], strict=True)),
            "source": source_of(contract, bar_size),
            "basis": Basis.SPLIT_ADJUSTED,
        }

    async def _part(self, contract: Contract, size: BarSize, span: Span) -> list[Any]:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return await self._ask(contract, size, span)
            except GatewayRequestError as error:
                if error.no_data:
                    return []
                if not error.pacing or attempt == _ATTEMPTS:
                    raise
                await self._connection.governor.pause(_PACING_PAUSE_SECONDS * attempt)
            except GatewayTimeoutError:
                if attempt == _ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    async def _ask(self, contract: Contract, size: BarSize, span: Span) -> list[Any]:
        wanted = translate.contract_to_ib(self._connection.library, contract)
        until = f"{span.end:%Y%m%d-%H:%M:%S}"
        duration = duration_of(size, span)
        request = HistoryRequest(
            identity=f"{contract.contract_id}/{until}/{duration}/{size.words}",
            contract=f"{contract.contract_id}/{contract.exchange}/TRADES",
            bar_seconds=size.size.total_seconds(),
        )
        sent: list[int] = []

        def send(encoder: Any, number: int) -> None:
            sent.append(number)
            encoder.reqHistoricalData(number, wanted, until, duration, size.words, "TRADES", 1, 2, False, [])

        async with self._connection.governor.history(request):
            self.requests += 1
            try:
                rows = await self._connection.ask_admitted(
                    send, rows="historicalData", end="historicalDataEnd", seconds=_HISTORY_SECONDS
                )
            except GatewayTimeoutError:
                self._connection.urgent.cancelHistoricalData(sent[0])
                raise
        return [bar for (bar,) in rows]


def source_of(contract: Contract, bar_size: timedelta) -> Source:
    return contract.daily_source if bar_size >= _DAY else contract.intraday_source


def _past_bars(contract: Contract, bar_size: timedelta, rows: Sequence[Any]) -> list[PastBar]:
    """The rows of an answer, oldest first."""
    try:
        spans = [translate.bar_interval(contract, bar_size, row.date) for row in rows]
    except (ValueError, OverflowError) as error:
        raise GatewayAnswerError(f"bars of {contract.symbol}", error) from error
    bars = [
        PastBar(*span, row.open, row.high, row.low, row.close, row.volume)
        for span, row in zip(spans, rows, strict=True)
    ]
    return sorted(bars, key=lambda bar: bar.end)


def duration_of(size: BarSize, span: Span) -> str:
    """The least legal duration that covers the span."""
    length = span.end - span.start
    unit = size.unit
    if unit == "Y" and length <= timedelta(days=300):
        unit = "D"  # a year of daily bars for a question about last week would be a waste
    count = max(1, math.ceil(length / _UNITS[unit]))
    return f"{count} {unit}"


def spans_of(contract: Contract, size: BarSize, start: datetime, end: datetime) -> Iterator[Span]:
    """The pieces that a range is asked in; small bars are asked for only inside sessions."""
    if size.step > _DAY:
        while start < end:
            until = min(start + size.step, end)
            yield Span(start, until)
            start = until
        return
    for opening, closing in hours.sessions(contract, start, end):
        begin = opening
        while begin < closing:
            until = min(begin + size.step, closing)
            yield Span(begin, until)
            begin = until
