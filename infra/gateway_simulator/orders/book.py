"""All orders and executions of all clients, and the ids that no restart repeats."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from infra.gateway_simulator.accounts.commissions import Charge
from infra.gateway_simulator.instruments.instrument import Instrument
from infra.gateway_simulator.orders.order import Execution, Match, Order, Status

LIVE_MAX = 1000  # live orders of the account
FINISHED_MAX = 10_000  # finished orders and executions that are remembered
MANUAL_CLIENT = 0  # orders placed in TWS itself belong to client 0


@dataclass
class Book:
    """Ids come from `first_permanent_id` and `run`; `withheld` are contracts whose shares cannot be borrowed."""

    run: str
    first_permanent_id: int
    live: dict[tuple[int, int], Order] = field(default_factory=dict)
    finished: list[Order] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    highest: dict[int, int] = field(default_factory=dict)
    withheld: set[int] = field(default_factory=set)
    alarms: list[float] = field(default_factory=list)
    binds_manual: bool = False
    lowest_manual: int = 0
    accepted: int = 0
    executed: int = 0
    turns: int = 0
    _awaited: set[float] = field(default_factory=set)

    # ids

    def next_id(self, client_id: int) -> int:
        return self.highest.get(client_id, 0) + 1

    def use_id(self, client_id: int, order_id: int) -> None:
        """An id once used is used for ever, also when the order was refused."""
        self.highest[client_id] = max(self.highest.get(client_id, 0), order_id)

    def is_used(self, client_id: int, order_id: int) -> bool:
        return order_id <= self.highest.get(client_id, 0)

    def next_permanent_id(self) -> int:
        self.accepted += 1
        return self.first_permanent_id + self.accepted

    def next_manual_id(self) -> int:
        self.lowest_manual -= 1
        return self.lowest_manual

    def next_turn(self) -> int:
        self.turns += 1
        return self.turns

    # orders

    def add(self, order: Order) -> None:
        self.live[(order.client_id, order.order_id)] = order

    def find(self, client_id: int, order_id: int) -> Order | None:
        """The order of that name, live or finished."""
        return self.live.get((client_id, order_id)) or self.past(client_id, order_id)

    def past(self, client_id: int, order_id: int) -> Order | None:
        """The finished order of that name."""
        for each in reversed(self.finished):
            if (each.client_id, each.order_id) == (client_id, order_id):
                return each
        return None

    def finish(self, order: Order, status: Status, moment: float, end: str) -> None:
        order.status, order.finished_at, order.end = status, moment, end
        self.live.pop((order.client_id, order.order_id), None)
        self.finished.append(order)
        del self.finished[:-FINISHED_MAX]

    def of(self, instrument: Instrument) -> Iterator[Order]:
        """Live orders of one instrument that have been transmitted, oldest first."""
        for order in tuple(self.live.values()):
            if order.terms.instrument == instrument and order.is_transmitted:
                yield order

    def parent(self, order: Order) -> Order | None:
        """The live order that has to fill first."""
        if not order.terms.parent_id or order.parent_done:
            return None
        return self.live.get((order.client_id, order.terms.parent_id))

    def children(self, order: Order) -> list[Order]:
        """Live orders that wait for this one."""
        return [
            each
            for each in tuple(self.live.values())
            if each.terms.parent_id == order.order_id and each.client_id == order.client_id and not each.parent_done
        ]

    def instruments(self) -> set[Instrument]:
        """All that live orders depend on, those of their conditions among them."""
        live = self.live.values()
        return {each for order in live for each in (order.terms.instrument, *order.terms.watched)}

    # executions

    def execute(self, order: Order, found: Match, moment: float, charge: Charge, realized: Decimal | None) -> Execution:
        """Write one fill into the order and the list of executions."""
        self.executed += 1
        order.filled += found.quantity
        order.spent += found.quantity * found.price
        order.paid += charge.amount
        order.last_price = found.price
        execution = Execution(
            execution_id=f"{self.run}.{self.executed:08x}.01.01",
            order=order,
            moment=moment,
            quantity=found.quantity,
            price=found.price,
            cumulative=order.filled,
            average_price=order.average_price,
            adds_liquidity=found.adds_liquidity,
            commission=charge.amount,
            commission_currency=charge.currency,
            realized=realized,
        )
        self.executions.append(execution)
        del self.executions[:-FINISHED_MAX]
        return execution

    # time

    def wake_at(self, moment: float) -> bool:
        """Somebody has to look at the orders at that moment of market time; whether that is news."""
        if moment in self._awaited:
            return False
        self._awaited.add(moment)
        heapq.heappush(self.alarms, moment)
        return True

    def awoken(self, now: float) -> bool:
        """Whether an alarm has gone off; those that have are gone."""
        rang = False
        while self.alarms and self.alarms[0] <= now:
            self._awaited.discard(heapq.heappop(self.alarms))
            rang = True
        return rang
