"""After the database was lost: orders, executions and balances again, as the topics tell them, before anything is sent.

What only the broker has said, and nobody has published, comes back with the first comparison of the books.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from consumers.executor.tracking import EXTERNAL, Tracked
from engine.order_facts import (
    Acknowledged,
    CancelRequested,
    ChangeAnswered,
    ChangeRequested,
    Ended,
    Executed,
    Fact,
    Lost,
    NeverArrived,
    Reported,
    Sized,
    Unanswered,
)
from engine.orders import UNDER_WAY, OrderFacts
from engine.risk import decision_id_of
from infra.replay import fold, with_records
from infra.service import Service
from infra.store import orders as table
from infra.store import rebuilt
from infra.store.database import Store, Transaction
from schemas.account import AccountState
from schemas.event import Event
from schemas.orders import (
    Commission,
    Fill,
    FillBusted,
    FillCorrected,
    ModifyIntent,
    OrderIntent,
    OrderStatus,
    OrderUpdate,
    RiskDecision,
)

_SOURCES = (RiskDecision, AccountState, Fill, OrderUpdate)
_AT_THE_BROKER = (OrderStatus.NEW, OrderStatus.PARTIALLY_FILLED, OrderStatus.FILLED, OrderStatus.PENDING_CANCEL)


@dataclass
class _Told:
    """What the topics say of one order."""

    updates: dict[int, OrderUpdate] = field(default_factory=dict)
    executions: list[Executed] = field(default_factory=list)

    @property
    def in_order(self) -> list[OrderUpdate]:
        return [self.updates[number] for number in sorted(self.updates)]


class Rebuilding:
    """Fills the executor's tables once in the life of a database; what they have already stays as it is."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store
        self._intents: dict[str, OrderIntent] = {}
        self._changes: dict[str, list[ModifyIntent]] = {}
        self._orders: dict[str, _Told] = {}
        self._order_of: dict[str, str] = {}

    async def run(self) -> None:
        """In one transaction: done as a whole, or begun again at the next start."""
        async with self._store.reading() as connection:
            if await rebuilt.is_done(connection, self._store.service):
                return
        settings, catalogue = self._service.settings, self._service.catalogue
        topics = [catalogue.topic_of(source).name for source in _SOURCES]
        filled = await with_records(settings, topics, catalogue=catalogue)
        if topics[0] in filled:  # read ahead: a transaction that waits for long is ended by the database
            async for event, _ in fold(settings, topics[:1], catalogue=catalogue):
                self._note_decision(event)
        async with self._store.transaction() as tx:
            for topic in filled:
                if topic != topics[0]:
                    await self._read(tx, topic)
            for order_id, told in self._orders.items():
                if told.updates:
                    await self._write(tx, order_id, told)
            await rebuilt.done(tx.connection, self._store.service, catalogue.topic_of(OrderUpdate).name)
        self._service.log.info("tables made from the topics", orders=len(self._orders))
        self._forget()

    def _note_decision(self, event: Event) -> None:
        match event:
            case RiskDecision(approved=True, intent=OrderIntent() as intent):
                self._intents[intent.intent_id] = intent
            case RiskDecision(approved=True, intent=ModifyIntent() as change):
                self._changes.setdefault(change.order_id, []).append(change)

    async def _read(self, tx: Transaction, topic: str) -> None:
        async for event, _ in fold(self._service.settings, [topic], catalogue=self._service.catalogue):
            match event:
                case AccountState():
                    await table.save_account(tx.connection, event)
                case Commission():
                    await table.save_commission(tx.connection, event)
                case Fill() | FillCorrected() | FillBusted():
                    await table.save_fill(tx.connection, event)
                    self._note_execution(event)
                case OrderUpdate():
                    await table.save_update(tx.connection, event)
                    self._orders.setdefault(event.order_id, _Told()).updates[event.sequence] = event

    def _forget(self) -> None:
        for known in (self._intents, self._changes, self._orders, self._order_of):
            known.clear()

    def _note_execution(self, told: Fill | FillCorrected | FillBusted) -> None:
        root, revision = told.execution_id, told.revision
        if isinstance(told, FillBusted):
            order_id, executed = self._order_of.get(root, ""), Executed(root, revision, Decimal(0), Decimal(0))
        else:
            order_id, executed = told.order_id, Executed(root, revision, told.last_quantity, told.last_price)
        if order_id:
            self._order_of[root] = order_id
            self._orders.setdefault(order_id, _Told()).executions.append(executed)

    async def _write(self, tx: Transaction, order_id: str, told: _Told) -> None:
        order = order_of(told.in_order, told.executions, self._intents.get(order_id), self._changes.get(order_id, ()))
        order = replace(order, parent_number=self._parent_number(order))
        last = told.in_order[-1]
        shown = {
            "status": last.status.value,
            "cumulative_quantity": last.cumulative_quantity,
            "average_price": last.average_price,
            "reason": last.reason,
            "code": last.code,
        }
        await table.add(tx.connection, order.values(last.ingest_time, 0) | shown)
        if order.ours and order.broker_order_id is not None:
            await table.reserve_ids(tx.connection, order.client_id, order.broker_order_id + 1, 0)

    def _parent_number(self, order: Tracked) -> int:
        """The broker's id of the order that this one was sent to hang on: none, when that was over by then."""
        parent = self._orders.get(order.parent_id or "")
        if parent is None or not parent.updates:
            return 0
        told = parent.in_order
        by_then = [update for update in told if update.ingest_time <= order.created_at] or told[:1]
        return 0 if by_then[-1].status.final else by_then[-1].broker_order_id


def order_of(
    updates: Sequence[OrderUpdate],
    executions: Iterable[Executed],
    intent: OrderIntent | None,
    changes: Sequence[ModifyIntent],
) -> Tracked:
    """The order of which this was told, in the order of its updates."""
    first, last = updates[0], updates[-1]
    facts = OrderFacts(intent.quantity if intent is not None else first.quantity)
    executed = list(executions)
    filled = bool(executed) or any(told.cumulative_quantity for told in updates)
    for fact in [*_facts(updates, filled=filled), *executed]:
        facts = facts.with_(fact)
    if (missing := last.cumulative_quantity - facts.executed) > 0:
        counted = sum((known.first_quantity for _, known in facts.executions), Decimal(0))
        facts = facts.with_(Reported(counted + missing))  # what the broker counted, and no execution has told
    asked = changes[-1] if changes and last.reason == UNDER_WAY and changes[-1].intent_id != last.last_change else None
    if asked is not None:
        facts = facts.with_(ChangeRequested(asked.intent_id, asked.wanted.quantity))
    return Tracked(
        order_id=last.order_id,
        decision_id=None if last.strategy_id == EXTERNAL else decision_id_of(last.order_id),
        client_id=last.client_id,
        broker_order_id=last.broker_order_id or None,
        account_id=last.account_id,
        strategy_id=last.strategy_id,
        contract_id=last.contract_id,
        symbol=last.symbol,
        side=last.side,
        order_type=last.order_type,
        limit_price=last.limit_price,
        time_in_force=last.time_in_force,
        facts=facts,
        sequence=last.sequence,
        known_at=last.event_time,
        created_at=first.ingest_time,
        stop_price=last.stop_price,
        parent_id=last.parent_id,
        oca_group=last.oca_group,
        intent=_as_changed(intent, changes, updates),
        wanted=asked.wanted if asked is not None else None,
    )


def _facts(updates: Sequence[OrderUpdate], *, filled: bool) -> list[Fact]:
    """What the broker must have said for these updates to be told."""
    facts: list[Fact] = []
    reached = False
    for told in updates:
        if told.permanent_id or told.status in _AT_THE_BROKER:
            reached = True
            facts += [Acknowledged(told.permanent_id), Sized(told.quantity)]
        if told.status is OrderStatus.PENDING_CANCEL:
            facts.append(CancelRequested())
        if told.last_change:
            facts.append(ChangeRequested(told.last_change, told.quantity))
            facts.append(ChangeAnswered(told.last_change, told.code, "" if told.reason == UNDER_WAY else told.reason))
        if told.status.final or told is updates[-1]:
            # refused and filled all the same: that is for a person to look at
            facts += _end(told, reached=reached or (filled and told.status is OrderStatus.REJECTED))
    return facts


def _end(told: OrderUpdate, *, reached: bool) -> list[Fact]:
    """An end that was told weighs less than what the broker says later where nothing shows that it had the order."""
    if told.status is OrderStatus.UNKNOWN:
        return [Unanswered(told.reason) if reached else Lost(told.reason)]
    if not told.status.final or told.status is OrderStatus.FILLED:
        return []
    if reached:
        return [Ended(told.status, told.code, told.reason)]
    return [NeverArrived(told.status, told.reason, told.code)]


def _as_changed(
    intent: OrderIntent | None, changes: Iterable[ModifyIntent], updates: Sequence[OrderUpdate]
) -> OrderIntent | None:
    """The intent after the changes that the broker took: those whose answer shows their terms."""
    answers = {told.last_change: told for told in reversed(updates) if told.last_change}
    for change in changes:
        told, wanted = answers.get(change.intent_id), change.wanted
        if intent is None or told is None:
            continue
        terms = (told.quantity, told.limit_price, told.stop_price)
        if told.reason in ("", UNDER_WAY) and terms == (wanted.quantity, wanted.limit_price, wanted.stop_price):
            intent = wanted.model_copy(update={"event_time": intent.event_time})
    return intent
