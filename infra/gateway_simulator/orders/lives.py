"""How orders become working and how they end."""

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.orders.holds import holds
from infra.gateway_simulator.orders.order import Order, Status
from infra.gateway_simulator.orders.order_news import OrderNews
from infra.gateway_simulator.protocol import codes

ENDED_BY_CLIENT = "Cancelled by Trader"
ENDED_BY_CLOSE = "Expired at the close"
ENDED_BY_DATE = "Expired at its date"
ENDED_BY_SPLIT = "Stock split"
ENDED_BY_IOC = "Immediate-or-cancel order could not be filled"
ENDED_BY_FOK = "Fill-or-kill order could not be filled at once"
ENDED_BY_AUCTION = "Auction price beyond the limit"
ENDED_BY_PARENT = "Parent order has ended"
ENDED_BY_GROUP = "Another order of its OCA group was filled"
ENDED_BY_CONDITION = "Its conditions are met"
CANCELLED = 202


class Lives:
    """`fresh` are children whose parent has just filled: they are still to meet the market."""

    def __init__(self, shared: Shared, news: OrderNews) -> None:
        self._shared = shared
        self._news = news
        self.fresh: list[Order] = []

    def release(self, order: Order) -> bool:
        """Let it into the market when nothing holds it any more; whether it has gone."""
        if order.status is not Status.PRE_SUBMITTED or holds(order, self._shared):
            return False
        order.status = Status.SUBMITTED
        order.turn = self._shared.book.next_turn()
        self._news.note("order_working", order, limit_price=order.limit)
        return True

    def end(self, order: Order, status: Status, reason: str, code: int = CANCELLED, text: str = "") -> None:
        """It leaves the book, and its children with it."""
        shared, children = self._shared, self._shared.book.children(order)
        shared.book.finish(order, status, shared.now(), reason)
        self._news.note("order_ended", order, status=status, reason=reason, filled=order.filled)
        self._news.tell_status(order)
        self._news.warn(order, code, text or f"Order Canceled - reason:{reason}")
        for child in children:
            if child.is_live:
                self.end(child, Status.CANCELLED, ENDED_BY_PARENT)
        shared.refollow()
        shared.remember()

    def complete(self, order: Order) -> None:
        """Filled: its children go to the market; a cancel or a change that is on its way comes too late."""
        shared, children = self._shared, self._shared.book.children(order)
        shared.book.finish(order, Status.FILLED, shared.now(), f"Filled Size: {order.filled:f}")
        self._news.tell(order)
        if order.cancel_arrives_at:
            text = f"OrderId {order.order_id} that needs to be cancelled cannot be cancelled, state: {order.status}."
            self._news.warn(order, 10148, text)
        if order.change is not None:
            self._news.warn(order, 104, codes.TEXTS[104])
        for child in children:
            child.parent_done = True
            self.release(child)
            self._news.tell(child)
            self.fresh.append(child)
        shared.refollow()
