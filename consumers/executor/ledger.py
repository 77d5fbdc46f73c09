"""What the broker said, kept and told: events, the orders they change, and fills, in one transaction."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import Counter
from pydantic_core import to_jsonable_python

from consumers.executor import meaning
from consumers.executor.tracking import EXTERNAL, Tracked, external_id, of_row, of_stranger
from engine.orders import Fact, FilledAfterEnd
from infra.clock import Clock
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
from infra.store.database import Store, Transaction
from schemas.orders import Commission, Fill, OrderStatus

Said = BrokerOpenOrder | BrokerCompletedOrder | BrokerOrderStatus | BrokerExecution | BrokerCommission | BrokerError

_REMEMBERED_MAX = 20_000


class Ledger:
    """The executor's orders: working ones in memory, all of them in the database."""

    def __init__(self, store: Store, clock: Clock, epoch: Callable[[], int], late_fills: Counter) -> None:
        self._store = store
        self._clock = clock
        self._epoch = epoch
        self._late_fills = late_fills
        self._orders: dict[str, Tracked] = {}
        self._by_broker: dict[tuple[int, int], str] = {}
        self._done: OrderedDict[str, None] = OrderedDict()
        self._executed_at: OrderedDict[str, dict[int, datetime]] = OrderedDict()
        self._log = structlog.get_logger()
        self.lock = asyncio.Lock()
        """Held while orders change: reports, cancels and reconciliation take turns."""
        self._sent_at: dict[str, float] = {}
        self.account_id = ""
        self.known = asyncio.Event()
        """Set when the account is known and its orders are in memory."""
        self.doubtful: dict[str, tuple[int, str]] = {}
        """Orders that an error left in doubt: code and text."""

    async def load(self, account_id: str) -> None:
        """Everything that is not done, as the database has it."""
        self.account_id = account_id
        async with self._store.reading() as connection:
            for row in await table.working(connection, account_id):
                self.follow(of_row(row))
        self.known.set()

    def send(self, order: Tracked) -> None:
        """Follow an order that is about to touch the socket."""
        self._sent_at[order.order_id] = self._clock.monotonic()
        self.follow(order)

    def sent_at(self, order_id: str) -> float:
        """When this process sent it (monotonic seconds); the distant past for orders of an earlier process."""
        return self._sent_at.get(order_id, float("-inf"))

    @property
    def working(self) -> list[Tracked]:
        return [order for order in self._orders.values() if not order.status.final]

    @property
    def all(self) -> list[Tracked]:
        """Working ones, and those that were done lately."""
        return list(self._orders.values())

    def get(self, order_id: str) -> Tracked | None:
        return self._orders.get(order_id)

    def follow(self, order: Tracked) -> None:
        """Keep the newest of an order in memory; done ones until there are too many."""
        self._orders[order.order_id] = order
        if order.broker_order_id is not None:
            self._by_broker[order.client_id, order.broker_order_id] = order.order_id
        if order.status.final:
            self.doubtful.pop(order.order_id, None)
            self._sent_at.pop(order.order_id, None)
            self._done[order.order_id] = None
            self._done.move_to_end(order.order_id)
            while len(self._done) > _REMEMBERED_MAX:
                forgotten = self._orders.pop(self._done.popitem(last=False)[0])
                self._by_broker.pop((forgotten.client_id, forgotten.broker_order_id or 0), None)

    async def apply(self, said: Sequence[Said], client_id: int, *, asked: bool = False) -> None:
        """Keep what was said and what follows from it. Said again, or in another order, it changes nothing more.

        Of answers that were `asked` for, only those are kept as events that brought news.
        """
        async with self.lock, self._store.transaction() as tx:
            now = self._clock.now()
            ours = [each for each in said if getattr(each, "account_id", self.account_id) == self.account_id]
            page = _Page(self, tx, client_id, now)
            news = [each for each in ours if await page.take(each) or not asked]
            await table.save_broker_events(tx.connection, self.account_id, [_event_of(each) for each in news], now)
            await page.write()
        page.turn()

    async def change(self, order: Tracked, facts: Iterable[Fact]) -> Tracked:
        """Add facts of our own to an order and tell of it. Take the lock first."""
        now = self._clock.now()
        changed = order.with_(facts)
        async with self._store.transaction() as tx:
            await save(tx, order, changed, now)
        self.follow(changed)
        return changed

    async def find(self, tx: Transaction, **by: Any) -> Tracked | None:
        row = await table.find(tx.connection, **by)
        return of_row(row) if row is not None else None

    async def time_of(self, tx: Transaction, root: str) -> datetime | None:
        """Market time of an execution."""
        known = self._executed_at.get(root)
        return max(known.values()) if known else await table.executed_at(tx.connection, root)

    def knows(self, root: str, revision: int) -> bool:
        """Whether this revision of an execution is stored, as far as memory reaches."""
        return revision in self._executed_at.get(root, {})

    def remember_execution(self, root: str, revision: int, moment: datetime) -> None:
        self._executed_at.setdefault(root, {})[revision] = moment
        if len(self._executed_at) > _REMEMBERED_MAX:
            self._executed_at.popitem(last=False)

    def by_broker(self, client_id: int, broker_order_id: int) -> Tracked | None:
        return self._orders.get(self._by_broker.get((client_id, broker_order_id), ""))

    def note_late_fill(self, order_id: str, said: BrokerExecution) -> None:
        """An alarm: what was free again was not."""
        self._late_fills.inc()
        self._log.error("filled after its end", order_id=order_id, execution_id=said.root, quantity=str(said.quantity))

    @property
    def epoch(self) -> int:
        return self._epoch()


async def save(tx: Transaction, before: Tracked, after: Tracked, now: datetime, decision_id: str | None = None) -> None:
    """Write an order that changed, and publish the update when it looks different."""
    if after is before:
        return
    await table.save(tx.connection, after.order_id, after.changes(now))
    if after.sequence != before.sequence:
        told = after.update(now)
        await table.save_update(tx.connection, told, decision_id)
        await tx.publish(told)


def _comes_after_the_end(order: Tracked, facts: Sequence[Fact]) -> bool:
    """What the end told as filled already is no news; more than that is."""
    ended = order.status.final and order.status is not OrderStatus.FILLED
    return ended and order.with_(facts).facts.cumulative > order.facts.cumulative


def _event_of(said: Said) -> tuple[str, int | None, dict[str, Any]]:
    return type(said).__name__, getattr(said, "order_id", None), to_jsonable_python(asdict(said))


class _Page:
    """One transaction's worth of reports: nothing is remembered before it is committed."""

    def __init__(self, ledger: Ledger, tx: Transaction, client_id: int, now: datetime) -> None:
        self._ledger = ledger
        self._tx = tx
        self._client_id = client_id
        self._now = now
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
                return self._learn(order, meaning.facts_of_completed_order(said))
            case BrokerOrderStatus():
                order = await self._order(broker=(said.client_id, said.order_id), permanent_id=said.permanent_id)
                return self._learn(order, meaning.facts_of_status(said))
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
        if order is None or not facts:
            return False
        after = self._after[order.order_id] = order.with_(facts, known_at)
        return after is not order

    async def _on_open_order(self, said: BrokerOpenOrder) -> bool:
        number = (said.client_id, said.order_id)
        order = await self._order(ref=said.order_ref, broker=number, permanent_id=said.permanent_id)
        if order is None and said.permanent_id:
            order = of_stranger(said, self._now)
            if await table.add(self._tx.connection, order.values(self._now, self._ledger.epoch)):
                self._before[order.order_id] = order
        return self._learn(order, meaning.facts_of_open_order(said))

    async def _on_error(self, said: BrokerError) -> bool:
        order = await self._order(broker=(self._client_id, said.order_id))
        if order is None:
            return False
        facts = meaning.facts_of_error(said)
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
