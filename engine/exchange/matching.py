"""At which price an order trades in a bar, if it does: the rules of open, range and close, one order at a time.

A bar tells four prices and not their order, so every rule takes what the bar proves, and the worse where it proves
nothing (docs/backtests.md cites how other engines decide). `s` is +1 for a buy and -1 for a sale; written for a buy,
each rule holds for a sale with all prices negated. `touch` lets a limit fill at its very price; without it the market
must trade through.
"""

from typing import NamedTuple

from engine.exchange.orders import Order
from engine.order_requests import OrderKind

_TRAILS = (OrderKind.TRAIL, OrderKind.TRAIL_LIMIT)
_TO_LIMIT = (OrderKind.STOP_LIMIT, OrderKind.TRAIL_LIMIT, OrderKind.LIMIT_IF_TOUCHED)
_RESTS_AT_LIMIT = (OrderKind.LIMIT, OrderKind.MARKET_TO_LIMIT, *_TO_LIMIT)
_TOUCHED = (OrderKind.MARKET_IF_TOUCHED, OrderKind.LIMIT_IF_TOUCHED)
_AT_CLOSE = (OrderKind.MARKET_ON_CLOSE, OrderKind.LIMIT_ON_CLOSE)


class Offer(NamedTuple):
    """What the market offers an order: a price; whether slippage makes it worse, at most to `limit`."""

    price: float
    slips: bool
    limit: float | None = None


class Range(NamedTuple):
    """What a bar's prices after its open, or after an entry inside it, are known to have reached.

    For a buy `worst` is the high and `best` the low, for a sale the other way round. Right after an entry inside the
    bar, `best` is no better than the close: what came before the entry must not fill what works only after it.
    """

    best: float
    worst: float
    close: float


def range_for(order: Order, high: float, low: float, close: float) -> Range:
    """The bar's range as `order` sees it."""
    late = order.late_price
    if late is not None:
        return Range(close, high if order.buys else low, close)
    return Range(low, high, close) if order.buys else Range(high, low, close)


def at_price(order: Order, price: float, *, touch: bool) -> Offer | None:
    """What an order meets when the market stands at `price`: the open, or where its parent filled."""
    s = 1.0 if order.buys else -1.0
    kind = order.kind
    if kind is OrderKind.MARKET or (kind is OrderKind.MARKET_TO_LIMIT and not order.triggered):
        return Offer(price, slips=True)
    if kind in _AT_CLOSE:
        return None
    if kind in _TRAILS and not order.triggered:
        _follow(order, price, s)
    if not order.triggered and _triggers(order, price, s):
        order.triggered = True
        _set_trailed_limit(order, s)
    if order.triggered and kind not in _RESTS_AT_LIMIT:
        return Offer(price, slips=True)
    is_limit = kind is OrderKind.LIMIT or order.triggered
    return Offer(price, slips=False) if is_limit and reaches(s, price, order.limit, touch=touch) else None


def _triggers(order: Order, price: float, s: float) -> bool:
    if order.kind in _TOUCHED:
        return s * price <= s * order.stop
    return (order.is_stop) and s * price >= s * order.stop


def reaches(s: float, price: float, limit: float, *, touch: bool) -> bool:
    """Whether a limit order fills when the market gets to `price`."""
    return s * price < s * limit or (touch and price == limit)


def in_range(order: Order, seen: Range, *, touch: bool) -> Offer | None:
    """What an order meets between open and close, having met nothing at the open."""
    s = 1.0 if order.buys else -1.0
    kind = order.kind
    if order.triggered and kind not in _RESTS_AT_LIMIT:
        return None  # it trades at the market, and did with all that this bar had for it
    if kind is OrderKind.LIMIT or order.triggered:
        return Offer(order.limit, slips=False) if reaches(s, seen.best, order.limit, touch=touch) else None
    if kind in _TOUCHED:
        return _touched(order, seen, s, touch=touch) if s * seen.best <= s * order.stop else None
    if kind in _TRAILS:
        level = _trailed(order, seen, s)
        return None if level is None else _stopped(order, level, seen, s, touch=touch)
    if order.is_stop and s * seen.worst >= s * order.stop:
        return _stopped(order, order.stop, seen, s, touch=touch)
    return None


def _stopped(order: Order, level: float, seen: Range, s: float, *, touch: bool) -> Offer | None:
    """A stop triggered at `level`: it trades there; with a limit, there or, if the close proves it, at the limit."""
    order.triggered = True
    order.stop = level
    if order.kind not in _TO_LIMIT:
        return Offer(level, slips=True)
    _set_trailed_limit(order, s)
    if reaches(s, level, order.limit, touch=touch):
        return Offer(level, slips=True, limit=order.limit)
    return Offer(order.limit, slips=False) if reaches(s, seen.close, order.limit, touch=touch) else None


def _touched(order: Order, seen: Range, s: float, *, touch: bool) -> Offer | None:
    """Touched from the far side, so whatever is better than the trigger came after it."""
    order.triggered = True
    if order.kind not in _TO_LIMIT:
        return Offer(order.stop, slips=True)
    if reaches(s, order.stop, order.limit, touch=touch):
        return Offer(order.stop, slips=True, limit=order.limit)
    return Offer(order.limit, slips=False) if reaches(s, seen.best, order.limit, touch=touch) else None


def _distance(order: Order, price: float) -> float:
    return order.trail if order.trail else abs(price) * order.trail_percent / 100.0


def _follow(order: Order, price: float, s: float) -> None:
    """Pull the stop after a better price; before the first price there is no stop."""
    level = price + s * _distance(order, price)
    if not order.begun or s * level < s * order.stop:
        order.stop = level
    order.begun = True


def _trailed(order: Order, seen: Range, s: float) -> float | None:
    """Where a trailing stop triggered: at the level the bar began with, or at the one its best price drew, if the close
    lies beyond that one; else None, with the level drawn."""
    if s * seen.worst >= s * order.stop:
        return order.stop
    _follow(order, seen.best, s)
    return order.stop if s * seen.close >= s * order.stop else None


def _set_trailed_limit(order: Order, s: float) -> None:
    if order.kind is OrderKind.TRAIL_LIMIT:
        order.limit = order.stop + s * order.limit_offset


def at_close(order: Order, close: float, *, touch: bool) -> Offer | None:
    """What an order for the close meets in the session's last bar."""
    if order.kind is OrderKind.MARKET_ON_CLOSE:
        return Offer(close, slips=True)
    s = 1.0 if order.buys else -1.0
    return Offer(close, slips=False) if reaches(s, close, order.limit, touch=touch) else None
