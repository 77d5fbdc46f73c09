"""What a strategy's own orders did and may still do: executions, orders in flight, wishes that were refused."""

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from engine.portfolio import Execution, Holding, execution_of, hold
from engine.reservations import Reservation
from schemas.orders import (
    DenialReason,
    Fill,
    FillBusted,
    FillCorrected,
    OrderIntent,
    OrderStatus,
    OrderUpdate,
    RiskDecision,
)

_PASSING = frozenset(
    {
        DenialReason.TRADING_HALTED,
        DenialReason.PRICE_STALE,
        DenialReason.PRICE_MISSING,
        DenialReason.ORDER_RATE_MAX,
        DenialReason.OPEN_ORDERS_MAX,
        DenialReason.INSTRUMENT_BLOCKED,
        DenialReason.DUPLICATE,
        DenialReason.SELF_MATCH,
    }
)
"""Reasons that go away by themselves: the same wish may be tried again. Others need another wish."""
_FOR_GOOD = frozenset(
    {DenialReason.LOT_SIZE, DenialReason.TICK_SIZE, DenialReason.UNKNOWN_ORDER, DenialReason.UNSUPPORTED}
)
"""Reasons that lie in the order itself: no limit that anybody changes lets it through."""
_AGAIN_FIRST = timedelta(seconds=5)
_AGAIN_MAX = timedelta(minutes=5)


def again_after(tries: int) -> timedelta:
    """Market time between two orders: what risk denies counts as traffic, and too much of that disables a strategy."""
    return min(_AGAIN_FIRST * (1 << min(tries - 1, 10)), _AGAIN_MAX)


class Refusal(NamedTuple):
    """Why the last order towards a target was not to be."""

    target: float
    why: str
    lasts: bool = True
    """The target is not to be asked for again."""
    for_good: bool = False
    crossed: int = 0
    """How often in a row an own order on the other side was in its way."""
    due: datetime | None = None
    """The market time from which it may be asked for again; None: at once."""


class OwnOrders:
    """The fold of decisions, updates and fills, in whatever order the three topics bring them."""

    def __init__(self) -> None:
        self.denied = 0
        self.spent = Decimal(0)
        """Money that the executions have cost, less what they brought."""
        self._executions: dict[str, tuple[int, Execution]] = {}  # by execution id, with the contract
        self._quantities: dict[int, Decimal] = {}
        self._in_flight: dict[str, Reservation] = {}
        self._target_of: dict[str, float] = {}
        self._unsent: list[str] = []  # expected in answer to the input in hand
        self._refused: dict[int, Refusal] = {}  # by contract

    @property
    def in_flight(self) -> bool:
        return bool(self._in_flight)

    def knows(self, execution_id: str) -> bool:
        return execution_id in self._executions

    def begin(self) -> None:
        """Another input is in hand: what those before it caused was sent."""
        self._unsent.clear()

    def forget_unsent(self) -> None:
        """Nothing of what the input in hand caused is sent."""
        for intent_id in self._unsent:
            self._in_flight.pop(intent_id, None)
            self._target_of.pop(intent_id, None)

    def expect(self, intent: OrderIntent, target: float | None = None) -> None:
        """An intent is sent: until it ended, its quantity counts as on its way. `target`: what it is to reach."""
        if target is not None:
            self._target_of[intent.intent_id] = target
        self._unsent.append(intent.intent_id)
        self._in_flight[intent.intent_id] = Reservation(
            intent.intent_id, intent.contract_id, intent.side, intent.quantity
        )

    def working(self, contract_id: int) -> list[str]:
        """Ids of the orders in flight of a contract."""
        return [order_id for order_id, order in self._in_flight.items() if order.contract_id == contract_id]

    def pending(self, contract_id: int) -> Decimal:
        """Signed quantity that orders in flight may still bring."""
        mine = (order for order in self._in_flight.values() if order.contract_id == contract_id)
        return sum((order.remaining * order.side.sign for order in mine), Decimal(0))

    def refused(self, contract_id: int, target: float, now: datetime) -> bool:
        """Whether this target was refused for a reason that stays, or too lately; naming another one forgets it."""
        known = self._refused.get(contract_id)
        if known is None or known.target != target:
            self._refused.pop(contract_id, None)
            return False
        return known.lasts or (known.due is not None and now < known.due)

    def refusal(self, contract_id: int, target: float) -> Refusal | None:
        """Of the last order, if it was one towards this target."""
        known = self._refused.get(contract_id)
        return known if known is not None and known.target == target else None

    def forgive(self, contract_id: int | None = None) -> None:
        """Somebody changed what was refused, or wants it tried again; of one contract, or of all."""
        if contract_id is None:
            self._refused.clear()
        else:
            self._refused.pop(contract_id, None)

    def quantity(self, contract_id: int) -> Decimal:
        """What is held, signed."""
        return self._quantities.get(contract_id, Decimal(0))

    @property
    def flat(self) -> bool:
        return not any(self._quantities.values())

    def worth(self, price_of: Callable[[int], float | None]) -> float:
        """What is held at the present prices, less what it has cost: earned, without commissions."""
        held = ((float(quantity), price_of(key)) for key, quantity in self._quantities.items() if quantity)
        return sum(quantity * price for quantity, price in held if price is not None) - float(self.spent)

    def holding(self, contract_id: int) -> Holding:
        return hold(execution for contract, execution in self._executions.values() if contract == contract_id)

    def inherit(self, before: "OwnOrders") -> None:
        """What an earlier deployment of the same strategy holds, this one holds."""
        self._executions = dict(before._executions)
        self._quantities, self.spent = dict(before._quantities), before.spent

    def lose_sight(self) -> None:
        """Nobody knows any more what is in flight."""
        self._in_flight.clear()
        self._target_of.clear()

    def on_decision(self, decision: RiskDecision) -> None:
        if decision.approved:
            order = self._in_flight.get(decision.intent_id)
            if order is not None and decision.intent_id in self._target_of:
                self._refused.pop(order.contract_id, None)
            return
        gone = self._in_flight.pop(decision.intent_id, None)
        if gone is None:
            return
        self.denied += 1
        target = self._target_of.pop(decision.intent_id, None)
        if target is not None:
            why, reason = f"{decision.reason}: {decision.detail}", decision.reason
            found = Refusal(target, why, reason not in _PASSING, reason in _FOR_GOOD)
            if reason is DenialReason.SELF_MATCH:
                before = self.refusal(gone.contract_id, target)
                crossed = before.crossed + 1 if before is not None else 1
                found = found._replace(crossed=crossed, due=decision.event_time + again_after(crossed))
            self._refused[gone.contract_id] = found

    def on_update(self, update: OrderUpdate) -> None:
        order = self._in_flight.get(update.order_id)
        if order is None:
            return
        target = self._target_of.get(update.order_id)
        if target is not None and update.status is OrderStatus.REJECTED and update.sequence > order.sequence:
            self._refused[order.contract_id] = Refusal(target, f"rejected: {update.reason}")
        self._keep(order.with_update(update))

    def on_fill(self, fill: Fill | FillCorrected | FillBusted) -> bool | None:
        """Fold an execution in: None when it was known, True when it only adds, False when it replaces."""
        _, known = self._executions.get(fill.execution_id, (0, None))
        execution = execution_of(fill)
        if known is not None and known.revision >= execution.revision:
            return None
        self._executions[fill.execution_id] = (fill.contract_id, execution)
        if known is not None:
            self._count(fill.contract_id, -known.quantity, known.price)
        self._count(fill.contract_id, execution.quantity, execution.price)
        order = None if isinstance(fill, FillBusted) else self._in_flight.get(fill.order_id)
        if order is not None:
            self._keep(order.with_fill(abs(execution.quantity) - abs(known.quantity if known else Decimal(0))))
        return known is None and isinstance(fill, Fill)

    def _count(self, contract_id: int, quantity: Decimal, price: Decimal) -> None:
        self._quantities[contract_id] = self.quantity(contract_id) + quantity
        self.spent += quantity * price

    def _keep(self, order: Reservation) -> None:
        if order.state == "released":
            self._in_flight.pop(order.order_id, None)
            self._target_of.pop(order.order_id, None)
        else:
            self._in_flight[order.order_id] = order
