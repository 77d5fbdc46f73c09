"""A broker that does to orders whatever a broker may, and risk's book that hears of it as late as it may."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from engine.account_book import Account, AccountBook, Held, Mark
from engine.in_flight import flight_of
from engine.judging import judged
from engine.reservations import Change, Reservation
from engine.risk_book import worst_case
from schemas.account import RiskLimits, TradingMode
from schemas.orders import ModifyIntent, OrderIntent, OrderStatus, OrderUpdate, RiskDecision, Side
from tests.builders import NOON, SEEN, a_change, an_intent

D = Decimal
ZERO = D(0)
PRICE = D(100)
ACCOUNT = "DU1234567"


@dataclass
class Working:
    """An order as the broker has it."""

    intent: OrderIntent
    quantity: Decimal
    filled: Decimal = ZERO
    done: bool = False
    sequence: int = 1
    last_change: str = ""


class World:
    """Two contracts, any number of orders."""

    def __init__(self, limits: RiskLimits) -> None:
        self.limits = limits
        self.book = AccountBook(
            ACCOUNT,
            modes={f"account:{ACCOUNT}": TradingMode.ACTIVE},
            limits={f"account:{ACCOUNT}": limits},
            account=Account("USD", SEEN, D(10**9), {}),
            marks={1: Mark(PRICE, SEEN), 2: Mark(PRICE, SEEN)},
        )
        self.held = {1: ZERO, 2: ZERO}
        self.orders: dict[str, Working] = {}
        self.asked: dict[str, list[ModifyIntent]] = {}
        self.reservations: dict[str, Reservation] = {}
        self._count = 0

    def new_id(self) -> str:
        self._count += 1
        return f"id-{self._count}"

    def intent(self, contract: int, side: Side, quantity: int, **terms: Any) -> OrderIntent:
        return an_intent(
            intent_id=self.new_id(),
            contract_id=contract,
            side=side,
            quantity=D(quantity),
            reference_price=PRICE,
            **terms,
        )

    def propose(self, intent: OrderIntent | ModifyIntent) -> RiskDecision:
        """Risk judges; what it approves the broker gets, a change not at once."""
        ((decision, reserved),) = judged(self.book, [intent], lambda: SEEN)
        if not decision.approved:
            return decision
        if isinstance(intent, ModifyIntent):
            change = Change(intent.intent_id, intent.wanted.quantity, reserved.price)
            self._keep(self.reservations[intent.order_id].with_change(change))
            self.asked.setdefault(intent.order_id, []).append(intent)
        else:
            self.orders[intent.intent_id] = Working(intent, intent.quantity)
            new = Reservation(intent.intent_id, intent.contract_id, intent.side, intent.quantity, price=reserved.price)
            self.reservations[intent.intent_id] = new
        return decision

    def change_of(self, order_id: str, quantity: int, **prices: Decimal) -> ModifyIntent:
        wanted = self.orders[order_id].intent.revised(quantity=D(quantity), **prices)
        return a_change(wanted, intent_id=self.new_id())

    # what the broker does

    def may_fill(self, order_id: str) -> Decimal:
        """A child no more than its parent has filled, and whole when the parent is done; a group together no more than
        its largest."""
        order = self.orders[order_id]
        most = ZERO if order.done else order.quantity - order.filled
        parent = self.orders.get(order.intent.parent_id or "")
        if parent is not None and parent.intent.side is not order.intent.side:
            whole = parent.filled >= parent.quantity
            most = most if whole else min(most, parent.filled - order.filled)
        if order.intent.oca_group:
            beside = [o for o in self.orders.values() if o.intent.oca_group == order.intent.oca_group]
            most = min(most, max(o.quantity for o in beside) - sum((o.filled for o in beside), ZERO))
        return max(ZERO, most)

    def fill(self, order_id: str, quantity: Decimal) -> None:
        order = self.orders[order_id]
        order.filled += quantity
        contract = order.intent.contract_id
        self.held[contract] += quantity * order.intent.side.sign
        self.book.positions[contract] = Held(contract, "X", "USD", self.held[contract], PRICE, PRICE)
        self._keep(self.reservations[order_id].with_fill(quantity))

    def end(self, order_id: str) -> None:
        self.orders[order_id].done = True
        self._tell(order_id, OrderStatus.CANCELED)

    def answer(self, order_id: str, taken: bool) -> None:
        """The oldest change that was asked for is taken or refused, and told."""
        order, change = self.orders[order_id], self.asked[order_id].pop(0)
        order.last_change = change.intent_id
        if taken and not order.done:
            order.quantity = max(change.wanted.quantity, order.filled)
        self._tell(order_id, OrderStatus.CANCELED if order.done else OrderStatus.NEW)

    def acknowledge(self, order_id: str) -> None:
        order = self.orders[order_id]
        self._tell(order_id, OrderStatus.CANCELED if order.done else OrderStatus.NEW)

    def _tell(self, order_id: str, status: OrderStatus) -> None:
        order = self.orders[order_id]
        order.sequence += 1
        intent = order.intent
        update = OrderUpdate(
            order_id=order_id, broker_order_id=1, account_id=ACCOUNT, strategy_id=intent.strategy_id,
            contract_id=intent.contract_id, symbol="X", side=intent.side, quantity=order.quantity,
            order_type=intent.order_type, status=status, cumulative_quantity=order.filled, sequence=order.sequence,
            last_change=order.last_change, event_time=NOON, ingest_time=SEEN,
        )  # fmt: skip
        self._keep(self.reservations[order_id].with_update(update))

    def _keep(self, kept: Reservation) -> None:
        """What the tables would give at the next look."""
        self.reservations[kept.order_id] = kept
        in_flight = self.book.in_flight
        if kept.state == "released":
            in_flight.pop(kept.order_id, None)
        elif kept.order_id in in_flight:
            known = in_flight[kept.order_id]
            in_flight[kept.order_id] = replace(
                known,
                quantity=kept.quantity,
                remaining=kept.remaining,
                filled=kept.filled,
                state=kept.state,
                changes=tuple(each.quantity for each in kept.changes),
            )
        parent = in_flight.get(kept.order_id)
        least = parent.least if parent is not None else kept.filled
        for order_id, each in in_flight.items():
            if each.parent_id == kept.order_id:
                in_flight[order_id] = replace(each, parent_filled=kept.filled, parent_least=least)
        self.book.changed()

    # what has to hold

    def worst(self, contract: int) -> Decimal:
        flight = flight_of(each for each in self.book.in_flight.values() if each.contract_id == contract)
        return worst_case(self.held[contract], flight.buys, flight.sells)

    def pick(self, which: Callable[[str], bool]) -> list[str]:
        return [order_id for order_id in self.orders if which(order_id)]
