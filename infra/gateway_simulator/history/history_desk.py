"""Answers about the past: historical bars, those that are kept up to date, and trading schedules."""

import asyncio
from datetime import timedelta
from functools import partial
from typing import TypeAlias

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.history.charts import Chart, Charts
from infra.gateway_simulator.history.openings import Openings
from infra.gateway_simulator.history.past_bars import Dates, candles, volatility_candles
from infra.gateway_simulator.history.past_request import (
    SCHEDULE,
    SERVICE,
    SMALL_BARS_DAYS,
    VOLATILITIES,
    Request,
    RequestError,
    duration_of,
    moment_of,
    no_data,
    shown,
)
from infra.gateway_simulator.instruments.calendar import Session as TradingDay
from infra.gateway_simulator.instruments.calendar import utc_text
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.instruments.venues import Venue
from infra.gateway_simulator.market.bars import BARS_MAX, DAY, Candle, Span
from infra.gateway_simulator.protocol.pacing import PACED_BAR_SECONDS, HistoryPacing, PastRequest
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields, Value, text_of

Rows: TypeAlias = list[list[str | float]]
FIELDS_A_BAR = 8
FUTURES_DAYS = 730  # for which bars of expired futures are kept; those of options are not
PACING_VIOLATION = f"{SERVICE}Historical data request pacing violation"


class HistoryDesk:
    def __init__(self, shared: Shared, openings: Openings, pacing: HistoryPacing) -> None:
        self._shared = shared
        self._openings = openings
        self._pacing = pacing
        self._charts = Charts(shared)

    async def historical_data(self, session: Session, fields: Fields) -> None:
        request = Request.taken_from(fields)
        self._openings.start(session, request.request_id, partial(self._answer, session, request))

    async def cancel(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        if not self._openings.end(session, request_id):
            session.error(request_id, 366, f"No historical data query found for ticker id:{request_id}")
            return
        self._charts.remove(session, request_id)
        session.error(request_id, 162, f"{SERVICE}API historical data query cancelled: {request_id}")

    def dismiss(self, session: Session) -> None:
        """The client has gone: nobody waits for its answers."""
        self._openings.end_session(session)
        self._charts.remove_session(session)

    def on_bar(self, instrument: Instrument, session: TradingDay, bar: int) -> None:
        self._charts.on_bar(instrument, session, bar)

    def stop_updates(self, *, forget: bool = False) -> None:
        """Bars are no longer kept up to date, and nobody is told, as at midnight; IB still counts them as open.

        With `forget` their requests are closed as well, as after 1101.
        """
        for session, request_id in self._charts.clear():
            if forget:
                self._openings.end(session, request_id)

    async def _answer(self, session: Session, request: Request) -> None:
        shared = self._shared
        facts = {"end": request.end, "bar_size": request.bar_size, "duration": request.duration, "what": request.what}
        symbol = request.asked.name
        shared.ledger.write("historical_request", shared.now(), client_id=session.client_id, contract=symbol, **facts)
        found = request.asked.found_in(shared.catalogue, None if request.with_expired else shared.now())
        if found is None:
            raise RequestError(*request.asked.refusal(shared.catalogue))
        if request.what == SCHEDULE:
            self._schedule(session, request, found)
            return
        span = self._span(request, found)
        if not shared.permissions.sees_live(found):
            raise RequestError(162, f"{SERVICE}{shared.permissions.missing(found)}")
        await self._paced(request, found, span.size)
        async with self._openings.turn:
            await self._serve(session, request, found)

    async def _serve(self, session: Session, request: Request, found: Instrument) -> None:
        span = self._span(request, found)  # again: time has passed until its turn came
        values, last, rows = await self._made(request, found, span)
        if last is None:
            raise no_data(request.asked, request.what)
        self._told(session, request, found, span, rows)
        session.send(*values, event="historical bars", symbol=found.symbol)
        if request.stays and self._openings.stay(session, request.request_id):
            dates, number = _dates(request, found, span), request.request_id
            self._charts.add(
                Chart(session, number, found, span.size, span.what, dates, span.regular), last.start, span.now
            )

    def _end(self, request: Request, found: Instrument) -> float:
        """Until when bars are wanted, now at the latest."""
        now = self._shared.now()
        end = min(moment_of(request.end, now), now)
        kept = timedelta(days=FUTURES_DAYS) if found.future is not None else timedelta(0)
        is_gone = found.expiry is not None and found.expiry + kept < found.hours.latest(now).day
        if is_gone or end <= found.calendar.session(found.calendar.days[0]).open:
            raise no_data(request.asked, request.what)
        return end

    def _span(self, request: Request, found: Instrument) -> Span:
        now, end = self._shared.now(), self._end(request, found)
        size, duration = request.checked()
        what = shown(found, request.asked, request.what)
        hours = found.calendar if request.regular_hours else found.hours
        begin = duration.begin(hours, end, size)
        if size <= PACED_BAR_SECONDS:
            begin = max(begin, now - SMALL_BARS_DAYS * DAY)
            if begin >= end:
                raise no_data(request.asked, request.what)
        days = (end - begin) / DAY + 1
        if days * 5 / 7 * hours.regular_seconds / size > BARS_MAX * 1.02:
            raise RequestError(162, f"{SERVICE}Time length exceed max.")
        return Span(begin, end, size, what, now, request.regular_hours)

    async def _paced(self, request: Request, found: Instrument, size: int) -> None:
        wanted = "/".join((request.end, request.bar_size, request.duration, str(request.regular_hours)))
        exchange = request.asked.exchange or "SMART"
        past = PastRequest(f"{found.contract_id}@{exchange}", request.what, wanted, size)
        if not self._pacing.permits(past):
            raise RequestError(162, PACING_VIOLATION)
        delay = self._pacing.delay(past)
        if delay:
            await self._shared.timetable.sleep(delay)

    async def _made(self, request: Request, found: Instrument, span: Span) -> tuple[list[Value], Candle | None, Rows]:
        """The message, its last bar, and its bars for the ledger, made in portions between which others are served."""
        dates, is_kept = _dates(request, found, span), self._shared.ledger.is_kept
        is_falsified = bool(self._shared.faults.armed)  # a fault may want to reckon with the numbers
        bars: list[Value] = []
        rows: Rows = []
        last: Candle | None = None
        source = volatility_candles if request.what in VOLATILITIES else candles
        for portion in source(self._shared.world, found, span):
            for last in portion:
                bar = (last.open, last.high, last.low, last.close, last.volume, last.average, last.count)
                bars.append(dates.of(last))
                bars += bar if is_falsified else map(text_of, bar)  # as text, so that sending takes no time at once
            if is_kept:
                rows += [[utc_text(c.start), c.open, c.high, c.low, c.close, c.volume] for c in portion]
            await asyncio.sleep(0)
        ends = found.venue.ib_text(span.begin), found.venue.ib_text(span.end)
        return [17, request.request_id, *ends, len(bars) // FIELDS_A_BAR, *bars], last, rows

    def _told(self, session: Session, request: Request, found: Instrument, span: Span, rows: Rows) -> None:
        """One line of the ledger, with all bars when somebody keeps it."""
        self._shared.ledger.write(
            "bars",
            span.now,
            live=False,
            client_id=session.client_id,
            contract_id=found.contract_id,
            symbol=found.symbol,
            bar_size_seconds=span.size,
            what=request.what,
            bars=rows,
        )

    def _schedule(self, session: Session, request: Request, found: Instrument) -> None:
        """Message 106: the sessions of a span."""
        venue, end = found.venue, self._end(request, found)
        calendar = found.calendar if request.regular_hours else found.hours
        begin = duration_of(request.duration).begin(calendar, end, DAY)
        days = calendar.between(calendar.latest(begin).day, calendar.latest(end).day)
        times = _dashed(venue, begin), _dashed(venue, end)
        values: list[Value] = [106, request.request_id, *times, venue.zone_name, len(days)]
        for day in days:
            session_day = calendar.session(day)
            values += [_dashed(venue, session_day.open), _dashed(venue, session_day.close), f"{day:%Y%m%d}"]
        session.send(*values)


def _dates(request: Request, found: Instrument, span: Span) -> Dates:
    return Dates(found.venue, daily=span.size >= DAY, epoch=request.epoch_dates)


def _dashed(venue: Venue, moment: float) -> str:
    return f"{venue.local(moment):%Y%m%d-%H:%M:%S}"
