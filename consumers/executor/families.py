"""Brackets: every leg has an approval of its own, and they are sent together or none of them is."""

from collections.abc import Sequence

from consumers.executor.exits import unfit_family
from consumers.executor.sender import Means, Ready, Sender
from consumers.executor.tracking import Tracked
from engine.last_look import Refusal, RefusalCode, Sent, sent_of
from infra.gateway import Link
from infra.publish import Origin
from infra.store import approvals
from schemas.orders import OrderIntent, RiskDecision


class Families:
    """Waits until risk has spoken about each leg: the one that it decides last brings them all."""

    def __init__(self, means: Means, sender: Sender) -> None:
        self._store = means.store
        self._ledger = means.ledger
        self._gate = means.gate
        self._sender = sender

    async def on_leg(self, leg: OrderIntent, origin: Origin) -> None:
        """A decision about a leg has come, of whichever kind. What it waits for for too long is swept up."""
        if any(self._ledger.get(order_id) is not None for order_id in leg.legs):
            return  # it came before
        async with self._store.looking() as connection:
            known = await approvals.decisions_of(connection, leg.legs)
        if len(known) < len(leg.legs):
            return
        decisions = [known[order_id] for order_id in leg.legs]
        intents = [each.intent for each in decisions if isinstance(each.intent, OrderIntent)]
        why = _unfit(decisions, intents)
        left = min(self._sender.left(each) for each in decisions)
        why = why or await self._gate.until_open(left)
        beside: list[Sent] = []
        for decision, intent in zip(decisions, intents, strict=False):
            why = why or await self._gate.turn(left) or self._sender.why_not(decision, intent, beside)
            beside.append(sent_of(intent, decision.basis.decided_at))
        if why is None:
            orders = await self._spend(decisions, intents)
            if orders is not None:
                await self._sender.place(list(map(Ready, orders, decisions, _links(orders))))
                return
            why = Refusal(RefusalCode.VOID, "the approval of a leg is void")
        for decision in decisions:
            if decision.approved and isinstance(decision.intent, OrderIntent):
                await self._sender.refuse(decision, decision.intent, why, origin)

    async def _spend(self, decisions: Sequence[RiskDecision], intents: Sequence[OrderIntent]) -> list[Tracked] | None:
        """All legs in SENDING, in one transaction; None when one of them cannot be."""
        prepared = [await self._sender.prepared(decisions[0], intents[0], 0)]
        entry = prepared[0][0].broker_order_id or 0
        for decision, intent in zip(decisions[1:], intents[1:], strict=True):
            prepared.append(await self._sender.prepared(decision, intent, entry))
        orders = [order for order, _ in prepared]
        rows = [
            (intent, spending, order.update(order.created_at))
            for intent, (order, spending) in zip(intents, prepared, strict=True)
        ]
        try:
            async with self._store.transaction() as tx:
                if not await approvals.spend_all(tx, rows):
                    raise _VoidError
        except _VoidError:
            return None
        for order in orders:
            self._ledger.send(order)
        return orders


class _VoidError(Exception):
    """Undoes the transaction."""


def _unfit(decisions: Sequence[RiskDecision], intents: Sequence[OrderIntent]) -> Refusal | None:
    denied = next((each for each in decisions if not each.approved), None)
    if denied is not None:
        return Refusal(RefusalCode.BRACKET, f"leg {denied.intent_id} of its bracket was denied: {denied.detail}")
    if len(intents) < len(decisions) or len({(each.legs, each.contract_id, each.account_id) for each in intents}) > 1:
        return Refusal(RefusalCode.BRACKET, "its legs do not name each other, or are of different contracts")
    if unfit := unfit_family(intents):
        return Refusal(RefusalCode.BRACKET, unfit)
    return None


def _links(orders: Sequence[Tracked]) -> list[Link]:
    """Only the last is passed on to the exchange, and with it all that wait before it."""
    return [Link(order.parent_number, order is orders[-1]) for order in orders]
