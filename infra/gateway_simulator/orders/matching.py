"""What orders trade: against what is displayed, and, where they rest, with the trades that happen at their price.

An order that meets a displayed price takes what is displayed there, at that price. What is left of it rests with its
limit, behind the volume that is displayed at its price (behind one to nine round lots, drawn by symbol and price, where
that price is not the best; behind nothing where it improves the best). A print at its price first uses up that volume,
then fills the order; a price beyond its limit fills it at its limit up to what is displayed there.
Hidden orders stand behind everything: they fill only when the price goes beyond. Of an iceberg only the displayed part
has its place in the queue; each further part lines up anew.
"""

from decimal import Decimal

from infra.gateway_simulator.market.market import Quote
from infra.gateway_simulator.market.noise import pick
from infra.gateway_simulator.market.prices import UNITS
from infra.gateway_simulator.orders.order import ZERO, Match, Order

LOTS = 9


def money(units: int) -> Decimal:
    """A price of the simulated world as clients know it."""
    return Decimal(units) / UNITS


def take(order: Order, quote: Quote) -> Match | None:
    """What `order` trades against what is displayed; takes that much away from the quote."""
    buys = order.sign > 0
    displayed, best = (quote.ask_size, money(quote.ask)) if buys else (quote.bid_size, money(quote.bid))
    limit = order.limit
    if displayed <= 0 or (limit is not None and (best - limit) * order.sign > 0):
        return None
    quantity = _allowed(order, min(order.remaining, Decimal(displayed)))
    if not quantity:
        return None
    left = displayed - int(quantity.to_integral_value())
    if buys:
        quote.ask_size = left
    else:
        quote.bid_size = left
    adds = limit is not None and order.rested
    return Match(quantity, limit if adds and limit is not None else best, adds)


def meet(order: Order, quote: Quote, left: Decimal) -> Match | None:
    """What a resting order gets of a print of which so much is left; moves it up in its queue."""
    if order.limit is None or not order.rested:
        return None
    beyond = (order.limit - money(quote.last)) * order.sign
    if beyond < 0 or (beyond == 0 and order.terms.hidden):
        return None
    if beyond == 0:
        passed = min(order.ahead, left)
        order.ahead -= passed
        left -= passed
    shown = order.shown if beyond == 0 and order.shown else order.remaining
    quantity = _allowed(order, min(order.remaining, shown, left))
    return Match(quantity, order.limit, adds_liquidity=True) if quantity else None


def crosses(order: Order, quote: Quote) -> bool:
    """Whether what is displayed now meets its limit."""
    if order.limit is None:
        return True
    best = money(quote.ask if order.sign > 0 else quote.bid)
    return (best - order.limit) * order.sign <= 0


def line_up(order: Order, quote: Quote) -> None:
    """Take its place in the queue of its price."""
    order.rested = True
    order.shown = Decimal(order.terms.display_size)
    if order.limit is None:
        return
    best, size = (quote.bid, quote.bid_size) if order.sign > 0 else (quote.ask, quote.ask_size)
    better = (order.limit - money(best)) * order.sign
    order.ahead = ZERO if better > 0 else Decimal(size) if better == 0 else _drawn(order)


def was_shown(order: Order, quantity: Decimal) -> None:
    """Part of an iceberg has traded: when its displayed part is gone, the next one lines up behind the others."""
    if order.terms.display_size:
        order.shown -= quantity
        if order.shown <= 0:
            order.shown, order.ahead = Decimal(order.terms.display_size), _drawn(order)


def _drawn(order: Order) -> Decimal:
    """What others have at a price whose size is not displayed."""
    instrument = order.terms.instrument
    return Decimal((pick(LOTS, "queue", instrument.symbol, str(order.limit)) + 1) * instrument.lot)


def _allowed(order: Order, quantity: Decimal) -> Decimal:
    """The quantity, or nothing where the client wants more at once."""
    if order.terms.all_or_none and quantity < order.remaining:
        return ZERO
    least = min(Decimal(order.terms.minimum_quantity), order.remaining)
    if not order.filled and quantity < least:
        return ZERO
    return quantity
