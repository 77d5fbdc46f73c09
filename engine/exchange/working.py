"""Which orders work, and how they end: placed, changed, canceled, expired, taken along by others."""

from typing import Protocol

from engine.exchange.orders import Execution, Order
from engine.exchange.quiet import Quiet
from engine.facts import Bar
from engine.order_requests import OrderState


class Broker(Protocol):
    """Whoever keeps the account and the calendar."""

    def filled(self, execution: Execution) -> None:
        """Take note of an execution."""

    def told(self, order: Order, reason: str) -> None:
        """Take note of an order's state."""

    def refuses(self, quantity: float, execution: Execution) -> str:
        """Why the account cannot carry this execution; empty when it can."""

    def edges(self, row: int) -> tuple[bool, bool]:
        """Whether the row is the first, and the last, of its contract in its session."""

    def session_end(self, row: int) -> int:
        """The last row of the row's contract in the row's session."""

    def worth(self, contract_id: int, time_us: int) -> float:
        """What a unit of the contract's currency is worth in the account's."""


class WorkingOrders:
    """Working orders by contract, in the order of their placing."""

    def __init__(self, broker: Broker) -> None:
        self.working: dict[int, list[Order]] = {}
        self._broker = broker
        self._by_id: dict[int, Order] = {}
        self._quiet: dict[int, Quiet] = {}  # by contract: what leaves its orders alone

    def place(self, order: Order) -> None:
        """Let `order` work; a target's takes the place of the contract's earlier target."""
        contract_id = order.contract_id
        self._quiet.pop(contract_id, None)
        orders = self.working.get(contract_id)
        if orders is None:
            self.working[contract_id] = [order]
        elif order.order_id:
            orders.append(order)
        else:
            orders[:] = [*(each for each in orders if each.order_id), order]
        if order.order_id:
            self._by_id[order.order_id] = order

    def disturb(self, contract_id: int) -> None:
        """The contract's orders, or their terms, are not what they were."""
        self._quiet.pop(contract_id, None)

    def drop_target(self, contract_id: int) -> None:
        """Let no target's order work."""
        orders = self.working.get(contract_id)
        if orders:
            orders[:] = [each for each in orders if each.order_id]
            self._tidy(contract_id)

    def find(self, order_id: int) -> Order | None:
        """The order of this id, while it works."""
        order = self._by_id.get(order_id)
        return None if order is None or order.state.final else order

    def cancel(self, order: Order, reason: str = "") -> None:
        """End `order` now."""
        self._end(order, OrderState.CANCELED, reason)
        self._tidy(order.contract_id)

    def placed(self) -> list[Order]:
        """All orders that work, targets' included."""
        return [each for orders in self.working.values() for each in orders if not each.state.final]

    def change(self, order: Order, quantity: float, limit: float, stop: float) -> None:
        """Let a modification hold."""
        self.disturb(order.contract_id)
        order.quantity, order.limit, order.stop, order.change = quantity, limit, stop, None

    def _tell_group(self, order: Order, size: float) -> None:
        for other in self.placed():
            if other.oca != order.oca or other is order or other.state.final:
                continue
            if order.reduces and abs(other.quantity) > size:
                other.quantity += -size if other.buys else size
                self.disturb(other.contract_id)
            else:
                self._end(other, OrderState.CANCELED, f"order {order.order_id} of its group filled")

    def _end(self, order: Order, state: OrderState, reason: str) -> None:
        if order.state.final:
            return
        self.disturb(order.contract_id)
        order.state = state
        self._broker.told(order, reason)
        if order.order_id and not order.filled:
            for child in tuple(self.working.get(order.contract_id, ())):
                if child.parent is order:
                    self._end(child, OrderState.CANCELED, f"its parent {order.order_id} ended without a fill")

    def _tidy(self, contract_id: int) -> None:
        """Forget what has ended."""
        orders = self.working.get(contract_id)
        if orders is None:
            return
        for order in orders:
            if order.parent is not None and order.parent.state.final and not order.state.final and order.left <= 0:
                self._end(order, OrderState.FILLED if order.filled else OrderState.CANCELED, "nothing is left for it")
            if order.state.final:
                self._by_id.pop(order.order_id, None)
        orders[:] = [each for each in orders if not each.state.final]
        if not orders:
            del self.working[contract_id]

    def _is_quiet(self, bar: Bar, row: int) -> bool:
        known = self._quiet.get(bar.contract_id)
        return (
            known is not None
            and bar.low > known.low
            and bar.high < known.high
            and bar.start_us < known.until_us
            and row < known.until_row
        )
