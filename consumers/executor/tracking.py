"""An order as the executor follows it: what it is, what is known of it, and the update that tells it."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from consumers.executor.terms import Terms, as_written, terms_of
from engine.order_facts import ChangeAnswered, ChangeRequested, Fact, Sized
from engine.orders import OrderFacts
from infra.gateway import BrokerOpenOrder
from infra.store.columns_of_tables import plain
from schemas.orders import ModifyIntent, OrderIntent, OrderStatus, OrderType, OrderUpdate, Side, TimeInForce

W = TypeVar("W", bound=StrEnum)
EXTERNAL = "external"
"""Strategy of orders that SCIZOR did not place."""


@dataclass(frozen=True)
class Tracked:
    """One order, ours or not."""

    order_id: str
    decision_id: str | None
    client_id: int
    broker_order_id: int | None
    account_id: str
    strategy_id: str
    contract_id: int
    symbol: str
    side: Side
    order_type: OrderType
    limit_price: Decimal | None
    time_in_force: TimeInForce
    facts: OrderFacts
    sequence: int
    known_at: datetime
    """Market time of the newest thing known of it."""
    created_at: datetime
    """Wall time."""
    stop_price: Decimal | None = None
    parent_id: str | None = None
    parent_number: int = 0
    """The broker's id of the order that it was sent to hang on: a change has to name the same."""
    oca_group: str = ""
    intent: OrderIntent | None = None
    """What it is by our wish since its `event_time`, changes that the broker has taken included; none for others'."""
    wanted: OrderIntent | None = None
    """What it shall be by a change that the broker has not answered."""

    @property
    def status(self) -> OrderStatus:
        return self.facts.status

    @property
    def quantity(self) -> Decimal:
        return self.facts.quantity

    @property
    def least(self) -> Decimal:
        """How little it may come to in all while it works: a change that is on its way may be taken or not."""
        return min(self.quantity, self.wanted.quantity) if self.wanted is not None else self.quantity

    @property
    def ours(self) -> bool:
        return self.decision_id is not None

    @property
    def legs(self) -> tuple[str, ...]:
        return self.intent.legs if self.intent is not None else ()

    def with_(self, facts: Iterable[Fact], known_at: datetime | None = None) -> "Tracked":
        """With more facts: the same order when they were known, one update further when it looks different."""
        now_known = self.facts
        for fact in facts:
            now_known = now_known.with_(fact)
        if now_known == self.facts:
            return self
        moment = max(self.known_at, known_at) if known_at else self.known_at
        return self._next(replace(self, facts=now_known, known_at=moment))

    def asked_to_become(self, change: ModifyIntent) -> "Tracked":
        """With a change that is about to be asked for."""
        asked = self.facts.with_(ChangeRequested(change.intent_id, change.wanted.quantity))
        wanted = change.wanted if asked.change == change.intent_id else self.wanted
        return self if asked == self.facts else self._next(replace(self, facts=asked, wanted=wanted))

    def worked_as(self, terms: Terms) -> "Tracked":
        """As the broker works it now; a change that asked for just that is answered."""
        facts = self.facts.with_(Sized(terms.quantity))
        limit, stop = terms.limit_price or self.limit_price, terms.stop_price or self.stop_price
        after = replace(self, facts=facts, limit_price=limit, stop_price=stop)
        if facts.change and self.wanted is not None and terms.are_those_of(as_written(self.intent, self.wanted)):
            placed_at = (self.intent or self.wanted).event_time
            intent = self.wanted.model_copy(update={"event_time": placed_at})
            after = replace(after, facts=facts.with_(ChangeAnswered(facts.change)), intent=intent, wanted=None)
        return self if after == self else self._next(after)

    def refused(self, code: int, reason: str) -> "Tracked":
        """With its change refused: it stays what it is."""
        if not self.facts.change:
            return self
        facts = self.facts.with_(ChangeAnswered(self.facts.change, code, reason))
        return self._next(replace(self, facts=facts, wanted=None))

    def _next(self, after: "Tracked") -> "Tracked":
        return replace(after, sequence=self.sequence + 1) if after.look != self.look else after

    @property
    def look(self) -> tuple[object, ...]:
        """What an update shows of the facts."""
        known = self.facts
        terms = self.quantity, self.limit_price, self.stop_price, known.last_change
        return terms, self.status, known.cumulative, known.average_price, known.permanent_id, known.explanation

    def update(self, now: datetime) -> OrderUpdate:
        """What is to be told of it."""
        code, reason = self.facts.explanation
        return OrderUpdate(
            order_id=self.order_id,
            client_id=self.client_id,
            broker_order_id=self.broker_order_id or 0,
            permanent_id=self.facts.permanent_id,
            account_id=self.account_id,
            strategy_id=self.strategy_id,
            contract_id=self.contract_id,
            symbol=self.symbol,
            side=self.side,
            quantity=self.quantity,
            order_type=self.order_type,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            time_in_force=self.time_in_force,
            parent_id=self.parent_id,
            oca_group=self.oca_group,
            last_change=self.facts.last_change,
            status=self.status,
            cumulative_quantity=self.facts.cumulative,
            average_price=self.facts.average_price,
            sequence=self.sequence,
            reason=reason[:500],
            code=code,
            event_time=self.known_at,
            ingest_time=now,
        )

    def changes(self, now: datetime) -> dict[str, Any]:
        """The columns that move with its facts."""
        code, reason = self.facts.explanation
        return {
            "permanent_id": self.facts.permanent_id,
            "quantity": self.quantity,
            "limit_price": self.limit_price,
            "stop_price": self.stop_price,
            "intent": _written(self.intent),
            "status": self.status.value,
            "cumulative_quantity": self.facts.cumulative,
            "average_price": self.facts.average_price,
            "sequence": self.sequence,
            "reason": reason[:500],
            "code": code,
            "facts": self.stored_facts(),
            "updated_at": now,
        }

    def stored_facts(self) -> dict[str, Any]:
        wanted = {"wanted": _written(self.wanted)} if self.wanted is not None else {}
        parent = {"parent_number": self.parent_number} if self.parent_number else {}
        return {**self.facts.to_json(), **wanted, **parent, "known_at": self.known_at.isoformat()}

    def values(self, now: datetime, lease_epoch: int) -> dict[str, Any]:
        """All columns, for an order that was not written when its approval was spent."""
        return {
            "order_id": self.order_id,
            "decision_id": self.decision_id,
            "client_id": self.client_id,
            "broker_order_id": self.broker_order_id,
            "account_id": self.account_id,
            "strategy_id": self.strategy_id,
            "contract_id": self.contract_id,
            "symbol": self.symbol,
            "side": self.side.value,
            "order_type": self.order_type.value,
            "time_in_force": self.time_in_force.value,
            "parent_id": self.parent_id,
            "oca_group": self.oca_group,
            "lease_epoch": lease_epoch,
            "created_at": self.created_at,
            **self.changes(now),
        }


def _written(intent: OrderIntent | None) -> dict[str, Any] | None:
    return intent.model_dump(mode="json") if intent is not None else None


def of_intent(intent: OrderIntent, decision_id: str, client_id: int, now: datetime) -> Tracked:
    """The order that an intent becomes, before it has an id at the broker."""
    return Tracked(
        order_id=intent.intent_id,
        decision_id=decision_id,
        client_id=client_id,
        broker_order_id=None,
        account_id=intent.account_id,
        strategy_id=intent.strategy_id,
        contract_id=intent.contract_id,
        symbol=intent.symbol,
        side=intent.side,
        order_type=intent.order_type,
        limit_price=intent.limit_price,
        time_in_force=intent.time_in_force,
        facts=OrderFacts(intent.quantity),
        sequence=1,
        known_at=intent.event_time,
        created_at=now,
        stop_price=intent.stop_price,
        parent_id=intent.parent_id,
        oca_group=intent.oca_group,
        intent=intent,
    )


def external_id(permanent_id: int) -> str:
    """Our id of an order that SCIZOR did not place."""
    return f"{EXTERNAL}-{permanent_id}"


def of_stranger(told: BrokerOpenOrder, now: datetime) -> Tracked:
    """An order in the broker's book that SCIZOR did not place: it counts in limits, and is left alone."""
    return Tracked(
        order_id=external_id(told.permanent_id),
        decision_id=None,
        client_id=told.client_id,
        broker_order_id=told.order_id if told.order_id > 0 else None,
        account_id=told.account_id,
        strategy_id=EXTERNAL,
        contract_id=told.contract_id,
        symbol=told.symbol,
        side=told.side,
        order_type=_word(OrderType, told.order_type, OrderType.LIMIT if told.limit_price else OrderType.MARKET),
        limit_price=told.limit_price or None,
        time_in_force=_word(TimeInForce, told.time_in_force, TimeInForce.DAY),
        facts=OrderFacts(told.quantity),
        sequence=0,
        known_at=now,
        created_at=now,
        stop_price=terms_of(told).stop_price,
        oca_group=told.oca_group,
    )


def _word(words: type[W], told: str, otherwise: W) -> W:
    """Others may use words that we have not."""
    return next((word for word in words if word == told), otherwise)


def of_row(row: Any) -> Tracked:
    """The order of a row of the orders table."""
    stored = row.facts if isinstance(row.facts, dict) else json.loads(row.facts)
    return Tracked(
        order_id=row.order_id,
        decision_id=row.decision_id,
        client_id=row.client_id,
        broker_order_id=row.broker_order_id,
        account_id=row.account_id,
        strategy_id=row.strategy_id,
        contract_id=row.contract_id,
        symbol=row.symbol,
        side=Side(row.side),
        order_type=OrderType(row.order_type),
        limit_price=None if row.limit_price is None else plain(row.limit_price),
        time_in_force=TimeInForce(row.time_in_force),
        facts=OrderFacts.from_json(stored),
        sequence=row.sequence,
        known_at=datetime.fromisoformat(stored["known_at"]),
        created_at=row.created_at,
        stop_price=None if row.stop_price is None else plain(row.stop_price),
        parent_id=row.parent_id,
        parent_number=stored.get("parent_number", 0),
        oca_group=row.oca_group,
        intent=_read(row.intent),
        wanted=_read(stored.get("wanted")),
    )


def _read(stored: dict[str, Any] | str | None) -> OrderIntent | None:
    if isinstance(stored, str):
        return OrderIntent.model_validate_json(stored)
    return OrderIntent.model_validate(stored) if stored is not None else None
