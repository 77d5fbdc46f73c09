"""Exits: orders that leave again what their parent enters.

The broker releases them whole when the parent has filled, whatever their size.
"""

from collections.abc import Iterable, Sequence

from consumers.executor.tracking import Tracked
from schemas.orders import OrderIntent


def unfit_beside(parent: Tracked, wanted: OrderIntent, orders: Iterable[Tracked]) -> str:
    """Why `wanted` cannot hang on `parent` beside these orders; empty when it can."""
    if not _leaves(wanted, parent):
        return ""
    least = parent.facts.cumulative if parent.status.final else parent.least
    if wanted.quantity > least:
        return f"{wanted.quantity:f} are more than the {least:f} that its parent may come to"
    apart = [each.order_id for each in _exits_of(parent, orders) if _apart(wanted, each.order_id, each.oca_group)]
    return f"it and {min(apart)} could both fill" if apart else ""


def too_small(order: Tracked, wanted: OrderIntent, orders: Iterable[Tracked]) -> str:
    """Why a change would leave `order` smaller than one of its exits; empty when it would not."""
    exits = [each for each in _exits_of(order, orders) if each.facts.most > wanted.quantity]
    return f"its exit {exits[0].order_id} is for {exits[0].facts.most:f}" if exits else ""


def unfit_family(legs: Sequence[OrderIntent]) -> str:
    """Why the legs of a bracket, the entry first, cannot go together; empty when they can."""
    entry, *others = legs
    exits = [each for each in others if each.side is not entry.side]
    if large := [each.intent_id for each in exits if each.quantity > entry.quantity]:
        return f"leg {large[0]} is larger than its entry"
    apart = len(exits) > 1 and (len({each.oca_group for each in exits}) > 1 or not exits[0].oca_group)
    return "its exits could both fill: they need one oca_group" if apart else ""


def _leaves(wanted: OrderIntent, parent: Tracked) -> bool:
    return wanted.contract_id == parent.contract_id and wanted.side is not parent.side


def _exits_of(parent: Tracked, orders: Iterable[Tracked]) -> list[Tracked]:
    return [
        each
        for each in orders
        if each.parent_id == parent.order_id
        and not each.status.final
        and (each.contract_id, each.side is parent.side) == (parent.contract_id, False)
    ]


def _apart(wanted: OrderIntent, order_id: str, group: str) -> bool:
    return order_id != wanted.intent_id and (not group or group != wanted.oca_group)
