"""From an approval to the socket: spent in one transaction, looked at once more, sent, and never waited for."""

import json
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

from prometheus_client import Counter

from consumers.executor.gate import Gate
from consumers.executor.ledger import Ledger, save
from consumers.executor.order_ids import OrderIds
from consumers.executor.tracking import Tracked, of_intent
from engine.order_facts import CancelRequested, NeverArrived
from engine.risk import fingerprint
from engine.trading_state import scopes_of
from infra.gateway import ClientSlot, GatewayUnavailableError, Orders
from infra.kill import KillFlag
from infra.publish import Origin
from infra.service import Service
from infra.store import orders as table
from infra.store.database import Store, Transaction
from infra.store.leases import Lease
from infra.store.orders import Approval, Spending
from schemas.orders import CancelIntent, OrderIntent, OrderStatus, RiskDecision


class Sender:
    """Acts on decisions, in the order they come."""

    def __init__(self, service: Service, store: Store, ledger: Ledger, gate: Gate, lease: Lease) -> None:
        self._service = service
        self._clock = service.clock
        self._store = store
        self._ledger = ledger
        self._gate = gate
        self._lease = lease
        self.ids = OrderIds(store, service.settings.ib_client_id + ClientSlot.EXECUTOR)
        self.orders: Orders | None = None
        self.kill_flag = KillFlag(service.settings.home)
        self._outcomes = Counter(
            "scizor_orders", "What became of approvals", ("outcome",), registry=service.metrics.registry
        )

    async def on_decision(self, decision: RiskDecision, origin: Origin) -> None:
        if not decision.approved:
            return
        if isinstance(decision.intent, OrderIntent):
            await self._on_order(decision, decision.intent, origin)
        elif isinstance(decision.intent, CancelIntent):
            await self._on_cancel(decision, decision.intent)

    # new orders

    async def _on_order(self, decision: RiskDecision, intent: OrderIntent, origin: Origin) -> None:
        left = (decision.basis.decided_at + decision.expires_after - self._clock.now()).total_seconds()
        why = await self._gate.until_open(min(left, decision.expires_after.total_seconds()))
        why = why or self._why_not(decision, intent)
        if why is not None:
            await self._refuse(decision, intent, why, origin)
            return
        order = await self._spend(decision, intent, origin)
        if order is not None:
            await self._place(order, intent)

    def _why_not(self, decision: RiskDecision, intent: OrderIntent) -> str | None:
        if intent.account_id != self._ledger.account_id:
            return f"the gateway trades account {self._ledger.account_id}, not {intent.account_id}"
        killed = self.kill_flag.read().of(_scopes(intent))
        return str(killed) if killed else self._gate.why_not(intent, decision.basis, self._clock.now())

    async def _spend(self, decision: RiskDecision, intent: OrderIntent, origin: Origin) -> Tracked | None:
        """Write it in SENDING; None, with the reason told, when the database does not know such an approval."""
        order = of_intent(intent, decision.decision_id, self.ids.client_id, self._clock.now())
        order = replace(order, broker_order_id=await self.ids.take())
        assert order.broker_order_id is not None, "it was given above"
        spending = Spending(
            decision_id=decision.decision_id,
            approved_fields=fingerprint(intent),
            client_id=self.ids.client_id,
            broker_order_id=order.broker_order_id,
            lease=self._lease.name,
            epoch=self._lease.epoch,
            facts=json.dumps(order.stored_facts()),
        )
        if not await table.spend(self._store, intent, spending, order.update(order.created_at), origin):
            self.ids.give_back(order.broker_order_id)
            await self._refuse(decision, intent, "the approval is void", origin)
            return None
        self._ledger.send(order)
        return order

    async def _place(self, order: Tracked, intent: OrderIntent) -> None:
        """The last look, then the socket. Between them nothing waits."""
        assert order.broker_order_id is not None, "it was spent with an id"
        assert self.orders is not None, "the gateway was wired"
        self._gate.sent(order.created_at, intent.quantity * max(intent.reference_price, Decimal(0)))
        with self.kill_flag.sending(_scopes(intent)) as killed:
            why = killed or self._gate.why_shut()
            if why is None:
                try:
                    self.orders.place(order.broker_order_id, intent)
                except GatewayUnavailableError as error:
                    why = str(error)
        if why is None:
            self._outcomes.labels("sent").inc()
            return
        self._service.log.warning("not sent", order_id=order.order_id, reason=why)
        self._outcomes.labels("not_sent").inc()
        async with self._ledger.lock:
            await self._ledger.change(order, [NeverArrived(OrderStatus.EXPIRED, f"not sent: {why}")])

    async def _refuse(self, decision: RiskDecision, intent: OrderIntent, why: str, origin: Origin) -> None:
        """Spend a real approval without sending, so that its reservation ends. A forged one changes nothing."""
        now = self._clock.now()
        order = of_intent(intent, decision.decision_id, self.ids.client_id, now)
        order = replace(order.with_([NeverArrived(OrderStatus.EXPIRED, why)]), sequence=1)
        async with self._store.transaction() as tx:
            known = await table.approval(tx.connection, decision.decision_id)
            forged = _why_forged(known, intent)
            added = not forged and await table.add(tx.connection, order.values(now, self._lease.epoch, intent))
            if added:
                told = order.update(now)
                await table.save_update(tx.connection, told)
                await tx.publish(told, cause=origin)
            stored = None if forged or added else await self._ledger.find(tx, order_id=intent.intent_id)
        if stored is not None and self._ledger.get(stored.order_id) is None:
            self._ledger.follow(stored)  # written by a statement whose answer was lost: the comparison judges it
        if forged:
            self._outcomes.labels("forged").inc()
            self._service.log.error("not an approval of risk", decision_id=decision.decision_id, reason=forged)
        elif added:
            self._outcomes.labels("refused").inc()
            self._service.log.warning("approval not acted on", order_id=intent.intent_id, reason=why)

    # cancels

    async def _on_cancel(self, decision: RiskDecision, intent: CancelIntent) -> None:
        """Ask the broker to cancel; while the gateway is away the wish is kept and asked again."""
        async with self._ledger.lock:
            async with self._store.transaction() as tx:
                forged = _why_forged(await table.approval(tx.connection, decision.decision_id), intent)
                order = self._ledger.get(intent.order_id) or await self._ledger.find(tx, order_id=intent.order_id)
                if forged or order is None or order.status.final or not order.ours:
                    self._service.log.info("nothing to cancel", order_id=intent.order_id, reason=forged)
                    return
                after = await self._request_cancel(tx, order, decision, self._clock.now())
            self._ledger.follow(after)
        self.cancel(after)

    async def _request_cancel(self, tx: Transaction, order: Tracked, decision: RiskDecision, now: datetime) -> Tracked:
        after = order.with_([CancelRequested()])
        await save(tx, order, after, now, decision.decision_id)
        return after

    def cancel(self, order: Tracked) -> bool:
        """Write the request to the socket, when there is one: whether there was."""
        assert self.orders is not None, "the gateway was wired"
        try:
            self.orders.cancel(order.broker_order_id or 0)
        except GatewayUnavailableError as error:
            self._service.log.warning("cancel waits for the gateway", order_id=order.order_id, reason=str(error))
            return False
        return True


def _scopes(intent: OrderIntent) -> tuple[str, ...]:
    return scopes_of(intent.account_id, intent.strategy_id, intent.symbol)


def _why_forged(known: Approval | None, intent: OrderIntent | CancelIntent) -> str:
    """What is wrong with an approval that came by topic, measured by the database; empty when nothing is."""
    if known is None:
        return "risk has written no such decision"
    if not known.approved:
        return "risk has denied it"
    if known.intent_id != intent.intent_id or known.approved_fields != fingerprint(intent):
        return "risk has approved other fields"
    return ""
