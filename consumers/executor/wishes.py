"""Cancels and changes of working orders: asked for, followed until they are answered, or nobody knows."""

import asyncio
from dataclasses import dataclass

from prometheus_client import Counter

from consumers.executor.exits import too_small, unfit_beside
from consumers.executor.sender import Means, Sender, why_forged
from consumers.executor.terms import as_written, unchangeable
from consumers.executor.tracking import Tracked
from engine.order_facts import CancelRequested, Unanswered
from engine.trading_state import scopes_of
from infra.gateway import GatewayUnavailableError, Link
from infra.store import approvals
from schemas.orders import CancelIntent, ModifyIntent, OrderIntent, OrderStatus, RiskDecision

_CANCEL = "cancel"
_ASKS_MAX = 3
_LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class _Asked:
    """How often a wish has been written to the socket, and when last (monotonic seconds)."""

    times: int
    at: float
    gaps: int = 0
    """How many gaps the connection had had by then."""


class Wishes:
    """What we want of orders that work."""

    def __init__(self, means: Means, sender: Sender) -> None:
        self._service = means.service
        self._clock = means.service.clock
        self._store = means.store
        self._ledger = means.ledger
        self._gate = means.gate
        self._orders = means.orders
        self._sender = sender
        self._asked: dict[tuple[str, str], _Asked] = {}
        self._unanswered = Counter(
            "scizor_unanswered_wishes",
            "Cancels and changes that the broker neither did nor refused",
            ("wish",),
            registry=means.service.metrics.registry,
        )

    async def on_cancel(self, decision: RiskDecision, intent: CancelIntent) -> None:
        """Ask the broker to cancel; while the gateway is away the wish is kept and asked again."""
        async with self._ledger.lock:
            async with self._store.transaction() as tx:
                forged = why_forged(await approvals.approval(tx.connection, decision.decision_id), intent)
                order = self._ledger.get(intent.order_id) or await self._ledger.find(tx, order_id=intent.order_id)
                if forged or order is None or order.status.final or not order.ours:
                    self._service.log.info("nothing to cancel", order_id=intent.order_id, reason=forged)
                    return
                after = order.with_([CancelRequested()])
                await self._ledger.save(tx, order, after, decision.decision_id)
            self._ledger.follow(after)
        self._cancel(after)

    async def on_change(self, decision: RiskDecision, change: ModifyIntent) -> None:
        """Ask the broker to work an order on other terms: once, while the approval lives, and one change at a time."""
        left = self._sender.left(decision)
        shut = await self._gate.until_open(left) or await self._gate.turn(left)
        why = str(shut) if shut is not None else await self._until_free(change.order_id, self._sender.left(decision))
        async with self._ledger.lock:
            async with self._store.transaction() as tx:
                forged = why_forged(await approvals.approval(tx.connection, decision.decision_id), change)
                order = self._ledger.get(change.order_id) or await self._ledger.find(tx, order_id=change.order_id)
                if forged or order is None or await approvals.is_spent(tx.connection, decision.decision_id):
                    self._service.log.info("nothing to change", order_id=change.order_id, reason=forged)
                    return
                after = order.asked_to_become(change)
                why = why or await self._why_not(decision, change, order)
                if why is not None and after.facts.change == change.intent_id:
                    after = after.refused(0, f"not changed: {why}")
                await self._ledger.save(tx, order, after, decision.decision_id)
            self._ledger.follow(after)
        if why is not None:
            self._service.log.warning("not changed", order_id=change.order_id, reason=why)
        elif after.wanted is change.wanted and (unsent := self._change(after, decision)) is not None:
            self._service.log.warning("change not sent", order_id=change.order_id, reason=unsent)
            await self._drop(after, unsent)

    async def _until_free(self, order_id: str, seconds: float) -> str | None:
        """Wait for the answer to an earlier change of the order; why this one cannot be asked for then."""
        deadline = self._clock.monotonic() + seconds
        while (order := self._ledger.get(order_id)) is not None and order.facts.change:
            if self._clock.monotonic() >= deadline:
                return "an earlier change of it has no answer"
            await asyncio.sleep(min(_LOOK_SECONDS, seconds) / 10)
        return None

    async def _why_not(self, decision: RiskDecision, change: ModifyIntent, order: Tracked) -> str | None:
        wanted = change.wanted
        if order.status.final or order.intent is None or not order.facts.acknowledged:
            return f"it is {order.status}"
        if order.facts.cancel_requested or order.status is OrderStatus.UNKNOWN:
            return "it is being cancelled" if order.facts.cancel_requested else "nobody knows how it stands"
        if unfit := await self._unfit(order, order.intent, wanted):
            return unfit
        if self._sender.left(decision) <= 0:
            return "the approval has expired"
        refusal = self._sender.why_not_changed(decision, wanted)
        return str(refusal) if refusal is not None else None

    async def _unfit(self, order: Tracked, known: OrderIntent, wanted: OrderIntent) -> str:
        """Why it cannot become that, by itself or beside its family; empty when it can."""
        if field := unchangeable(known, wanted):
            return f"{field} of an order cannot be changed: cancel it, and place another"
        if wanted.quantity <= order.facts.cumulative:
            return f"{order.facts.cumulative:f} of it have filled already: cancel it instead"
        if wanted.quantity < order.quantity:
            return too_small(order, wanted, self._ledger.working)
        if order.parent_id is None or wanted.quantity == order.quantity:
            return ""
        parent = await self._sender.order(order.parent_id)
        return unfit_beside(parent, wanted, self._ledger.working) if parent is not None else "nobody knows its parent"

    # asking

    def _cancel(self, order: Tracked) -> None:
        """Write it to the socket, when that is possible: otherwise at a later look."""
        if self._sender.cancel(order):
            self._note_asked(order, _CANCEL)

    def _change(self, order: Tracked, decision: RiskDecision) -> str | None:
        """A change is the order sent once more: what was stopped meanwhile must not come back by it. Why it was not."""
        assert order.wanted is not None, "a change says what is wanted"
        scopes = scopes_of(order.account_id, order.strategy_id, order.symbol)
        with self._sender.kill_flag.sending(scopes, decision.basis.decided_at) as killed:
            why = killed or self._sender.why_no_more(decision, order.wanted)
            if why is None:
                try:
                    self._orders.place(
                        order.broker_order_id or 0, as_written(order.intent, order.wanted), Link(order.parent_number)
                    )
                except GatewayUnavailableError as error:
                    return str(error)
                self._note_asked(order, order.facts.change)
        return why

    def _note_asked(self, order: Tracked, wish: str) -> None:
        known = self._asked.get((order.order_id, wish))
        times = known.times if known is not None else 0
        self._asked[order.order_id, wish] = _Asked(times + 1, self._clock.monotonic(), self._gate.gaps)

    async def ask_again(self) -> None:
        """The background task: what has no answer is asked again, a few times, and then nobody knows."""
        await self._ledger.known.wait()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await self.look()

    def forget(self, order_id: str) -> None:
        """A person has looked: what is still wished of the order is asked for anew."""
        self._asked = {key: asked for key, asked in self._asked.items() if key[0] != order_id}

    async def look(self) -> None:
        wished = [(order.order_id, wish) for order in self._ledger.working for wish in _wishes(order)]
        self._asked = {key: asked for key, asked in self._asked.items() if key in wished}
        for order_id, wish in wished:
            order = self._ledger.get(order_id)
            if order is None or wish not in _wishes(order) or order.facts.unanswered:
                continue  # answered while we looked at others
            if wish == _CANCEL:
                await self._look_at_cancel(order)
            else:
                await self._look_at_change(order, wish)

    async def _look_at_cancel(self, order: Tracked) -> None:
        asked = self._asked.get((order.order_id, _CANCEL), _Asked(0, float("-inf")))
        if not self._gate.is_connected or self._clock.monotonic() - asked.at < self._patience:
            return
        if asked.times < _ASKS_MAX:
            self._cancel(order)
        else:
            await self._give_up(order, _CANCEL, f"cancel that it was asked for {_ASKS_MAX} times")

    async def _look_at_change(self, order: Tracked, change_id: str) -> None:
        """Never asked for again: the broker may refuse the second while it is still at work on the first."""
        asked, now, gaps = self._asked.get((order.order_id, change_id)), self._clock.monotonic(), self._gate.gaps
        is_shut = self._gate.why_shut() is not None
        if asked is None or asked.gaps != gaps or (is_shut and not asked.times):
            # asked for by an earlier process or before a gap: the comparison after that tells what came of it
            self._asked[order.order_id, change_id] = _Asked(0, now, gaps)
        elif is_shut:
            return
        elif not asked.times and now - asked.at >= self._patience:
            await self._drop(order, "the broker works it on its old terms")
        elif asked.times and now - asked.at >= _ASKS_MAX * self._patience:
            await self._give_up(order, change_id, "change")

    @property
    def _patience(self) -> float:
        return self._service.settings.reconcile_patience_seconds

    async def _drop(self, order: Tracked, why: str) -> None:
        async with self._ledger.lock:
            current = self._ledger.get(order.order_id) or order
            if current.facts.change == order.facts.change:
                await self._ledger.turn(current, current.refused(0, f"not changed: {why}"))

    async def _give_up(self, order: Tracked, wish: str, what: str) -> None:
        why = f"the broker has neither done nor refused a {what}"
        async with self._ledger.lock:
            current = self._ledger.get(order.order_id)
            if current is None or wish not in _wishes(current):
                return
            self._service.log.error("unanswered", order_id=order.order_id, wish=wish, reason=why)
            self._unanswered.labels("cancel" if wish == _CANCEL else "change").inc()
            await self._ledger.change(current, [Unanswered(why)])


def _wishes(order: Tracked) -> list[str]:
    """What the broker has been asked for and has not answered, a change by its id. What it does not know cannot be
    asked of it."""
    if not (order.ours and order.facts.acknowledged):
        return []
    changes = [order.facts.change] if order.wanted is not None else []
    return ([_CANCEL] if order.facts.cancel_requested else []) + changes
