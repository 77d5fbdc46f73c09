"""Answers about the past: historical bars and trading schedules."""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from infra.gateway_simulator.bars import (
    ADJUSTED_LAST,
    BAR_SIZES,
    BARS_MAX,
    DAY,
    QUOTED,
    TRADES,
    Candle,
    Duration,
    Span,
)
from infra.gateway_simulator.calendar import NEW_YORK, utc_text
from infra.gateway_simulator.contracts import NO_DEFINITION, Asked
from infra.gateway_simulator.floor import NOT_SUPPORTED, Shared
from infra.gateway_simulator.instruments import Instrument
from infra.gateway_simulator.pacing import OPEN_REQUESTS, PACED_BAR_SECONDS, HistoryPacing
from infra.gateway_simulator.session import Session
from infra.gateway_simulator.venues import Venue
from infra.gateway_simulator.wire import Fields, Value

SERVICE = "Historical Market Data Service error message:"
SCHEDULE = "SCHEDULE"
EPOCH_FORMAT = 2


class RequestError(Exception):
    """The request is answered by an error of this code."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text


@dataclass(frozen=True, slots=True)
class Request:
    """One request for historical bars, as it came."""

    request_id: int
    asked: Asked
    end: str
    bar_size: str
    duration: str
    what: str
    epoch_dates: bool
    stays: bool

    @classmethod
    def taken_from(cls, fields: Fields) -> "Request":
        request_id = fields.whole()
        asked = Asked.taken_from(fields)
        fields.skip(1)  # expired contracts
        end, bar_size, duration = fields.text(), fields.text(), fields.text()
        fields.skip(1)  # regular hours only: there are no others
        what, date_format = fields.text().upper(), fields.whole()
        return cls(request_id, asked, end, bar_size, duration, what, date_format == EPOCH_FORMAT, fields.flag())


class HistoryDesk:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._pacing = HistoryPacing(shared.clock)
        self._open: dict[tuple[Session, int], asyncio.Task[None]] = {}
        self._one_at_a_time = asyncio.Lock()

    async def historical_data(self, session: Session, fields: Fields) -> None:
        """Taken up at once and answered in turn, so that an order does not wait for a long answer."""
        request = Request.taken_from(fields)
        key = (session, request.request_id)
        if key in self._open:
            reason = "Duplicate ticker ID for API historical data query"
        elif sum(1 for each in self._open if each[0] is session) >= OPEN_REQUESTS:
            reason = f"Only {OPEN_REQUESTS} simultaneous API historical data requests allowed."
        else:
            self._open[key] = asyncio.create_task(self._answered(session, request))
            return
        session.error(request.request_id, 322, f"Error processing request.-'sm' : cause - {reason}")

    async def cancel(self, session: Session, fields: Fields) -> None:
        fields.skip(1)
        request_id = fields.whole()
        task = self._open.pop((session, request_id), None)
        if task is None:
            session.error(request_id, 366, f"No historical data query found for ticker id:{request_id}")
            return
        task.cancel()
        session.error(request_id, 162, f"{SERVICE}API historical data query cancelled: {request_id}")

    def dismiss(self, session: Session) -> None:
        """The client has gone: nobody waits for its answers."""
        for key in [each for each in self._open if each[0] is session]:
            self._open.pop(key).cancel()

    async def _answered(self, session: Session, request: Request) -> None:
        try:
            async with self._one_at_a_time:
                await self._answer(session, request)
        except RequestError as error:
            session.error(request.request_id, error.code, error.text)
        finally:
            key = (session, request.request_id)
            if self._open.get(key) is asyncio.current_task():  # a cancelled request's id may be in use again
                del self._open[key]

    async def _answer(self, session: Session, request: Request) -> None:
        shared = self._shared
        facts = {"end": request.end, "bar_size": request.bar_size, "duration": request.duration, "what": request.what}
        symbol = request.asked.name
        shared.ledger.write("historical_request", shared.now(), client_id=session.client_id, contract=symbol, **facts)
        found = request.asked.found_in(shared.catalogue)
        if found is None:
            raise RequestError(*NO_DEFINITION)
        now = shared.now()
        end = min(moment_of(request.end, now), now)
        if end <= found.calendar.session(found.calendar.days[0]).open:
            raise _no_data(request)
        if request.what == SCHEDULE:
            self._schedule(session, request, found, end)
            return
        span = self._span(request, found, end, now)
        self._paced(request, span.size)
        candles: list[Candle] = []
        for portion in shared.world.history.candles(found, span):
            candles += portion
            await asyncio.sleep(0)
        if not candles:
            raise _no_data(request)
        self._serve(session, request, found, span, candles)

    def _span(self, request: Request, found: Instrument, end: float, now: float) -> Span:
        size = BAR_SIZES.get(request.bar_size)
        if size is None:
            legal = ", ".join(each for each in BAR_SIZES if each not in ("1 week", "1 month"))
            raise _invalid(f"Historical data bar size setting is invalid. Legal ones are: {legal}")
        if request.what not in (TRADES, ADJUSTED_LAST, *QUOTED):
            raise _invalid(f"What to show {request.what!r} {NOT_SUPPORTED}")
        if request.what == ADJUSTED_LAST and request.end:
            raise _invalid("End date not supported with adjusted last")
        if request.stays:
            raise _invalid(f"keepUpToDate {NOT_SUPPORTED}; subscribe to real-time bars")
        try:
            duration = Duration(request.duration)
        except ValueError as error:
            raise _invalid(str(error)) from None
        if duration.unit == "D" and duration.count > 365:
            raise _invalid("Historical data requests for durations longer than 365 days must be made in years.")
        calendar = found.calendar
        begin = duration.begin(calendar, end, size)
        days = (end - begin) / DAY + 1
        if (size >= DAY and duration.unit == "S") or days * 5 / 7 * calendar.regular_seconds / size > BARS_MAX + 1000:
            raise RequestError(162, f"{SERVICE}invalid step: {request.bar_size} over {request.duration}")
        return Span(begin, end, size, request.what, now)

    def _paced(self, request: Request, size: int) -> None:
        if not self._shared.paced or size > PACED_BAR_SECONDS:
            return
        contract = (request.asked.symbol, str(request.asked.contract_id), request.asked.exchange, request.what)
        wanted = (request.end, request.bar_size, request.duration, request.what)
        if not self._pacing.permits(contract, wanted, 2 if request.what == "BID_ASK" else 1):
            raise RequestError(162, f"{SERVICE}Historical data request pacing violation")

    def _serve(self, session: Session, request: Request, found: Instrument, span: Span, candles: list[Candle]) -> None:
        intraday = span.size < DAY
        values: list[Value] = [
            17,
            request.request_id,
            found.venue.ib_text(span.begin),
            found.venue.ib_text(span.end),
            len(candles),
        ]
        for each in candles:
            date = _date_text(each, intraday, None if request.epoch_dates else found.venue)
            values += [date, each.open, each.high, each.low, each.close, each.volume, each.average, each.count]
        self._shared.ledger.write(
            "bars",
            span.now,
            live=False,
            client_id=session.client_id,
            contract_id=found.contract_id,
            symbol=found.symbol,
            bar_size_seconds=span.size,
            what=request.what,
            bars=[[utc_text(c.start), c.open, c.high, c.low, c.close, c.volume] for c in candles],
        )
        session.send(*values, event="historical bars", symbol=found.symbol)

    def _schedule(self, session: Session, request: Request, found: Instrument, end: float) -> None:
        """Message 106: the sessions of a span."""
        venue, calendar = found.venue, found.calendar
        try:
            begin = Duration(request.duration).begin(calendar, end, DAY)
        except ValueError as error:
            raise _invalid(str(error)) from None
        days = calendar.between(calendar.latest(begin).day, calendar.latest(end).day)
        times = _dashed(venue, begin), _dashed(venue, end)
        values: list[Value] = [106, request.request_id, *times, venue.zone_name, len(days)]
        for day in days:
            session_day = calendar.session(day)
            values += [_dashed(venue, session_day.open), _dashed(venue, session_day.close), f"{day:%Y%m%d}"]
        session.send(*values)


def moment_of(text: str, now: float) -> float:
    """The epoch second that IB's end date and time means; empty is now."""
    if not text:
        return now
    stamp, _, zone = text.replace("  ", " ").strip().partition(" ")
    clock, _, zone_after = zone.partition(" ")
    if "-" in stamp:  # 20231006-20:00:00 is UTC
        stamp, _, clock = stamp.partition("-")
        zone_after = zone or "UTC"
    with contextlib.suppress(ValueError, OverflowError, ZoneInfoNotFoundError):
        where = UTC if zone_after in ("UTC", "GMT") else ZoneInfo(zone_after) if zone_after else NEW_YORK
        return datetime.strptime(f"{stamp} {clock or '23:59:59'}", "%Y%m%d %H:%M:%S").replace(tzinfo=where).timestamp()
    form = "The correct format is yyyymmdd hh:mm:ss xx/xxxx"
    raise RequestError(10314, f"End Date/Time: The date, time, or time-zone entered is invalid. {form}")


def _no_data(request: Request) -> RequestError:
    return RequestError(162, f"{SERVICE}HMDS query returned no data: {request.asked.name} {request.what.title()}")


def _invalid(cause: str) -> RequestError:
    return RequestError(321, f"Error validating request.-'sm' : cause - {cause}")


def _date_text(candle: Candle, intraday: bool, venue: Venue | None) -> str:
    """In the venue's own time, or in epoch seconds without one."""
    if not intraday:
        return f"{candle.day:%Y%m%d}"
    return str(candle.start) if venue is None else venue.ib_text(candle.start)


def _dashed(venue: Venue, moment: float) -> str:
    return f"{venue.local(moment):%Y%m%d-%H:%M:%S}"
