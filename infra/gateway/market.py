"""What the gateway knows about contracts and their past, asked within its limits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.gateway import translate
from infra.gateway.connection import Connection
from infra.gateway.errors import GatewayAnswerError, GatewayRequestError, GatewayTimeoutError
from infra.gateway.pacing import HistoryRequest
from infra.gateway.past import DAY, PastBar, Series, Span, duration_of, spans_of
from infra.gateway.quality import broken_rule, quarantined
from infra.gateway.windows import Priority
from schemas.market import HistoricalBar, PriceKind, Quarantined, Severity, Source
from schemas.validation import Contract

_CONTRACT_SECONDS = 15.0
HISTORY_SECONDS = 60.0
_PACING_ATTEMPTS = 7
"""With the governor's back-off: longer than the gateway remembers."""
_TIMEOUT_ATTEMPTS = 3


@dataclass(frozen=True)
class History:
    """A part of a contract's past, oldest first."""

    bars: list[PastBar]
    quarantined: list[Quarantined]
    end: datetime
    """Up to here the past is known now, also where there were no bars."""
    requests: int = 1
    """How many it took; none where another's answer was joined."""


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
        rows = await asked.rows()
        found = History([], [], span.end, asked.requests if is_first else 0)
        for bar in _past_bars(contract, series, rows):
            if span.start < bar.end <= span.end:
                self._sort_in(found, contract, series, bar)
        return found

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
            events = [HistoricalBar(**self._values(contract, series, bar)) for bar in part.bars]
            found += sorted([*events, *part.quarantined], key=lambda event: event.event_time)
        return found

    def _sort_in(self, part: History, contract: Contract, series: Series, bar: PastBar) -> None:
        broken = broken_rule(dict(zip(PastBar._fields[2:], bar[2:], strict=True)))
        if broken is None:
            part.bars.append(bar)
        else:
            values = self._values(contract, series, bar)
            part.quarantined.append(quarantined(HistoricalBar, values, *broken, severity=Severity.ERROR))

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

    async def _patiently(self, asked: "_Asked", priority: Priority) -> list[Any]:
        """Ask again what was refused for its pace, and once or twice what was not answered."""
        refusals = timeouts = 0
        while True:
            try:
                return await self._ask(asked, priority)
            except GatewayRequestError as error:
                if error.no_data:
                    return []
                refusals += 1
                if not error.pacing or refusals == _PACING_ATTEMPTS:
                    raise
            except GatewayTimeoutError:
                timeouts += 1
                if timeouts == _TIMEOUT_ATTEMPTS:
                    raise

    async def _ask(self, asked: "_Asked", priority: Priority) -> list[Any]:
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
                rows = await self._connection.ask_admitted(
                    send, rows="historicalData", end="historicalDataEnd", seconds=self._history_seconds
                )
            except GatewayTimeoutError:
                self._connection.urgent.cancelHistoricalData(sent[0])
                raise
            except GatewayRequestError as error:
                if error.pacing:
                    self._connection.governor.complained()
                raise
        return [bar for (bar,) in rows]


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
    answer: "asyncio.Task[list[Any]]" = field(init=False)
    requests: int = 0
    wanted_by: int = 0

    async def rows(self) -> list[Any]:
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


def _past_bars(contract: Contract, series: Series, rows: Sequence[Any]) -> list[PastBar]:
    """The rows of an answer, oldest first."""
    try:
        spans = [translate.bar_interval(contract, series.bar_size, row.date) for row in rows]
    except (ValueError, OverflowError) as error:
        raise GatewayAnswerError(f"bars of {contract.symbol}", error) from error
    has_volume = series.price_kind is PriceKind.TRADES  # of quotes IB says -1
    bars = [
        PastBar(*span, row.open, row.high, row.low, row.close, row.volume if has_volume else 0.0)
        for span, row in zip(spans, rows, strict=True)
    ]
    return sorted(bars, key=lambda bar: bar.end)
