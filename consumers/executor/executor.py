"""The executor: gateway, lease, ledger, gate, sender and reconciliation, wired to the topics."""

import asyncio
from collections import deque

from prometheus_client import Counter

from consumers.executor.expiry import Expiry
from consumers.executor.families import Families
from consumers.executor.gate import Gate
from consumers.executor.kills import Kills
from consumers.executor.ledger import Ledger
from consumers.executor.meaning import facts_of_resolution, lives_on
from consumers.executor.page import Said
from consumers.executor.rebuilding import Rebuilding
from consumers.executor.reconciliation import Reconciliation
from consumers.executor.sender import Means, Sender
from consumers.executor.states import States
from consumers.executor.tracking import of_row
from consumers.executor.wishes import Wishes
from engine.trading_state import account_scope
from infra import trading_mode
from infra.errors import RefusedError
from infra.gateway import (
    BrokerConnection,
    BrokerError,
    BrokerExecution,
    BrokerReport,
    ClientSlot,
    Connection,
    ErrorMeaning,
    Orders,
)
from infra.gateway.gauges import measure
from infra.gateway.market_clock import MarketClock
from infra.publish import Origin
from infra.replay import fold
from infra.service import Service
from infra.settings import Settings
from infra.store import orders as table
from infra.store.database import Store
from infra.store.leases import Lease
from schemas.account import TradingMode, TradingState
from schemas.event import Event
from schemas.orders import CancelIntent, ModifyIntent, OrderIntent, OrderStatus, RiskDecision
from schemas.reconciliation import Reconciled, ReconciliationAsked
from schemas.resolution import OrderResolved

_BATCH_MAX = 200
_HOLD_AT = 5_000


class OpenKafkaRefusedError(RefusedError):
    def __init__(self, kafka: str) -> None:
        super().__init__(
            f"the Kafka at {kafka} lets anybody write orders: set SCIZOR_KAFKA_SECURITY=SASL_SSL with a user and a "
            "password, or SCIZOR_ALLOW_OPEN_KAFKA=true to trade a real gateway account over it all the same"
        )


def guard(settings: Settings) -> None:
    """Refuse what must not trade: what does not fit the mode, and a real gateway over an open Kafka."""
    trading_mode.refuse_unproved(settings)
    closed = settings.kafka_security.startswith("SASL") or settings.allow_open_kafka
    if settings.trading_mode != "simulated" and not closed:
        raise OpenKafkaRefusedError(settings.kafka)


class Executor:
    """One account's sender. Starting is recovering: nothing is sent before the books agree."""

    def __init__(self, service: Service, store: Store) -> None:
        guard(service.settings)
        self._service = service
        self._store = store
        self._clock = service.clock
        self._lease = Lease(service.settings, "executor", service.clock)
        self._connection = Connection(
            service.settings, ClientSlot.EXECUTOR, clock=service.clock, entropy=service.entropy
        )
        self._orders = Orders(self._connection, self._tell)
        late_fills = Counter(
            "scizor_fills_after_end",
            "Executions of orders that the broker had told to have ended",
            registry=service.metrics.registry,
        )
        self._market = MarketClock(service.clock)
        self._connection.on_message("currentTime", self._market.heard)
        expiry = Expiry(store, self._market)
        self._ledger = Ledger(store, service.clock, lambda: self._lease.epoch, expiry, late_fills)
        self._gate = Gate(self._connection, self._lease, service.clock, service.settings.orders_per_second)
        self._states = States(self._gate)
        means = Means(service, store, self._ledger, self._gate, self._lease, self._orders)
        self._sender = Sender(means)
        self._families = Families(means, self._sender)
        self._wishes = Wishes(means, self._sender)
        self._reconciliation = Reconciliation(means, self._sender)
        self._connection.skew.on_change(self._reconciliation.ask)
        measure(self._connection, service.metrics.registry)
        self._reports: deque[Said] = deque()
        self._arrived = asyncio.Event()

    def wire(self) -> None:
        service = self._service
        service.on(RiskDecision, self._on_decision)
        service.on(TradingState, self._on_trading_state)
        service.on(OrderResolved, self._on_resolved)
        service.on(ReconciliationAsked, self._on_asked)
        service.on(Reconciled, self._on_reconciled)
        service.halt_with(self._halt)
        service.before(self._lease.acquire)  # first: what is folded earlier misses what the one who leads still hears
        service.before(self._fold_trading_states)
        service.before(self._fold_requests)
        service.before(Rebuilding(service, self._store).run)
        service.before(self._connection.start)
        service.task("lease", self._lease.keep)
        service.task("gateway", self._connection.watch)
        service.task("reports", self._take_reports)
        kills = Kills(service.settings, self._sender.kill_flag, self._ledger, self._sender, self._clock)
        service.task("kills", lambda: kills.run(service.log))
        service.task("wishes", self._wishes.ask_again)
        service.task("reconciliation", lambda: self._reconciliation.run(self._connection))
        service.ready_when("trading", self._gate.why_shut)
        service.after(self._lease.release)
        service.after(self._connection.stop)

    async def _on_decision(self, decision: RiskDecision, origin: Origin) -> None:
        match decision.intent:
            case OrderIntent(legs=legs) as intent if legs:
                await self._families.on_leg(intent, origin)
            case OrderIntent() as intent if decision.approved:
                await self._sender.on_order(decision, intent, origin)
            case ModifyIntent() as change if decision.approved:
                await self._wishes.on_change(decision, change)
            case CancelIntent() as cancel if decision.approved:
                await self._wishes.on_cancel(decision, cancel)

    # what the gateway tells; called by its reader, in the order of the socket

    def _tell(self, report: BrokerReport) -> None:
        if isinstance(report, BrokerConnection):
            if report.resync or not report.state.usable:
                self._gate.gap()
                self._reconciliation.ask()
            return
        self._reports.append(report)
        self._arrived.set()
        if len(self._reports) >= _HOLD_AT:
            self._connection.hold()
        if isinstance(report, BrokerExecution):
            self._reconciliation.ask_after_fill()
        elif isinstance(report, BrokerError) and self._leaves_doubt(report):
            self._reconciliation.ask()

    def _leaves_doubt(self, report: BrokerError) -> bool:
        order = self._ledger.by_broker(self._connection.client_id, report.order_id)
        return report.meaning is ErrorMeaning.RECONCILE or (order is not None and lives_on(order))

    async def _take_reports(self) -> None:
        """Everything that was told, in order; what cannot be stored now is tried again, and nothing is skipped."""
        await self._ledger.known.wait()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._reports:
                batch = [self._reports[i] for i in range(min(_BATCH_MAX, len(self._reports)))]
                await self._ledger.apply(batch, self._connection.client_id)
                for _ in batch:
                    self._reports.popleft()
                if len(self._reports) < _HOLD_AT:
                    self._connection.release()

    # trading states

    async def _fold_trading_states(self) -> None:
        async for event, record in fold(self._service.settings, ["trading.state.v1"]):
            if isinstance(event, TradingState):
                self._states.fold(event, record.offset)

    async def _on_trading_state(self, told: TradingState, origin: Origin) -> None:
        holds = None if self._states.is_past(told, origin.offset) else self._states.fold(told, origin.offset)
        if holds != told and (told.accept_order_ids or told.accept_positions):
            self._service.log.warning("not accepted", by=told.by, reason=f"another state of {told.scope} holds by now")
        if holds is None:
            return
        if holds != told:
            await self._service.publish(self._states.echo(holds), cause=origin)
        elif told.scope == account_scope(self._ledger.account_id):
            if told.accept_order_ids:
                await self._sender.ids.accept()
                self._reconciliation.ask()
            if told.accept_positions:
                await self._reconciliation.accept(told)
        await self._reconciliation.tell_state()

    # comparisons that somebody asks for

    async def _fold_requests(self) -> None:
        async for event, _ in fold(self._service.settings, ["trading.reconciliations.v1"]):
            self._reconciliation.requests.hear(event)

    async def _on_asked(self, asked: ReconciliationAsked, origin: Origin) -> None:
        self._reconciliation.requests.hear(asked)
        self._reconciliation.ask()

    async def _on_reconciled(self, answer: Reconciled, origin: Origin) -> None:
        """Also what an executor before us, or beside us until its lease had ended, has answered."""
        self._reconciliation.requests.hear(answer)

    # what a person has found out

    async def _on_resolved(self, told: OrderResolved, origin: Origin) -> None:
        """Nothing that the broker has said is taken back: only an order that is UNKNOWN still can be resolved."""
        async with self._ledger.lock:
            async with self._store.reading() as connection:
                row = await table.find(connection, order_id=told.order_id)
            order = self._ledger.get(told.order_id) or (of_row(row) if row is not None else None)
            facts = facts_of_resolution(told, order) if order is not None else []
            unknown = order is not None and order.status is OrderStatus.UNKNOWN
            if order is None or not (unknown and facts and order.account_id == told.account_id):
                self._service.log.warning("nothing to resolve", order_id=told.order_id, by=told.by)
                return
            await self._ledger.change(order, facts)
        self._wishes.forget(told.order_id)
        self._service.log.warning(
            "resolved", order_id=told.order_id, finding=told.finding.value, by=told.by, reason=told.reason
        )
        self._reconciliation.ask()

    async def _halt(self, event: Event, reason: str) -> None:
        """A decision cannot be applied: stop the account until a person has looked."""
        now = self._clock.now()
        if self._ledger.account_id:
            scope = account_scope(self._ledger.account_id)
            state = TradingState(
                scope=scope, mode=TradingMode.HALTED, reason=reason, by="safety", event_time=now, ingest_time=now
            )
            self._gate.hear(state)
            await self._service.publish(state)


def build(settings: Settings) -> Service:
    """The service, wired."""
    service = Service("executor", settings)
    store = Store(settings, "executor")
    service.relay(store)
    Executor(service, store).wire()
    return service
