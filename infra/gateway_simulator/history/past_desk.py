"""Answers about the past that are no bars: where data begins, ticks, histograms."""

import asyncio
import re
from collections import Counter
from functools import partial

import numpy as np

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.history.history_desk import PACING_VIOLATION
from infra.gateway_simulator.history.openings import Openings
from infra.gateway_simulator.history.past_request import (
    EPOCH_FORMAT,
    KINDS,
    SERVICE,
    TRADED,
    RequestError,
    invalid_request,
    moment_of,
    utc_dashed,
)
from infra.gateway_simulator.history.past_ticks import (
    BID_ASK,
    MIDPOINT,
    TICKS_MAX,
    TRADES,
    PastTicks,
    message,
    whole_seconds,
)
from infra.gateway_simulator.instruments.calendar import Calendar
from infra.gateway_simulator.instruments.contracts import Asked
from infra.gateway_simulator.instruments.instrument import Instrument, Kind
from infra.gateway_simulator.market.bars import DAY, Duration
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.market.prints import Prints
from infra.gateway_simulator.protocol.pacing import HistoryPacing, Pacing, PastRequest
from infra.gateway_simulator.protocol.session import Session
from infra.gateway_simulator.protocol.wire import Fields, Value

NO_HEAD = f"{SERVICE}No head time stamp"
HISTOGRAM_DAYS_MAX = 366
_PERIOD = re.compile(r"(\d{1,5}) (second|minute|hour|day|week|month|year)s?")
_SECONDS = {"second": 1, "minute": 60, "hour": 3600}
_UNITS = {"day": "D", "week": "W", "month": "M", "year": "Y"}


class PastDesk:
    def __init__(self, shared: Shared, openings: Openings, pacing: HistoryPacing) -> None:
        self._shared = shared
        self._openings = openings
        self._pacing = pacing
        self._ticks = {each: PastTicks(shared.world, regular=each) for each in (True, False)}

    async def head_timestamp(self, session: Session, fields: Fields) -> None:
        request_id, asked = fields.whole(), Asked.taken_from(fields)
        fields.skip(1)  # expired contracts
        regular, what, date_format = fields.flag(), fields.text().upper(), fields.whole()
        shown = regular, date_format == EPOCH_FORMAT
        self._openings.start(session, request_id, partial(self._head, session, request_id, asked, what, shown))

    async def _head(self, session: Session, request_id: int, asked: Asked, what: str, shown: tuple[bool, bool]) -> None:
        """`shown`: whether of regular hours alone, and whether in epoch seconds."""
        regular, epoch = shown
        found = self._found(asked)
        if what not in KINDS:
            raise invalid_request(f"What to show {what[:40]!r} has no head time stamp")
        if self._shared.pacing is Pacing.STRICT:
            self._paced(PastRequest(f"{found.contract_id}@{asked.exchange or 'SMART'}", what, "head", 1))
        hours = found.calendar if regular else found.hours
        opened = hours.session(self._shared.world.series(found).first_day).open
        if opened > self._shared.now() or (what in TRADED and not found.has_trades):
            raise RequestError(162, NO_HEAD)
        session.send(88, request_id, str(opened) if epoch else utc_dashed(opened))

    async def historical_ticks(self, session: Session, fields: Fields) -> None:
        request_id, asked = fields.whole(), Asked.taken_from(fields)
        fields.skip(1)  # expired contracts
        begin, end, count, what = fields.text(), fields.text(), fields.whole(), fields.text().upper()
        regular, new_prices_only = fields.flag(), fields.flag()
        wanted = (begin, end, count, what, new_prices_only)
        past = self._ticks[regular]
        self._openings.start(session, request_id, partial(self._past_ticks, session, request_id, asked, wanted, past))

    async def _past_ticks(
        self, session: Session, request_id: int, asked: Asked, wanted: tuple[str, str, int, str, bool], past: PastTicks
    ) -> None:
        begin, end, count, what, new_prices_only = wanted
        found, now = self._found(asked), self._shared.now()
        if what not in (TRADES, BID_ASK, MIDPOINT):
            raise invalid_request(f"What to show {what[:40]!r} is none of TRADES, BID_ASK, MIDPOINT")
        if not 1 <= count <= TICKS_MAX:
            raise invalid_request(f"numberOfTicks must lie within 1..{TICKS_MAX}")
        if bool(begin) == bool(end):
            raise invalid_request("Please specify either a start or an end date and time, and not both")
        if not self._shared.permissions.sees_live(found):
            missing = self._shared.permissions.missing(found)
            raise RequestError(10187, f"Failed to request historical ticks:{missing}")
        if not (found.has_trades if what == TRADES else found.kind is not Kind.INDEX):
            raise RequestError(10187, f"Failed to request historical ticks:{found.symbol} has no {what}")
        self._paced(PastRequest(f"{found.contract_id}@{asked.exchange or 'SMART'}", what, f"{begin}/{end}/{count}", 1))
        self._shared.ledger.write(
            "ticks_request", now, client_id=session.client_id, contract=asked.name, start=begin, end=end, what=what
        )
        if begin:
            quotes = past.after(found, moment_of(begin, now), now)
        else:
            quotes = past.before(found, min(moment_of(end, now), now))
        only = new_prices_only and what == BID_ASK
        taken = whole_seconds(quotes, count, new_prices_only=only)
        session.send(*message(request_id, found, what, taken if begin else taken[::-1]), symbol=found.symbol)

    async def histogram(self, session: Session, fields: Fields) -> None:
        request_id, asked = fields.whole(), Asked.taken_from(fields)
        fields.skip(1)  # expired contracts
        regular, period = fields.flag(), fields.text().strip().lower()
        self._openings.start(session, request_id, partial(self._histogram, session, request_id, asked, regular, period))

    async def _histogram(self, session: Session, request_id: int, asked: Asked, regular: bool, period: str) -> None:
        found, now = self._found(asked), self._shared.now()
        hours = found.calendar if regular else found.hours
        begin = self._begin(hours, period, now)
        async with self._openings.turn:
            sizes = await self._sizes(found, hours, begin, now)
        values: list[Value] = [89, request_id, len(sizes)]
        for price in sorted(sizes):
            values += [price / UNITS, sizes[price]]
        session.send(*values, symbol=found.symbol)

    async def _sizes(self, found: Instrument, hours: Calendar, begin: float, now: float) -> Counter[int]:
        """How much was traded at each price."""
        sizes: Counter[int] = Counter()
        day = hours.latest(begin)
        while day.open < now:
            path = self._shared.world.path(found, day)
            if path is not None:
                prints = Prints.of(path).between(begin - day.open, np.nextafter(now - day.open, np.inf))
                prices, places = np.unique(prints.price, return_inverse=True)
                totals = np.zeros(len(prices), dtype=np.int64)
                np.add.at(totals, places, prints.size)
                sizes.update(dict(zip(prices.tolist(), totals.tolist(), strict=True)))
            day = hours.following(day.day)
            await asyncio.sleep(0)
        return sizes

    def _begin(self, hours: Calendar, period: str, now: float) -> float:
        matched = _PERIOD.fullmatch(period)
        if matched is None or int(matched[1]) == 0:
            raise invalid_request(f"Invalid time period: {period[:40]!r}")
        count, unit = int(matched[1]), matched[2]
        if unit in _SECONDS:
            begin = now - count * _SECONDS[unit]
        else:
            begin = Duration(f"{count} {_UNITS[unit]}").begin(hours, now, DAY)
        if now - begin > HISTOGRAM_DAYS_MAX * DAY:
            raise invalid_request(f"Invalid time period: {period[:40]!r} is longer than a year")
        return begin

    async def cancel(self, session: Session, fields: Fields) -> None:
        """Of a head time stamp or a histogram: nothing is said, whether it has been answered or not."""
        self._openings.end(session, fields.whole())

    def _found(self, asked: Asked) -> Instrument:
        found = asked.found_in(self._shared.catalogue, self._shared.now())
        if found is None:
            raise RequestError(*asked.refusal(self._shared.catalogue))
        return found

    def _paced(self, request: PastRequest) -> None:
        if not self._pacing.permits(request):
            raise RequestError(162, PACING_VIOLATION)
