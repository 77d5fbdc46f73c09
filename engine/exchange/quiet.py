"""How long resting orders have nothing to do: between which prices, and until when, no bar moves them."""

import math
from typing import NamedTuple

from engine.exchange.orders import Order
from engine.order_requests import OrderKind, TimeInForce

_LIMITS = (OrderKind.LIMIT, OrderKind.STOP_LIMIT, OrderKind.LIMIT_IF_TOUCHED, OrderKind.MARKET_TO_LIMIT)
_STOPS = (OrderKind.STOP, OrderKind.STOP_LIMIT)
_TOUCHED = (OrderKind.MARKET_IF_TOUCHED, OrderKind.LIMIT_IF_TOUCHED)
_AT_CLOSE = (OrderKind.MARKET_ON_CLOSE, OrderKind.LIMIT_ON_CLOSE)


class Quiet(NamedTuple):
    """A bar whose prices lie strictly between `low` and `high`, that starts before `until_us`, in a row before
    `until_row`, changes nothing."""

    low: float
    high: float
    until_us: float
    until_row: float


def quiet(orders: list[Order], session_end: int) -> Quiet | None:
    """What leaves all of a contract's `orders` alone; None when one of them has to look at every bar."""
    low, high, until_us, until_row = -math.inf, math.inf, math.inf, math.inf
    for order in orders:
        if order.waits_for_parent and not order.parent.state.final and not order.cancel_us and order.change is None:
            continue  # until then nothing but its parent's fill concerns it
        if not order.begun or order.cancel_us or order.change is not None:
            return None
        level = _level(order)
        if level is None:
            return None
        low, high = max(low, level[0]), min(high, level[1])
        if order.good_till_us:
            until_us = min(until_us, order.good_till_us)
        if order.tif is TimeInForce.DAY or order.kind in _AT_CLOSE:
            until_row = min(until_row, session_end)
    return Quiet(low, high, until_us, until_row)


def _level(order: Order) -> tuple[float, float] | None:
    """Below and above which prices the order may trade or trigger."""
    kind = order.kind
    if kind in _AT_CLOSE:
        return -math.inf, math.inf
    if kind is OrderKind.LIMIT or (order.triggered and kind in _LIMITS):
        return (order.limit, math.inf) if order.buys else (-math.inf, order.limit)
    if order.triggered:
        return None  # the rest of it trades at the next open
    if kind in _STOPS:
        return (-math.inf, order.stop) if order.buys else (order.stop, math.inf)
    if kind in _TOUCHED:
        return (order.stop, math.inf) if order.buys else (-math.inf, order.stop)
    return None
