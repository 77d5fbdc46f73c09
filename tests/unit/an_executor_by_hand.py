"""The executor's parts with a clock, a socket and a database that only a hand moves: nothing waits and nothing runs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from prometheus_client import CollectorRegistry, Counter

from consumers.executor.expiry import Expiry
from consumers.executor.gate import Gate
from consumers.executor.ledger import Ledger
from consumers.executor.sender import Means, Ready, Sender
from consumers.executor.tracking import Tracked, of_intent
from consumers.executor.wishes import Wishes
from engine.order_facts import Acknowledged
from engine.risk import Book, check
from engine.trading_state import account_scope
from infra.clock import ManualClock
from infra.gateway import GatewayUnavailableError, Link
from infra.service import Service
from infra.settings import Settings
from infra.store.database import Store
from schemas.account import TradingMode, TradingState
from schemas.event import Event
from schemas.orders import ModifyIntent, OrderIntent, RiskDecision
from tests.builders import NOON, SEEN
from tests.unit.test_risk import limits

ACCOUNT = "DU1234567"
PATIENCE = 5.0


class Socket:
    """What was written to it."""

    def __init__(self) -> None:
        self.placed: list[tuple[int, OrderIntent, Link]] = []
        self.cancelled: list[int] = []
        self.is_there = True

    def place(self, order_id: int, intent: OrderIntent, link: Link) -> None:
        self._must_be_there()
        self.placed.append((order_id, intent, link))

    def cancel(self, order_id: int) -> None:
        self._must_be_there()
        self.cancelled.append(order_id)

    def _must_be_there(self) -> None:
        if not self.is_there:
            raise GatewayUnavailableError("no socket")


class Database:
    """Takes everything, and knows nothing."""

    def __init__(self) -> None:
        self.published: list[Event] = []
        self.is_current = True
        """False: another executor has written more."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator["Database"]:
        yield self

    @property
    def connection(self) -> "Database":
        return self

    async def execute(self, *statement: Any) -> Any:
        return SimpleNamespace(first=lambda: None, rowcount=1 if self.is_current else 0)

    async def publish(self, event: Event) -> None:
        self.published.append(event)


@dataclass
class Line:
    """The connection and the lease, as the gate sees them."""

    state: Any = field(default_factory=lambda: SimpleNamespace(usable=True, reason="", status="connected"))
    skew: Any = field(default_factory=lambda: SimpleNamespace(trouble=""))
    name: str = "executor"
    epoch: int = 1
    fresh: bool = True


class Hand:
    """The parts, wired; the gate is open and the account may trade."""

    def __init__(self, home: Path) -> None:
        self.clock, self.socket, self.database, self.line = ManualClock(SEEN), Socket(), Database(), Line()
        settings = Settings(home=home, reconcile_patience_seconds=PATIENCE)
        service = Service("executor", settings, clock=self.clock)
        store = cast("Store", self.database)
        counter = Counter("late", "", registry=CollectorRegistry())
        self.ledger = Ledger(store, self.clock, lambda: 1, cast("Expiry", None), counter)
        self.ledger.account_id = ACCOUNT
        self.gate = Gate(cast("Any", self.line), cast("Any", self.line), self.clock, 30)
        self.gate.open()
        self.mode(TradingMode.ACTIVE)
        means = Means(service, store, self.ledger, self.gate, cast("Any", self.line), cast("Any", self.socket))
        self.sender = Sender(means)
        self.wishes = Wishes(means, self.sender)

    def mode(self, mode: TradingMode) -> None:
        """Somebody stops trading, or lets it go on."""
        self.clock.advance(0.1)
        now, scope = self.clock.now(), account_scope(ACCOUNT)
        self.gate.hear(TradingState(scope=scope, mode=mode, by="ann", reason="r", event_time=now, ingest_time=now))

    def approval(self, intent: OrderIntent | ModifyIntent) -> RiskDecision:
        book = Book(trading_mode=TradingMode.ACTIVE, limits=limits(), price=Decimal(440))
        return check(intent, book, self.clock.now())

    def follow(self, intent: OrderIntent, number: int = 7, parent_number: int = 0) -> Tracked:
        """An order that works."""
        order = replace(of_intent(intent, f"d-{number}", 10, NOON), broker_order_id=number, parent_number=parent_number)
        return self.tell(order.with_([Acknowledged(90 + number)]))

    def tell(self, order: Tracked) -> Tracked:
        self.ledger.follow(order)
        return order

    def ready(self, intent: OrderIntent) -> Ready:
        """One that is spent."""
        order = replace(of_intent(intent, "d-1", 10, self.clock.now()), broker_order_id=7)
        self.ledger.send(order)
        return Ready(order, self.approval(intent), Link())

    def change(self, change: ModifyIntent) -> str | None:
        """Write an approved change, as on_change does once the database has it."""
        order = self.tell(self.ledger.get(change.order_id).asked_to_become(change))  # type: ignore[union-attr]  # known
        return self.wishes._change(order, self.approval(change))

    async def wait(self, seconds: float) -> None:
        """Let time pass, with a look every second."""
        for _ in range(int(seconds)):
            self.clock.advance(1.0)
            await self.wishes.look()

    def order(self, order_id: str = "intent-1") -> Tracked:
        found = self.ledger.get(order_id)
        assert found is not None
        return found
