"""One-cancels-all groups: what a fill does to the other orders of its group.

Type 1 cancels them, types 2 and 3 reduce them in proportion. With block (1 and 2) that happens before any of them can
trade; without (3) only when everything that the same print gives has been given, so that it can be too late.
"""

from decimal import ROUND_FLOOR, Decimal

from infra.gateway_simulator.orders.book import Book
from infra.gateway_simulator.orders.order import Order

CANCEL, REDUCE, REDUCE_LATE = 1, 2, 3
TYPES = (CANCEL, REDUCE, REDUCE_LATE)


def group_type(order: Order) -> int:
    """Children of one parent are a group by themselves, which IB reduces; others cancel where nothing is said."""
    return order.terms.oca_type or (REDUCE_LATE if order.terms.parent_id else CANCEL)


def others(book: Book, order: Order) -> list[Order]:
    """The live members of its group but for itself."""
    if not order.terms.oca_group:
        return []
    return [
        each
        for each in tuple(book.live.values())
        if each is not order
        and each.is_transmitted
        and each.terms.oca_group == order.terms.oca_group
        and each.terms.account == order.terms.account
    ]


def reduced_quantity(order: Order, left: Decimal, before: Decimal) -> Decimal:
    """What an order may be of in all, when of another one's `before` there is so much `left`."""
    step = Decimal(1) if order.terms.quantity % 1 == 0 else Decimal("0.00000001")
    remaining = (order.remaining * left / before / step).quantize(Decimal(1), ROUND_FLOOR) * step
    return order.filled + remaining
