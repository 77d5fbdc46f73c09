"""When an order may trade, and when its time is over.

Some instruments trade before and after regular hours: there only orders that ask for it do.
"""

from datetime import date

from infra.gateway_simulator.instruments.calendar import Calendar
from infra.gateway_simulator.orders.order import AT_CLOSE, Order, Terms

TIMES_IN_FORCE = ("DAY", "GTC", "IOC", "FOK", "GTD", "OPG")
AT_ONCE = ("IOC", "FOK")
CLOSE_CUTOFF_SECONDS = 600  # NYSE rule 7.35B: orders for the closing auction come, and can be cancelled, until 15:50
AUCTION_SECONDS = 1  # by which the closing auction is over
_HOURS_HELD = frozenset({"LMT", "STP LMT", "TRAIL LIMIT", "LIT", "REL"})  # IB takes the flag for these alone


def goes_outside(terms: Terms) -> bool:
    """Whether it may trade outside of regular hours."""
    wanted = terms.outside_hours and terms.kind in _HOURS_HELD and terms.time_in_force != "OPG"
    return wanted and terms.instrument.trades_outside


def may_trade(terms: Terms, now: float) -> bool:
    return hours_of(terms).is_open_at(now)


def hours_of(terms: Terms) -> Calendar:
    """The hours in which it may trade."""
    return terms.instrument.hours if goes_outside(terms) else terms.instrument.calendar


def trading_day(terms: Terms, now: float) -> date:
    """The session to which an order of now belongs: that of today, or the next one."""
    session = hours_of(terms).latest(now)
    if now < session.open or (now < session.close and terms.time_in_force != "OPG"):
        return session.day
    return terms.instrument.calendar.following(session.day).day


def begin(order: Order) -> float:
    """When the hours of its day begin in which it may trade."""
    return float(hours_of(order.terms).session(order.day).open)


def expiry(order: Order) -> float | None:
    """When its time is over; None when it is good till cancelled."""
    terms = order.terms
    if terms.time_in_force == "GTC":
        return None
    if terms.time_in_force == "GTD":
        return terms.good_till
    return float(hours_of(terms).session(order.day).close)


def is_over(order: Order, now: float) -> bool:
    """Whether it has outlived its time; orders for the closing auction see that first."""
    end = expiry(order)
    return end is not None and (end + AUCTION_SECONDS if order.terms.kind in AT_CLOSE else end) <= now


def misses_close(terms: Terms, now: float) -> bool:
    """Whether it is too late for the closing auction of the session that is on."""
    session = terms.instrument.calendar.latest(now)
    return terms.kind in AT_CLOSE and session.close - CLOSE_CUTOFF_SECONDS <= now < session.close
