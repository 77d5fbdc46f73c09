"""When stops and touched orders go to the market, and how trailing stops follow it.

A trigger that waits for rising prices (buy stops, sell orders if touched) looks at the bid where its method says bid
and ask, one that waits for falling prices at the offer: so IB has it.
"""

from decimal import ROUND_HALF_UP, Decimal

from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.market.market import Quote
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.orders.matching import money
from infra.gateway_simulator.orders.order import STOPS, TRAILS, Order, Terms

DEFAULT, DOUBLE_BID_ASK, LAST, DOUBLE_LAST, BID_ASK, LAST_OR_BID_ASK, MIDPOINT = 0, 1, 2, 3, 4, 7, 8
METHODS = (DEFAULT, DOUBLE_BID_ASK, LAST, DOUBLE_LAST, BID_ASK, LAST_OR_BID_ASK, MIDPOINT)
_TWICE = (DOUBLE_BID_ASK, DOUBLE_LAST)


def prices_seen(quote: Quote, method: int, rising: bool) -> list[Decimal]:
    """What a trigger of that method compares with its price."""
    last, side = money(quote.last), money(quote.bid if rising else quote.ask)
    if method in (DOUBLE_BID_ASK, BID_ASK):
        return [side]
    if method == LAST_OR_BID_ASK:
        return [last, side]
    if method == MIDPOINT:
        return [(money(quote.bid) + money(quote.ask)) / 2]
    return [last]


def observe(order: Order, quote: Quote) -> bool:
    """Look at the quote once more; whether the order is triggered by it."""
    assert order.stop is not None, "only orders with a trigger price are observed"
    rising = (order.sign > 0) == (order.terms.kind in STOPS)
    method = order.terms.trigger_method
    seen = prices_seen(quote, method, rising)
    reached = any(each >= order.stop if rising else each <= order.stop for each in seen)
    order.observed = order.observed + 1 if reached else 0
    return order.observed >= (2 if method in _TWICE else 1)


def set_prices(order: Order) -> None:
    """The limit and trigger price with which an order begins, or begins anew after a change."""
    terms = order.terms
    order.limit = None if terms.waits_for_trigger else terms.limit
    order.stop = None
    if terms.waits_for_trigger:
        order.stop = terms.trail_stop if terms.kind in TRAILS else terms.auxiliary


def trail(order: Order, quote: Quote) -> None:
    """Let the stop of a trailing order follow the market, which it does in one direction alone."""
    terms = order.terms
    (price, *_) = prices_seen(quote, terms.trigger_method, order.sign > 0)
    distance = terms.auxiliary if terms.trail_percent is None else price * terms.trail_percent / 100
    if distance is None:
        return
    followed = on_grid(price + order.sign * distance, terms.instrument)
    if order.stop is None or (order.stop - followed) * order.sign > 0:
        order.stop = followed


def elect(order: Order) -> None:
    """The trigger has gone off: from now on it is a market or a limit order."""
    order.triggered = True
    if order.terms.kind == "TRAIL LIMIT":
        assert order.stop is not None
        order.limit = on_grid(order.stop + order.sign * _offset(order.terms), order.terms.instrument)
    else:
        order.limit = order.terms.limit


def _offset(terms: Terms) -> Decimal:
    """How far the limit of a trailing order lies beyond its stop."""
    if terms.limit_offset is not None:
        return terms.limit_offset
    if terms.limit is not None and terms.trail_stop is not None:
        return abs(terms.trail_stop - terms.limit)
    return Decimal(0)


def peg(order: Order, quote: Quote) -> Decimal | None:
    """Where a pegged order wants to rest: beside the best price of its side, or in the middle."""
    terms = order.terms
    if terms.kind == "MIDPRICE":
        wanted = (money(quote.bid) + money(quote.ask)) / 2
    else:
        best = money(quote.bid if order.sign > 0 else quote.ask)
        offset = best * terms.percent_offset if terms.percent_offset else terms.auxiliary or Decimal(0)
        wanted = best + order.sign * offset
    wanted = on_grid(wanted, terms.instrument)
    if terms.limit is not None and (wanted - terms.limit) * order.sign > 0:
        return terms.limit
    return wanted


def on_grid(price: Decimal, instrument: Instrument) -> Decimal:
    """The nearest price that the exchange takes."""
    step = Decimal(instrument.rule.step_at(int(price * UNITS))) / UNITS
    return (price / step).quantize(Decimal(1), ROUND_HALF_UP) * step
