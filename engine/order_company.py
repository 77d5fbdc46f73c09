"""An order among an account's other orders: what it takes the place of, waits for, repeats, or could trade with."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from engine.in_flight import InFlight
from schemas.order_words import TRIGGERED, Side
from schemas.orders import ModifyIntent, OrderIntent

_ZERO = Decimal(0)


def family_of(order: OrderIntent, in_flight: Mapping[str, InFlight]) -> dict[str, Any]:
    """Of a new order: what it takes the place of, and what it waits for, as fields of `Book`."""
    same = (order.contract_id, order.side)
    parent = in_flight.get(order.parent_id) if order.parent_id else None
    group = order.oca_group
    beside = []
    if group:
        mates = (each for each in in_flight.values() if each.group == group)
        beside = [each.at_worst for each in mates if (each.contract_id, each.side) == same]
    family = {"covered": max(beside, default=_ZERO), "working": order.parent_id is None or parent is not None}
    if parent is None or parent.contract_id != order.contract_id or parent.side is order.side:
        return family
    exits = exits_of(parent.order_id, in_flight)
    apart = (each.order_id for each in exits if not group or each.group != group)
    return family | {"quota": parent.filled, "entered": parent.least, "apart": min(apart, default="")}


def family_of_changed(intent: ModifyIntent, mine: InFlight | None, in_flight: Mapping[str, InFlight]) -> dict[str, Any]:
    """The same of an order that is to be changed; `mine` is what it is now."""
    order = intent.wanted
    same = (order.contract_id, order.side)
    exits = [each.most for each in exits_of(order.intent_id, in_flight)]
    return {
        "covered": mine.most if mine else _ZERO,
        "covered_price": mine.price if mine else None,
        "working": mine is not None and mine.works and (mine.contract_id, mine.side) == same,
        "entered": mine.parent_least if mine is not None and mine.waits_for_parent else None,
        "left": max(exits, default=_ZERO),
    }


def exits_of(parent_id: str, in_flight: Mapping[str, InFlight]) -> list[InFlight]:
    return [each for each in in_flight.values() if each.parent_id == parent_id and each.waits_for_parent]


def duplicate_of(order: OrderIntent, of_contract: Iterable[InFlight], since: datetime) -> str:
    """An order that asked for the same after `since`."""
    asked = None
    for each in of_contract:
        if each.opened_at > since:
            asked = asked or _what(order)
            if _what(each) == asked:
                return each.order_id
    return ""


def crossing_of(order: OrderIntent, of_contract: Iterable[InFlight]) -> dict[str, str]:
    """An own working order on the other side at a price at which the two would trade, as fields of `Book`."""
    if order.order_type in TRIGGERED:
        return {}
    side = order.side
    for each in of_contract:
        if each.side is side or not each.works or not each.remaining or each.order_type in TRIGGERED:
            continue
        family = {order.intent_id, order.parent_id, *order.legs}
        related = each.order_id in family or each.parent_id in family or each.group == order.oca_group
        if not related and _crosses(side, order.limit_price, each.limit_price):
            return {"crossing": each.order_id, "crossing_terms": _terms(each)}
    return {}


def _terms(order: InFlight) -> str:
    limit = "any price" if order.limit_price is None else f"{order.limit_price.normalize():f}"
    return f"{order.side} {order.remaining.normalize():f} asked for at {limit}"


def _what(asked: OrderIntent | InFlight) -> tuple[Any, ...]:
    return (
        asked.strategy_id,
        asked.side,
        asked.quantity,
        asked.order_type,
        asked.limit_price,
        asked.stop_price,
        asked.parent_id or "",
    )


def nearer(side: Side, one: Decimal | None, other: Decimal | None) -> Decimal | None:
    """Of the limits before and after a change that is under way, the one at which more would trade with the order."""
    if one is None or other is None:
        return None
    return max(one, other) if side is Side.BUY else min(one, other)


def _crosses(side: Side, own: Decimal | None, other: Decimal | None) -> bool:
    """An order without a limit trades at any price."""
    if own is None or other is None:
        return True
    return own >= other if side is Side.BUY else own <= other
