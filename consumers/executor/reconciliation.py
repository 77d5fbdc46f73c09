"""Our books against the broker's: at the start, after every gap in the connection, and again and again.

Until they agree nothing is sent. Snapshots are complete or an exception; a failed question is never read as empty.
"""

import asyncio
import contextlib
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from consumers.executor.order_ids import UsedIds
from consumers.executor.requests import Requests
from consumers.executor.sender import Means, Sender
from consumers.executor.tracking import EXTERNAL, Tracked
from engine.last_look import Sent
from engine.order_facts import CancelRequested, Ended, Fact, Lost, NeverArrived
from infra.gateway import (
    BrokerCompletedOrder,
    BrokerExecution,
    BrokerOpenOrder,
    Connection,
    GatewayRequestError,
    GatewayTimeoutError,
    GatewayUnavailableError,
)
from infra.store import approvals
from infra.store import orders as table
from schemas.account import TradingState
from schemas.orders import Fill, OrderStatus, Side, TimeInForce
from schemas.reconciliation import TROUBLES_MAX, Reconciled

_RETRY_SECONDS = 0.5
_LOOKS_MAX = 4
_SETTLE_SECONDS = 1.0
_TROUBLE_MAX = 500
_A_DAY = timedelta(days=1)
_GATEWAY = (GatewayUnavailableError, GatewayTimeoutError, GatewayRequestError)


@dataclass(frozen=True)
class _Snapshot:
    """The broker's books, asked for one after the other."""

    begun: float
    used: UsedIds
    next_id: int
    open_orders: list[BrokerOpenOrder]
    completed: list[BrokerCompletedOrder]
    executions: list[BrokerExecution]
    positions: dict[int, Decimal]

    @property
    def refs(self) -> set[str]:
        return {each.order_ref for each in self.open_orders} | {each.order_ref for each in self.completed}

    @property
    def permanent_ids(self) -> set[int]:
        return {each.permanent_id for each in self.open_orders} | {each.permanent_id for each in self.completed}


class Reconciliation:
    """Compares, judges orders that the broker does not know, and opens or shuts the gate."""

    def __init__(self, means: Means, sender: Sender) -> None:
        self._service = means.service
        self._settings = means.service.settings
        self._clock = means.service.clock
        self._store = means.store
        self._ledger = means.ledger
        self._gate = means.gate
        self._orders = means.orders
        self._sender = sender
        self._ids = sender.ids
        self._asked = asyncio.Event()
        self.requests = Requests()
        self._absent_since: dict[str, float] = {}
        self._settling: asyncio.TimerHandle | None = None

    def ask(self) -> None:
        """Compare as soon as possible."""
        self._asked.set()

    def ask_after_fill(self) -> None:
        """Compare when executions have been quiet for a moment."""
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.get_running_loop().call_later(_SETTLE_SECONDS, self._asked.set)

    async def run(self, connection: Connection) -> None:
        """For ever: compare when asked, and at least every so often."""
        while True:
            try:
                clean = await self._once(connection)
            except _GATEWAY as error:
                # what could not be asked is unknown, and unknown means no trading
                away = _away(connection)
                self._gate.shut(away or f"the broker's books cannot be read: {error}")
                await self.tell_state()
                clean = False
            seconds = self._settings.reconcile_seconds if clean else _RETRY_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._asked.wait()
            self._asked.clear()

    async def _once(self, connection: Connection) -> bool:
        if (away := _away(connection)) is not None:
            self._gate.shut(away)
            await self.tell_state()
            await connection.usable(self._settings.reconcile_seconds)
        await self._know_account()
        gaps, answered = self._gate.gaps, self.requests.of(self._ledger.account_id)
        snapshot = await self._look()
        troubles = [fallen] if (fallen := snapshot.used.trouble(snapshot.next_id)) else []
        troubles += await self._judge_absent(snapshot)
        troubles += await self._compare(snapshot)
        await self._end_half_families()
        await self._sender.sweep()
        account = await self._orders.account_state()
        async with self._store.transaction() as tx:
            await table.save_account(tx.connection, account)
            await tx.publish(account)
            for request_id in answered:
                await tx.publish(self._reconciled(request_id, troubles))
        self.requests.forget(answered)
        if troubles:
            self._service.log.warning("the books do not agree", troubles=troubles)
            self._gate.shut(*troubles)
        elif gaps == self._gate.gaps:
            self._gate.open()
        await self.tell_state()
        return not troubles

    def _reconciled(self, request_id: str, troubles: list[str]) -> Reconciled:
        now, told = self._clock.now(), tuple(each[:_TROUBLE_MAX] for each in troubles[:TROUBLES_MAX])
        account_id = self._ledger.account_id
        return Reconciled(request_id=request_id, account_id=account_id, troubles=told, event_time=now, ingest_time=now)

    async def _know_account(self) -> None:
        account_id = self._orders.account_id
        if self._ledger.account_id == account_id:
            return
        assert not self._ledger.account_id, "the gateway changed its account"
        await self._ledger.load(account_id)
        now = self._clock.now()
        async with self._store.reading() as connection:
            for at, worth in await approvals.sent_since(connection, account_id, now - timedelta(minutes=1)):
                self._gate.sent(Sent(at, worth))

    async def _look(self) -> _Snapshot:
        """All of the broker's books, folded into ours."""
        begun = self._clock.monotonic()
        used = await self._ids.used()
        next_id = await self._orders.next_order_id()
        self._ids.heard(used, next_id)
        open_orders = await self._orders.open_orders()
        completed = await self._orders.completed_orders()
        executions = await self._orders.executions()
        positions = await self._orders.positions()
        await self._ledger.apply([*executions, *open_orders, *completed], self._ids.client_id, asked=True)
        return _Snapshot(begun, used, next_id, open_orders, completed, executions, positions)

    # orders that the broker does not show

    async def _judge_absent(self, seen: _Snapshot) -> list[str]:
        """What to make of working orders that are neither open nor completed; what still has to be waited for."""
        waiting = []
        refs, permanent_ids = seen.refs, seen.permanent_ids
        patience = self._settings.reconcile_patience_seconds
        absent = [
            order
            for order in self._ledger.working
            if order.order_id not in refs
            and order.facts.permanent_id not in permanent_ids - {0}
            and self._ledger.sent_at(order.order_id) < seen.begun - patience  # a fresh one may just have come
        ]
        for order in absent:
            since = self._absent_since.setdefault(order.order_id, seen.begun)
            if seen.begun - since < patience:
                if order.status in (OrderStatus.SENDING, OrderStatus.UNKNOWN):
                    waiting.append(f"order {order.order_id} is looked for")
                continue
            fact = await self._judgement(order, seen)
            async with self._ledger.lock:
                current = self._ledger.get(order.order_id) or order
                if fact is None:
                    waiting.append(f"order {order.order_id} was at the broker and is there no more")
                elif current.facts == order.facts:
                    await self._ledger.change(current, [fact])
        for order_id in set(self._absent_since) - {order.order_id for order in absent}:
            del self._absent_since[order_id]
        return waiting

    async def _judgement(self, order: Tracked, seen: _Snapshot) -> Fact | None:
        """The broker has been asked twice, some seconds apart, and does not show the order."""
        if order.facts.acknowledged:
            is_over = await self._ledger.expiry.is_over(order)
            too_old = self._clock.now() - order.created_at > _A_DAY
            if is_over or (is_over is None and order.time_in_force is TimeInForce.DAY and too_old):
                return Ended(OrderStatus.EXPIRED, 0, "its time is over, and the broker shows it no more")
            return None
        if seen.used.trusts(seen.next_id) and (order.broker_order_id or 0) >= seen.next_id:
            return NeverArrived(OrderStatus.EXPIRED, "it never reached the broker")
        if (doubt := self._ledger.doubtful.get(order.order_id)) is not None:
            return NeverArrived(OrderStatus.REJECTED, doubt[1], doubt[0])
        return Lost(f"order id {order.broker_order_id} was used, but the broker does not show the order")

    async def _end_half_families(self) -> None:
        """A bracket of which a leg never reached the broker was not passed on by the gateway: it is taken back."""
        for order in self._ledger.working:
            legs = [leg for leg in map(self._ledger.get, order.legs) if leg is not None]
            if order.facts.cancel_requested or not any(_never_came(leg) for leg in legs):
                continue
            async with self._ledger.lock:
                current = self._ledger.get(order.order_id) or order
                self._service.log.warning("half a bracket", order_id=order.order_id)
                self._sender.cancel(await self._ledger.change(current, [CancelRequested()]))

    # positions

    async def _compare(self, seen: _Snapshot) -> list[str]:
        """What differs; looked at again a few times, since fills may come between two questions."""
        for look in range(_LOOKS_MAX):
            if look:
                await asyncio.sleep(_RETRY_SECONDS * look)
                seen = await self._look()
            troubles = self._order_troubles() + await self._position_troubles(seen.positions)
            if not troubles:
                break
        return troubles

    def _order_troubles(self) -> list[str]:
        troubles = []
        for order in self._ledger.all:
            if order.facts.missing:
                troubles.append(f"executions of {order.facts.missing:f} are missing for order {order.order_id}")
            if order.facts.overfilled:
                troubles.append(f"order {order.order_id} was filled beyond its quantity")
            if order.facts.contradictory:
                troubles.append(f"order {order.order_id} was both refused and filled")
        return troubles

    async def _position_troubles(self, theirs: dict[int, Decimal]) -> list[str]:
        async with self._store.reading() as connection:
            ours = await table.positions(connection, self._ledger.account_id)
        return [
            f"contract {contract_id}: we count {ours.get(contract_id, Decimal(0)):f}, "
            f"the broker {theirs.get(contract_id, Decimal(0)):f}"
            for contract_id in sorted(ours.keys() | theirs.keys())
            if ours.get(contract_id, Decimal(0)) != theirs.get(contract_id, Decimal(0))
        ]

    async def accept(self, accepted: TradingState) -> None:
        """A person takes the broker's positions for the true ones: book the difference as executions of its own.

        Their ids follow from the acceptance, so that accepting twice books once.
        """
        account_id = self._ledger.account_id
        try:
            theirs = await self._orders.positions()
        except _GATEWAY as error:
            self._service.log.warning("positions not accepted: the gateway cannot be asked", reason=str(error))
            return
        now = self._clock.now()
        async with self._ledger.lock, self._store.transaction() as tx:
            ours = await table.positions(tx.connection, account_id)
            for contract_id in sorted(ours.keys() | theirs.keys()):
                difference = theirs.get(contract_id, Decimal(0)) - ours.get(contract_id, Decimal(0))
                if not difference:
                    continue
                symbol, price = await table.last_price(tx.connection, contract_id) or (str(contract_id), Decimal(0))
                fill = Fill(
                    execution_id=f"adjustment-{account_id}-{contract_id}-{accepted.event_time:%Y%m%dT%H%M%S.%f}",
                    broker_order_id=0,
                    account_id=account_id,
                    strategy_id=EXTERNAL,
                    contract_id=contract_id,
                    symbol=symbol,
                    side=Side.BUY if difference > 0 else Side.SELL,
                    last_quantity=abs(difference),
                    last_price=price,
                    exchange="ADJUSTMENT",
                    event_time=accepted.event_time,
                    ingest_time=now,
                )
                if await table.save_fill(tx.connection, fill):
                    await tx.publish(fill)
        self.ask()

    # telling

    async def tell_state(self) -> None:
        """Say what was found, unless somebody else has stopped trading for a reason of theirs."""
        if not self._ledger.account_id:
            return
        wanted = self._gate.wanted_state(self._ledger.account_id)
        if wanted is not None:
            self._gate.hear(wanted)
            await self._service.publish(wanted)


def _never_came(order: Tracked) -> bool:
    return order.status.final and not order.facts.acknowledged


def _away(connection: Connection) -> str | None:
    """One wording for as long as it lasts: the reason of a halt is told whenever it changes."""
    state = connection.state
    if state.usable:
        return None
    overdue = connection.absence.overdue()
    return f"the gateway cannot be used: {state.reason or state.status.value}" + (f"; {overdue}" if overdue else "")
