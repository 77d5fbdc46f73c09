"""Ticks of the past: the same trades and quotes that live clients were sent, whole seconds of them."""

import math
from collections.abc import Iterable, Iterator

from infra.gateway_simulator.instruments.calendar import Calendar, Session
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.market import Quote, World, quote_after
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.market.prints import Prints
from infra.gateway_simulator.protocol.wire import Value

TICKS_MAX = 1000  # of one request; a second is never cut in two
TRADES, BID_ASK, MIDPOINT = "TRADES", "BID_ASK", "MIDPOINT"
_SESSIONS_MAX = 60  # looked through for one request


class PastTicks:
    """Of all hours, or of the `regular` ones alone."""

    def __init__(self, world: World, *, regular: bool = False) -> None:
        self._world = world
        self._regular = regular

    def after(self, instrument: Instrument, begin: float, now: float) -> Iterator[Quote]:
        """From `begin` on, oldest first, as far as they have happened."""
        calendar = self._calendar(instrument)
        session = calendar.latest(begin)
        for _ in range(_SESSIONS_MAX):
            if session.open > now:
                return
            yield from self.between(instrument, max(begin, session.open), min(now, session.close))
            session = calendar.following(session.day)

    def before(self, instrument: Instrument, end: float) -> Iterator[Quote]:
        """Those before `end`, newest first."""
        calendar = self._calendar(instrument)
        session = calendar.latest(end)
        for _ in range(_SESSIONS_MAX):
            prints = self._prints(instrument, session, session.open, end)
            yield from _quotes(instrument, session, prints, range(len(prints) - 1, -1, -1))
            if session.day == calendar.days[0]:
                return
            session = calendar.session(calendar.back(session.day, 1))

    def between(self, instrument: Instrument, begin: float, end: float) -> Iterator[Quote]:
        """Those of one session, both ends included."""
        session = self._calendar(instrument).latest(begin)
        prints = self._prints(instrument, session, begin, math.nextafter(end, math.inf))
        return _quotes(instrument, session, prints, range(len(prints)))

    def _calendar(self, instrument: Instrument) -> Calendar:
        return instrument.calendar if self._regular else instrument.hours

    def _prints(self, instrument: Instrument, session: Session, begin: float, end: float) -> Prints:
        path = self._world.path(instrument, session)
        return Prints.of(path).between(begin - session.open, end - session.open) if path is not None else Prints.none()


def _quotes(instrument: Instrument, session: Session, prints: Prints, places: range) -> Iterator[Quote]:
    for at in places:
        moment, price = session.open + float(prints.offset[at]), int(prints.price[at])
        yield quote_after(instrument, moment, price, int(prints.size[at]))


def whole_seconds(quotes: Iterable[Quote], count: int, *, new_prices_only: bool = False) -> list[Quote]:
    """The first `count`, and what else happened in the second of the last one."""
    taken: list[Quote] = []
    known = None
    for each in quotes:
        if len(taken) >= count and int(each.moment) != int(taken[-1].moment):
            break
        if not new_prices_only or (each.bid, each.ask) != known:
            taken.append(each)
        known = (each.bid, each.ask)
    return taken


def message(request_id: int, instrument: Instrument, what: str, quotes: list[Quote]) -> tuple[Value, ...]:
    """historicalTicks, historicalTicksBidAsk or historicalTicksLast, oldest tick first."""
    values: list[Value] = [{MIDPOINT: 96, BID_ASK: 97, TRADES: 98}[what], request_id, len(quotes)]
    for each in quotes:
        second, bid, ask = int(each.moment), each.bid / UNITS, each.ask / UNITS
        if what == MIDPOINT:
            values += [second, 0, (each.bid + each.ask) / 2 / UNITS, 0]
        elif what == BID_ASK:
            values += [second, 0, bid, ask, each.bid_size, each.ask_size]
        else:
            values += [second, 0, each.last / UNITS, each.last_size, instrument.exchange, ""]
    return (*values, True)
