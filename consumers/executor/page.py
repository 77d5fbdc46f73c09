"""One transaction's worth of what the gateway said: which orders it is about, and what they become by it."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from consumers.executor import meaning
from consumers.executor.terms import terms_of
from consumers.executor.tracking import EXTERNAL, Tracked, external_id, of_stranger
from engine.order_facts import Ended, Fact, FilledAfterEnd
from infra.delivery import TransientError
from infra.gateway import (
    BrokerCommission,
    BrokerCompletedOrder,
    BrokerError,
    BrokerExecution,
    BrokerOpenOrder,
    BrokerOrderStatus,
    ErrorMeaning,
)
from infra.store import orders as table
from infra.store.database import Transaction
from schemas.orders import Commission, Fill, OrderStatus

if TYPE_CHECKING:
    from consumers.executor.ledger import Ledger

Said = BrokerOpenOrder | BrokerCompletedOrder | BrokerOrderStatus | BrokerExecution | BrokerCommission | BrokerError


class OvertakenError(TransientError):
    """What is known here is older than what the database has: nothing may be built on it, until a start knows it."""

    def __init__(self, order_id: str) -> None:
        super().__init__(f"another executor has followed order {order_id} further: this one stops, start it again")


async def save(tx: Transaction, before: Tracked, after: Tracked, now: datetime, decision_id: str | None = None) -> None:
    """Write an order that changed, and publish the update when it looks different."""
    if after is before:
        return
    if not await table.save(tx.connection, after.order_id, after.changes(now)):
        raise OvertakenError(after.order_id)
    if after.sequence != before.sequence:
        told = after.update(now)
        await table.save_update(tx.connection, told, decision_id)
        await tx.publish(told)


def _comes_after_the_end(order: Tracked, facts: Sequence[Fact]) -> bool:
    """What the end told as filled already is no news; more than that is."""
    ended = order.status.final and order.status is not OrderStatus.FILLED
    return ended and order.with_(facts).facts.cumulative > order.facts.cumulative


def event_of(said: Said) -> tuple[str, int | None, dict[str, Any]]:
    return type(said).__name__, getattr(said, "order_id", None), to_jsonable_python(asdict(said))


class Page:
    """One transaction's worth of reports: nothing is remembered before it is committed."""

    def __init__(self, ledger: "Ledger", tx: Transaction, client_id: int, now: datetime, *, asked: bool) -> None:
        self._ledger = ledger
        self._tx = tx
        self._client_id = client_id
        self._now = now
        self._asked = asked
        self._before: dict[str, Tracked] = {}
        self._after: dict[str, Tracked] = {}
        self._doubts: dict[str, tuple[int, str]] = {}
        self._late: list[tuple[str, BrokerExecution]] = []
        self._executed: dict[tuple[str, int], datetime] = {}

    async def take(self, said: Said) -> bool:
        """Whether it was news."""
        match said:
            case BrokerOpenOrder():
                return await self._on_open_order(said)
            case BrokerCompletedOrder():
                order = await self._order(ref=said.order_ref, permanent_id=said.permanent_id)
                return await self._ended(order, said.status, meaning.facts_of_completed_order(said))
            case BrokerOrderStatus():
                order = await self._order(broker=(said.client_id, said.order_id), permanent_id=said.permanent_id)
                return await self._ended(order, said.status, meaning.facts_of_status(said))
            case BrokerError():
                return await self._on_error(said)
            case BrokerExecution():
                return await self._on_execution(said)
            case BrokerCommission():
                return await self._on_commission(said)

    async def _order(
        self, *, ref: str = "", broker: tuple[int, int] | None = None, permanent_id: int = 0
    ) -> Tracked | None:
        """The order by our reference, else by the broker's ids."""
        known = self._ledger.get(ref) if ref else None
        if known is None and broker is not None:
            known = self._ledger.by_broker(*broker)
        if known is None and permanent_id:
            known = self._ledger.get(external_id(permanent_id)) or self._after.get(external_id(permanent_id))
        if known is None:
            number = broker if broker is not None and broker[1] > 0 else None
            known = await self._ledger.find(self._tx, order_id=ref, broker=number, permanent_id=permanent_id)
        if known is None:
            return None
        self._before.setdefault(known.order_id, known)
        return self._after.setdefault(known.order_id, known)

    def _learn(self, order: Tracked | None, facts: Sequence[Fact], known_at: datetime | None = None) -> bool:
        return order is not None and self._become(order, order.with_(facts, known_at))

    def _become(self, order: Tracked, after: Tracked) -> bool:
        if after.status.final:
            after = after.refused(0, "the order had ended before it could be changed")
        self._after[order.order_id] = after
        return after is not order

    async def _ended(self, order: Tracked | None, word: str, facts: Sequence[Fact]) -> bool:
        """An end without a reason, of an order that nobody cancelled and whose time is over, is its expiry."""
        if order is None:
            return False
        after = order.with_(facts)
        if word == "Filled":
            after = after.refused(104, "it was filled before it could be changed")
        bare = after.status is OrderStatus.CANCELED and not (order.status.final or after.facts.cancel_requested)
        if bare and await self._ledger.expiry.is_over(after):
            after = after.with_([Ended(OrderStatus.EXPIRED, 0, "its time is over")])
        return self._become(order, after)

    async def _on_open_order(self, said: BrokerOpenOrder) -> bool:
        number = (said.client_id, said.order_id)
        order = await self._order(ref=said.order_ref, broker=number, permanent_id=said.permanent_id)
        if order is None and said.permanent_id:
            order = of_stranger(said, self._now)
            if await table.add(self._tx.connection, order.values(self._now, self._ledger.epoch)):
                self._before[order.order_id] = order
        if order is None:
            return False
        after = order.with_(meaning.facts_of_open_order(said))
        if not self._asked and said.quantity > 0:
            # the answer to a question has been heard as it came, too, and between what came before and after it
            after = after.worked_as(terms_of(said))
        return self._become(order, after)

    async def _on_error(self, said: BrokerError) -> bool:
        order = await self._order(broker=(self._client_id, said.order_id))
        if order is None:
            return False
        if order.facts.change and meaning.answers_change(said):
            return self._become(order, order.refused(said.code, said.text))
        facts = meaning.facts_of_error(said, order)
        if not facts and said.meaning is ErrorMeaning.RECONCILE:
            self._doubts[order.order_id] = (said.code, said.text)
        return self._learn(order, facts)

    async def _on_execution(self, said: BrokerExecution) -> bool:
        if self._ledger.knows(said.root, said.revision):
            return False
        number = (said.client_id, said.order_id)
        order = await self._order(ref=said.order_ref, broker=number, permanent_id=said.permanent_id)
        order_id = order.order_id if order else external_id(said.permanent_id) if said.permanent_id else ""
        fill = meaning.fill_of(said, order_id, order.strategy_id if order else EXTERNAL, self._now)
        self._executed[said.root, said.revision] = said.executed_at
        new = await table.save_fill(self._tx.connection, fill)
        if new:
            await self._tx.publish(fill)
        known_at = said.executed_at if isinstance(fill, Fill) else None
        facts = meaning.facts_of_execution(said)
        if order is not None and new and _comes_after_the_end(order, facts):
            facts.append(FilledAfterEnd(order.status))
            self._late.append((order.order_id, said))
        return self._learn(order, facts, known_at) or new

    async def _on_commission(self, said: BrokerCommission) -> bool:
        executed_at = self._executed.get((said.root, said.revision))
        commission = Commission(
            execution_id=said.root,
            revision=said.revision,
            account_id=self._ledger.account_id,
            amount=said.amount,
            currency=said.currency,
            realised_pnl=said.realised_pnl,
            event_time=executed_at or await self._ledger.time_of(self._tx, said.root) or self._now,
            ingest_time=self._now,
        )
        new = await table.save_commission(self._tx.connection, commission)
        if new:
            await self._tx.publish(commission)
        return new

    async def write(self) -> None:
        for order_id, after in self._after.items():
            before = self._before.get(order_id)
            if before is not None:
                await save(self._tx, before, after, self._now)

    def turn(self) -> None:
        """Committed: remember it."""
        for order_id, said in self._late:
            self._ledger.note_late_fill(order_id, said)
        for order in self._after.values():
            self._ledger.follow(order)
        for (root, revision), moment in self._executed.items():
            self._ledger.remember_execution(root, revision, moment)
        for order_id, doubt in self._doubts.items():
            known = self._ledger.get(order_id)
            if known is not None and not known.status.final:
                self._ledger.doubtful[order_id] = doubt
