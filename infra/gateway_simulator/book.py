"""Orders of all clients: their life from acceptance to the end, and what they trade against the displayed quote."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from infra.gateway_simulator.account import commission, dollars
from infra.gateway_simulator.instruments import Instrument
from infra.gateway_simulator.market import Quote

LIVE_MAX = 1000  # live orders of the account
FINISHED_MAX = 10_000  # finished orders and executions that are remembered


class Status(StrEnum):
    PRE_SUBMITTED = "PreSubmitted"
    SUBMITTED = "Submitted"
    CANCELLED = "Cancelled"
    FILLED = "Filled"
    INACTIVE = "Inactive"


@dataclass(frozen=True, slots=True)
class Terms:
    """What a client asked for, and may change while the order works."""

    instrument: Instrument
    action: str
    quantity: Decimal
    kind: str
    limit: Decimal | None
    time_in_force: str
    reference: str
    outside_hours: bool = False


@dataclass(slots=True)
class Order:
    """One order; `(client_id, order_id)` is its client's name for it, `permanent_id` the gateway's."""

    client_id: int
    order_id: int
    permanent_id: int
    terms: Terms
    day: date
    status: Status = Status.SUBMITTED
    filled: Decimal = Decimal(0)
    spent: Decimal = Decimal(0)
    paid: Decimal = Decimal(0)
    last_price: Decimal = Decimal(0)
    rested: bool = False
    finished_at: float = 0.0
    end: str = ""

    @property
    def is_live(self) -> bool:
        return self.status in (Status.PRE_SUBMITTED, Status.SUBMITTED)

    @property
    def remaining(self) -> Decimal:
        return self.terms.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        return self.spent / self.filled if self.filled else Decimal(0)

    @property
    def sign(self) -> int:
        return 1 if self.terms.action == "BUY" else -1


@dataclass(frozen=True, slots=True)
class Execution:
    """One fill as it is told to clients, now and on request."""

    execution_id: str
    order: Order
    moment: float
    quantity: Decimal
    price: Decimal
    cumulative: Decimal
    average_price: Decimal
    adds_liquidity: bool
    commission: Decimal
    realized: Decimal | None


@dataclass(frozen=True, slots=True)
class Match:
    """What a quote gives an order."""

    quantity: Decimal
    price: Decimal
    adds_liquidity: bool
    paid: Decimal


def match(order: Order, quote: Quote) -> Match | None:
    """What `order` trades against what is displayed; takes that much away from the quote."""
    buys = order.terms.action == "BUY"
    displayed, best = (quote.ask_size, dollars(quote.ask)) if buys else (quote.bid_size, dollars(quote.bid))
    limit = order.terms.limit
    if displayed <= 0 or (limit is not None and (best > limit if buys else best < limit)):
        return None
    adds = limit is not None and order.rested
    price = limit if adds and limit is not None else best
    quantity = min(order.remaining, Decimal(displayed))
    left = displayed - int(quantity)
    if buys:
        quote.ask_size = left
    else:
        quote.bid_size = left
    return Match(quantity, price, adds, commission(quantity, price, order.paid, order.filled))


@dataclass
class Book:
    """All orders and executions; ids that no restart repeats come from `first_permanent_id` and `run`."""

    run: str
    first_permanent_id: int
    live: dict[tuple[int, int], Order] = field(default_factory=dict)
    finished: list[Order] = field(default_factory=list)
    executions: list[Execution] = field(default_factory=list)
    highest: dict[int, int] = field(default_factory=dict)
    accepted: int = 0
    executed: int = 0

    def next_id(self, client_id: int) -> int:
        return self.highest.get(client_id, 0) + 1

    def use_id(self, client_id: int, order_id: int) -> None:
        """An id once used is used for ever, also when the order was refused."""
        self.highest[client_id] = max(self.highest.get(client_id, 0), order_id)

    def is_used(self, client_id: int, order_id: int) -> bool:
        return order_id <= self.highest.get(client_id, 0)

    def past(self, client_id: int, order_id: int) -> Order | None:
        """The finished order of that name."""
        for each in reversed(self.finished):
            if (each.client_id, each.order_id) == (client_id, order_id):
                return each
        return None

    def accept(self, client_id: int, order_id: int, terms: Terms, *, day: date, is_open: bool) -> Order:
        self.accepted += 1
        order = Order(client_id, order_id, self.first_permanent_id + self.accepted, terms, day)
        order.status = Status.SUBMITTED if is_open else Status.PRE_SUBMITTED
        self.live[(client_id, order_id)] = order
        return order

    def finish(self, order: Order, status: Status, moment: float, end: str) -> None:
        order.status, order.finished_at, order.end = status, moment, end
        self.live.pop((order.client_id, order.order_id), None)
        self.finished.append(order)
        del self.finished[:-FINISHED_MAX]

    def execute(self, order: Order, found: Match, moment: float, realized: Decimal | None) -> Execution:
        """Write one fill into the order and the list of executions."""
        self.executed += 1
        order.filled += found.quantity
        order.spent += found.quantity * found.price
        order.paid += found.paid
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
            commission=found.paid,
            realized=realized,
        )
        self.executions.append(execution)
        del self.executions[:-FINISHED_MAX]
        return execution

    def working(self, instrument: Instrument) -> Iterator[Order]:
        """Live orders of one instrument, oldest first."""
        for order in tuple(self.live.values()):
            if order.terms.instrument == instrument and order.status is Status.SUBMITTED:
                yield order

    def instruments(self) -> set[Instrument]:
        return {order.terms.instrument for order in self.live.values()}

    def exposure(self, mark: dict[int, Decimal], without: Order | None) -> Decimal:
        """Worth of what live orders may still trade, but for one."""
        total = Decimal(0)
        for each in self.live.values():
            if each is not without:
                total += each.remaining * (each.terms.limit or mark[each.terms.instrument.contract_id])
        return total
