"""When an order may trade, and when its time is over.

Extended hours are those of IB for US stocks, 04:00 to 20:00 in New York. This world has no trades outside of regular
hours but those printed by hand: orders that may trade there meet the quote that the session left.
"""

from datetime import date, datetime, time

from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.orders.order import AT_CLOSE, Order, Terms

TIMES_IN_FORCE = ("DAY", "GTC", "IOC", "FOK", "GTD", "OPG")
AT_ONCE = ("IOC", "FOK")
CLOSE_CUTOFF_SECONDS = 600  # NYSE rule 7.35B: orders for the closing auction come, and can be cancelled, until 15:50
AUCTION_SECONDS = 1  # by which the closing auction is over
EXTENDED = {"XNYS": (time(4), time(20))}
_HOURS_HELD = frozenset({"LMT", "STP LMT", "TRAIL LIMIT", "LIT", "REL"})  # IB takes the flag for these alone


def goes_outside(terms: Terms) -> bool:
    """Whether it may trade outside of regular hours."""
    return terms.outside_hours and terms.kind in _HOURS_HELD and terms.instrument.venue.market in EXTENDED


def may_trade(terms: Terms, now: float) -> bool:
    calendar = terms.instrument.calendar
    session = calendar.latest(now)
    if session.open <= now < session.close:
        return True
    if not goes_outside(terms):
        return False
    day = terms.instrument.venue.local(now).date()
    begins, ends = _extended(terms.instrument, day)
    return calendar.is_open_on(day) and begins <= now < ends


def trading_day(terms: Terms, now: float) -> date:
    """The session to which an order of now belongs: that of today, or the next one."""
    instrument = terms.instrument
    session = instrument.calendar.latest(now)
    until = _extended(instrument, session.day)[1] if goes_outside(terms) else session.close
    if now < until and terms.time_in_force != "OPG":
        return session.day
    if now < session.open:
        return session.day
    return instrument.calendar.following(session.day).day


def begin(order: Order) -> float:
    """When the hours of its day begin in which it may trade."""
    terms = order.terms
    if goes_outside(terms):
        return _extended(terms.instrument, order.day)[0]
    return float(terms.instrument.calendar.session(order.day).open)


def expiry(order: Order) -> float | None:
    """When its time is over; None when it is good till cancelled."""
    terms = order.terms
    if terms.time_in_force == "GTC":
        return None
    if terms.time_in_force == "GTD":
        return terms.good_till
    if goes_outside(terms):
        return _extended(terms.instrument, order.day)[1]
    return float(terms.instrument.calendar.session(order.day).close)


def is_over(order: Order, now: float) -> bool:
    """Whether it has outlived its time; orders for the closing auction see that first."""
    end = expiry(order)
    return end is not None and (end + AUCTION_SECONDS if order.terms.kind in AT_CLOSE else end) <= now


def misses_close(terms: Terms, now: float) -> bool:
    """Whether it is too late for the closing auction of the session that is on."""
    session = terms.instrument.calendar.latest(now)
    return terms.kind in AT_CLOSE and session.close - CLOSE_CUTOFF_SECONDS <= now < session.close


def _extended(instrument: Instrument, day: date) -> tuple[float, float]:
    hours = EXTENDED.get(instrument.venue.market)
    if hours is None:
        session = instrument.calendar.session(day)
        return session.open, session.close
    zone = instrument.calendar.zone
    begins, ends = (datetime.combine(day, each, zone).timestamp() for each in hours)
    return begins, ends
