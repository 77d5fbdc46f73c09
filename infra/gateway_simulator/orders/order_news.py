"""What clients and the ledger are told about orders; an order's own client hears it, if it is there."""

from infra.gateway_simulator.floor import Shared
from infra.gateway_simulator.orders.holds import why_held
from infra.gateway_simulator.orders.order import Execution, Order, Status, Terms
from infra.gateway_simulator.orders.order_messages import Message, open_order, order_status
from infra.gateway_simulator.protocol.session import Session


class OrderNews:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def owner(self, order: Order) -> Session | None:
        """Nobody, where an order of TWS itself has not been bound."""
        return self._shared.sessions.get(order.client_id) if order.is_bound else None

    def tell(self, order: Order, event: str = "status sent") -> None:
        """The order as it is, and its status."""
        owner = self.owner(order)
        if owner is not None and order.is_transmitted:
            self.send(order, open_order(order, owner.version), event)
            self.tell_status(order)

    def tell_status(self, order: Order, status: Status | None = None) -> None:
        """Its status; a status that is given is told instead of the true one."""
        self.send(order, self.status(order, status), "status sent")

    def status(self, order: Order, status: Status | None = None) -> Message:
        return order_status(order, why_held(order, self._shared), status)

    def send(self, order: Order, message: Message, event: str) -> None:
        owner = self.owner(order)
        if owner is not None:
            owner.send(*message, event=event, symbol=order.terms.instrument.symbol, order_id=order.order_id)

    def warn(self, order: Order, code: int, text: str) -> None:
        """An error message about the order."""
        owner = self.owner(order)
        if owner is not None:
            owner.error(order.order_id, code, text, order_id=order.order_id)

    def note(self, kind: str, order: Order, **facts: object) -> None:
        """A line of the ledger about the order."""
        named = {"client_id": order.client_id, "order_id": order.order_id}
        self._shared.ledger.write(kind, self._shared.now(), **named, **facts)

    def note_execution(self, kind: str, execution: Execution, **facts: object) -> None:
        order = execution.order
        self.note(
            kind,
            order,
            execution_id=execution.execution_id,
            order_ref=order.terms.reference,
            contract_id=order.terms.instrument.contract_id,
            symbol=order.terms.instrument.symbol,
            side=order.terms.action,
            quantity=execution.quantity,
            price=execution.price,
            commission=execution.commission,
            cumulative=execution.cumulative,
            **facts,
        )


def facts_of(terms: Terms) -> dict[str, object]:
    """What the ledger tells of an order's terms."""
    return {
        "contract_id": terms.instrument.contract_id,
        "symbol": terms.instrument.symbol,
        "side": terms.action,
        "quantity": terms.quantity,
        "order_type": terms.kind,
        "limit_price": terms.limit,
        "auxiliary_price": terms.auxiliary,
        "time_in_force": terms.time_in_force,
        "order_ref": terms.reference,
        "parent_id": terms.parent_id,
        "oca_group": terms.oca_group,
    }
