"""What the broker said, kept and told: events, the orders they change, and fills, in one transaction."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

import structlog
from prometheus_client import Counter

from consumers.executor.expiry import Expiry
from consumers.executor.page import Page, Said, event_of, save
from consumers.executor.tracking import Tracked, of_row
from engine.order_facts import Fact
from infra.clock import Clock
from infra.gateway import BrokerExecution
from infra.store import orders as table
from infra.store.database import Store, Transaction

_REMEMBERED_MAX = 20_000


class Ledger:
    """The executor's orders: working ones in memory, all of them in the database."""

    def __init__(self, store: Store, clock: Clock, epoch: Callable[[], int], expiry: Expiry, late: Counter) -> None:
        self._store = store
        self._clock = clock
        self._epoch = epoch
        self.expiry = expiry
        self._late_fills = late
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
        if not order.status.final:
            self._done.pop(order.order_id, None)  # it was told as done, and works again
        else:
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
            page = Page(self, tx, client_id, now, asked=asked)
            news = [each for each in ours if await page.take(each) or not asked]
            await table.save_broker_events(tx.connection, self.account_id, [event_of(each) for each in news], now)
            await page.write()
        page.turn()

    async def change(self, order: Tracked, facts: Iterable[Fact]) -> Tracked:
        """Add facts of our own to an order and tell of it. Take the lock first."""
        return await self.turn(order, order.with_(facts))

    async def turn(self, order: Tracked, after: Tracked) -> Tracked:
        """Let an order be what it is after something of our own, and tell of it. Take the lock first."""
        async with self._store.transaction() as tx:
            await self.save(tx, order, after)
        self.follow(after)
        return after

    async def save(self, tx: Transaction, before: Tracked, after: Tracked, decision_id: str | None = None) -> None:
        """Write an order that changed and publish its update; follow it once the transaction is committed."""
        await save(tx, before, after, self._clock.now(), decision_id)

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
