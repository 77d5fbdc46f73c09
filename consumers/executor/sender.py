"""From an approval to the socket: spent in one transaction, looked at once more, sent, and never waited for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from prometheus_client import Counter

from consumers.executor.exits import unfit_beside
from consumers.executor.gate import Gate
from consumers.executor.ledger import Ledger
from consumers.executor.order_ids import OrderIds
from consumers.executor.tracking import Tracked, of_intent, of_row
from engine.last_look import Refusal, RefusalCode, Sent, sent_of
from engine.order_facts import NeverArrived
from engine.risk import fingerprint
from engine.trading_state import scopes_of
from infra.gateway import ClientSlot, GatewayUnavailableError, Link, Orders
from infra.kill import KillFlag
from infra.publish import Origin
from infra.service import Service
from infra.store import approvals
from infra.store import orders as table
from infra.store.approvals import Approval, Spending
from infra.store.database import Store
from infra.store.leases import Lease
from schemas.orders import CancelIntent, ModifyIntent, OrderIntent, OrderStatus, RiskDecision

_SWEPT = timedelta(days=1)
_SWEEP_AFTER = timedelta(seconds=2)


@dataclass(frozen=True)
class Means:
    """What whoever acts on approvals works with."""

    service: Service
    store: Store
    ledger: Ledger
    gate: Gate
    lease: Lease
    orders: Orders


@dataclass(frozen=True)
class Ready:
    """An order that is written in SENDING, the approval that lets it out, and what it hangs on."""

    order: Tracked
    decision: RiskDecision
    link: Link


class Sender:
    """Sends orders, in the order their decisions come."""

    def __init__(self, means: Means) -> None:
        self._service = means.service
        self._clock = means.service.clock
        self._store = means.store
        self._ledger = means.ledger
        self._gate = means.gate
        self._lease = means.lease
        self._orders = means.orders
        self.ids = OrderIds(means.store, means.service.settings.ib_client_id + ClientSlot.EXECUTOR)
        self.kill_flag = KillFlag(means.service.settings.home)
        self.refusals = Counter(
            "scizor_refused_approvals",
            "Approvals that were not acted on",
            ("code",),
            registry=means.service.metrics.registry,
        )
        self._outcomes = Counter(
            "scizor_orders", "What became of approvals", ("outcome",), registry=means.service.metrics.registry
        )

    async def on_order(self, decision: RiskDecision, intent: OrderIntent, origin: Origin) -> None:
        why = await self._gate.until_open(self.left(decision))
        why = why or await self._gate.turn(self.left(decision))
        why = why or self.why_not(decision, intent)
        link, orphaned = await self.link(intent)
        if (why := why or orphaned) is not None:
            await self.refuse(decision, intent, why, origin)
            return
        order = await self._spend(decision, intent, link, origin)
        if order is not None:
            await self.place([Ready(order, decision, link)])

    def left(self, decision: RiskDecision) -> float:
        """Seconds for which the approval still lives."""
        life = decision.expires_after.total_seconds()
        ends = decision.basis.decided_at + decision.expires_after
        return min(life, (ends - self._clock.now()).total_seconds())

    def why_not(self, decision: RiskDecision, intent: OrderIntent, beside: Sequence[Sent] = ()) -> Refusal | None:
        """What keeps a new order back; `beside` it go the legs of its bracket that come before it."""
        return self._not_ours(decision, intent) or self._gate.why_not(intent, decision.basis, self._clock.now(), beside)

    def why_not_changed(self, decision: RiskDecision, wanted: OrderIntent) -> Refusal | None:
        return self._not_ours(decision, wanted) or self._gate.why_not_changed(wanted, decision.basis)

    def _not_ours(self, decision: RiskDecision, intent: OrderIntent) -> Refusal | None:
        ours = self._ledger.account_id
        if intent.account_id != ours:
            return Refusal(RefusalCode.OTHER_ACCOUNT, f"the gateway trades account {ours}, not {intent.account_id}")
        killed = self.kill_flag.read().why_not(_scopes(intent), decision.basis.decided_at)
        return Refusal(RefusalCode.KILLED, killed) if killed else None

    async def link(self, intent: OrderIntent) -> tuple[Link, Refusal | None]:
        """What an order that is sent by itself hangs on, or why it cannot."""
        if intent.parent_id is None:
            return Link(), None
        parent = await self.order(intent.parent_id)
        filled = parent is not None and parent.status is OrderStatus.FILLED
        if parent is None or (parent.status.final and not filled):
            status = "not known" if parent is None else parent.status
            return Link(), Refusal(RefusalCode.ORPHANED, f"its parent {intent.parent_id} is {status}")
        if not filled and (not parent.ours or parent.status is OrderStatus.UNKNOWN):
            return Link(), Refusal(RefusalCode.ORPHANED, f"its parent {intent.parent_id} is {parent.status}")
        if unfit := unfit_beside(parent, intent, self._ledger.working):
            return Link(), Refusal(RefusalCode.BRACKET, unfit)
        # of one that has filled nothing hangs on any more: what it waited for has happened
        return Link(0 if filled else parent.broker_order_id or 0), None

    async def order(self, order_id: str) -> Tracked | None:
        """As it is followed, or as it ended before what is remembered."""
        if (known := self._ledger.get(order_id)) is not None:
            return known
        async with self._store.reading() as connection:
            row = await table.find(connection, order_id=order_id)
        return of_row(row) if row is not None else None

    async def prepared(
        self, decision: RiskDecision, intent: OrderIntent, parent_number: int
    ) -> tuple[Tracked, Spending]:
        """The order with its id at the broker, and how its approval is spent."""
        order = of_intent(intent, decision.decision_id, self.ids.client_id, self._clock.now())
        number = await self.ids.take()
        order = replace(order, broker_order_id=number, parent_number=parent_number)
        spending = Spending(
            decision_id=decision.decision_id,
            approved_fields=fingerprint(intent),
            client_id=self.ids.client_id,
            broker_order_id=number,
            lease=self._lease.name,
            epoch=self._lease.epoch,
            facts=json.dumps(order.stored_facts()),
        )
        return order, spending

    async def _spend(self, decision: RiskDecision, intent: OrderIntent, link: Link, origin: Origin) -> Tracked | None:
        """Write it in SENDING; None, with the reason told, when the database does not know such an approval."""
        order, spending = await self.prepared(decision, intent, link.parent_order_id)
        if not await approvals.spend(self._store, intent, spending, order.update(order.created_at), origin):
            self.ids.give_back(spending.broker_order_id)
            await self.refuse(decision, intent, Refusal(RefusalCode.VOID, "the approval is void"), origin)
            return None
        self._ledger.send(order)
        return order

    async def place(self, family: list[Ready]) -> None:
        """The last look, then the socket, for orders that go together. Between them nothing waits."""
        sent, why = self._write(family)
        self._outcomes.labels("sent").inc(sent)
        if why is None:
            return
        async with self._ledger.lock:
            for order in (each.order for each in family[sent:]):
                self._service.log.warning("not sent", order_id=order.order_id, reason=why)
                self._outcomes.labels("not_sent").inc()
                await self._ledger.change(order, [NeverArrived(OrderStatus.EXPIRED, f"not sent: {why}")])

    def _write(self, family: list[Ready]) -> tuple[int, str | None]:
        """How many were written, and what kept back the others."""
        intents = [each.order.intent for each in family if each.order.intent is not None]
        assert len(intents) == len(family), "we place what we were asked for"
        for each, intent in zip(family, intents, strict=True):
            self._gate.sent(sent_of(intent, each.order.created_at))
        approved_at = min(each.decision.basis.decided_at for each in family)
        with self.kill_flag.sending(_scopes(intents[0]), approved_at) as killed:
            whys = (self.why_no_more(each.decision, intent) for each, intent in zip(family, intents, strict=True))
            why = killed or next(filter(None, whys), None)
            if why is not None:
                return 0, why
            for number, (each, intent) in enumerate(zip(family, intents, strict=True)):
                assert each.order.broker_order_id is not None, "it was spent with an id"
                try:
                    self._orders.place(each.order.broker_order_id, intent, each.link)
                except GatewayUnavailableError as error:
                    return number, str(error)
        return len(family), None

    def why_no_more(self, decision: RiskDecision, intent: OrderIntent) -> str | None:
        """What has come up since the last look that keeps it from the socket: asked right before it is touched."""
        if (shut := self._gate.why_shut()) is not None:
            return shut
        if self.left(decision) <= 0:
            return "the approval has expired"
        stopped = self._gate.why_stopped(intent, decision.basis)
        return str(stopped) if stopped is not None else None

    async def refuse(self, decision: RiskDecision, intent: OrderIntent, why: Refusal, origin: Origin | None) -> None:
        """Spend a real approval without sending, so that its reservation ends. A forged one changes nothing."""
        now = self._clock.now()
        order = of_intent(intent, decision.decision_id, self.ids.client_id, now)
        order = replace(order.with_([NeverArrived(OrderStatus.EXPIRED, str(why))]), sequence=1)
        async with self._store.transaction() as tx:
            known = await approvals.approval(tx.connection, decision.decision_id)
            forged = why_forged(known, intent)
            added = not forged and await table.add(tx.connection, order.values(now, self._lease.epoch))
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
            self.refusals.labels(why.code.value).inc()
            self._service.log.warning("approval not acted on", order_id=intent.intent_id, reason=str(why))

    async def sweep(self) -> None:
        """End the reservations of approvals that nobody has acted on, such as those of half a bracket."""
        now = self._clock.now()
        async with self._store.looking() as connection:
            found = await approvals.expired_approvals(
                connection, self._ledger.account_id, now - _SWEEP_AFTER, now - _SWEPT
            )
        for decision in found:
            if isinstance(decision.intent, OrderIntent):
                late = Refusal(RefusalCode.EXPIRED, "nobody has acted on the approval in time")
                await self.refuse(decision, decision.intent, late, None)

    def cancel(self, order: Tracked) -> bool:
        """Write the request to the socket, when there is one and IB hears another message: whether it was written."""
        messages, now = self._gate.messages, self._clock.monotonic()
        if messages.wait(now):
            return False
        try:
            self._orders.cancel(order.broker_order_id or 0)
        except GatewayUnavailableError as error:
            self._service.log.warning("cancel waits for the gateway", order_id=order.order_id, reason=str(error))
            return False
        messages.take(now)
        return True


def _scopes(intent: OrderIntent) -> tuple[str, ...]:
    return scopes_of(intent.account_id, intent.strategy_id, intent.symbol)


def why_forged(known: Approval | None, intent: OrderIntent | CancelIntent | ModifyIntent) -> str:
    """What is wrong with an approval that came by topic, measured by the database; empty when nothing is."""
    if known is None:
        return "risk has written no such decision"
    if not known.approved:
        return "risk has denied it"
    if known.intent_id != intent.intent_id or known.approved_fields != fingerprint(intent):
        return "risk has approved other fields"
    return ""
