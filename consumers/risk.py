"""The one judge of every intent: decides on one version of a book, reserves, and keeps the book up to date.

A decision is written only if the book is still as it was read: one look, one statement, no lock in between. Decisions
leave through the outbox. Orders and fills are folded from their topics, in whatever order these bring them.
"""

import asyncio
import uuid
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from prometheus_client import Counter

from engine import risk
from engine.portfolio import Execution, Holding, exactly, hold
from engine.reservations import Reservation
from engine.risk import Book
from engine.trading_state import account_of, account_scope, follow, mode_of, scopes_of, strictness
from infra.clock import Clock
from infra.delivery import TransientError
from infra.publish import Origin
from infra.service import Service
from infra.settings import Settings
from infra.store import book, book_moves
from infra.store.book_moves import Affected, HeldPosition, KnownExecution
from infra.store.database import Store, Transaction
from schemas.account import LimitBreached, RiskLimits, TradingMode, TradingState
from schemas.event import Event
from schemas.orders import (
    CancelIntent,
    Commission,
    Fill,
    FillBusted,
    FillCorrected,
    ModifyIntent,
    OrderIntent,
    OrderUpdate,
    RiskDecision,
    Side,
)

_BREACHES = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:breaches")
_ZERO = Decimal(0)
_TRIES_MAX = 50
_STEP_ASIDE_SECONDS_MAX = 0.1


class Risk:
    """Decides about intents, folds what happened to orders, and halts an account that lost too much."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store
        self._clock: Clock = service.clock
        labels = ("outcome", "reason")
        self._decisions = Counter("scizor_risk_decisions", "Intents decided", labels, registry=service.metrics.registry)

    def wire(self) -> None:
        on = self._service.on
        on(OrderIntent, self.on_intent)
        on(CancelIntent, self.on_intent)
        on(ModifyIntent, self.on_intent)
        on(OrderUpdate, self.on_order_update)
        on(Fill, self.on_fill)
        on(FillCorrected, self.on_fill)
        on(FillBusted, self.on_fill)
        on(Commission, self.on_commission)
        on(TradingState, self.on_trading_state)
        on(RiskLimits, self.on_limits)
        self._service.halt_with(self.halt)

    # decisions

    async def on_intent(self, intent: OrderIntent | CancelIntent | ModifyIntent, origin: Origin) -> None:
        """Decide on the book as it is; when it changes before the decision is written, decide again."""
        for number in range(_TRIES_MAX):
            if await self._decided(intent, origin):
                return
            # another process decides about the same account: step out of its way
            await asyncio.sleep(self._service.entropy.jitter(min(0.001 * 2**number, _STEP_ASIDE_SECONDS_MAX)))
        raise TransientError(f"the book of {intent.account_id} changes too fast to decide about {intent.intent_id}")

    async def _decided(self, intent: OrderIntent | CancelIntent | ModifyIntent, origin: Origin) -> bool:
        now = self._clock.now()
        symbol = intent.symbol if isinstance(intent, OrderIntent) else ""
        scopes = scopes_of(intent.account_id, intent.strategy_id, symbol)
        async with self._store.looking() as connection:
            found = await book.read(connection, intent, scopes, now, risk.DUPLICATE_WINDOW)
            if found is None:
                await book.open_book(connection, intent.account_id, now)
                return False
        if found.decided:
            return True
        decision = risk.check(intent, _book(intent, found), now)
        events: list[Event] = [decision]
        if decision.reason is not None:
            events.append(_breach(decision, now))
        price = intent.worst_price(intent.reference_price) if isinstance(intent, OrderIntent) else None
        made_on = book.Decided(found.version, risk.fingerprint(intent), price)
        if not await book.decide(self._store, decision, events, made_on, cause=origin):
            return False
        self._count(decision)
        return True

    def _count(self, decision: RiskDecision) -> None:
        reason = decision.reason.value if decision.reason else ""
        self._decisions.labels("approved" if decision.approved else "denied", reason).inc()
        if decision.reason is not None:
            self._service.log.info("denied", intent_id=decision.intent_id, reason=reason, detail=decision.detail)

    # what happened to orders

    async def on_order_update(self, told: OrderUpdate, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            now = self._clock.now()
            await book.lock(tx.connection, told.account_id, now)
            known = _reservation(await book_moves.reservation(tx.connection, told.order_id))
            if known is None:
                known = await self._adopt(tx, told, now)
            changed = known.with_update(told)
            if changed != known:
                await book_moves.save_reservation(tx.connection, told.order_id, _columns(changed), now)

    async def _adopt(self, tx: Transaction, told: OrderUpdate, now: datetime) -> Reservation:
        """Count an order in that risk has not approved: it was placed by somebody else."""
        await book_moves.adopt_reservation(tx.connection, told, told.limit_price or told.average_price, now)
        filled = await book_moves.filled_of(tx.connection, told.order_id)
        return Reservation(told.order_id, told.contract_id, told.side, told.quantity, filled=filled)

    async def on_fill(self, told: Fill | FillCorrected | FillBusted, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            now = self._clock.now()
            day = await book.lock(tx.connection, told.account_id, now)
            order_id = "" if isinstance(told, FillBusted) else told.order_id
            place = (told.event_time, told.execution_id)
            touched = await book_moves.affected(tx.connection, told.account_id, told.contract_id, order_id, place)
            known = touched.execution
            if known.revision >= told.revision:
                return
            newer = _revised(known, told)
            held = await self._moved(tx, told, newer, touched)
            earned = held.realised_pnl - touched.position.realised_pnl - newer.charged + known.charged
            reservation = _reservation(touched.reservation)
            if reservation is not None:
                reservation = reservation.with_fill(abs(newer.quantity) - abs(known.quantity))
            after = day.earned(earned, risk.trading_day(told.event_time))
            await self._save_fold(tx, told, newer, held, reservation, after)
            if earned < 0:
                await self._stop_losing(tx, told.account_id, after)

    async def on_commission(self, told: Commission, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            now = self._clock.now()
            day = await book.lock(tx.connection, told.account_id, now)
            place = (told.event_time, told.execution_id)
            touched = await book_moves.affected(tx.connection, told.account_id, None, "", place)
            known = touched.execution
            if known.commission_revision >= told.revision:
                return
            newer = replace(known, commission_revision=told.revision, commission=told.amount)
            earned = known.charged - newer.charged
            after = day.earned(earned, risk.trading_day(told.event_time))
            await self._save_fold(tx, told, newer, None, None, after)
            if earned < 0:
                await self._stop_losing(tx, told.account_id, after)

    async def _moved(
        self, tx: Transaction, told: Fill | FillCorrected | FillBusted, newer: KnownExecution, touched: Affected
    ) -> HeldPosition:
        """The position with the execution folded in, where it belongs in time."""
        before = touched.position
        if touched.execution.revision == 0 and touched.last:
            held = Holding(before.quantity, before.average_price, before.realised_pnl)
            held = held.after(newer.quantity, newer.price)
        else:
            rows = await book_moves.executions_of(tx.connection, told.account_id, told.contract_id)
            all_others = [
                Execution(row.execution_id, row.revision, row.quantity, row.price, row.executed_at)
                for row in rows
                if row.execution_id != told.execution_id
            ]
            one = Execution(told.execution_id, told.revision, newer.quantity, newer.price, told.event_time)
            held = hold([*all_others, one])
        return HeldPosition(held.quantity, held.average_price, held.realised)

    async def _save_fold(
        self,
        tx: Transaction,
        told: Fill | FillCorrected | FillBusted | Commission,
        newer: KnownExecution,
        held: HeldPosition | None,
        reservation: Reservation | None,
        day: book.Day,
    ) -> None:
        await book_moves.save_fold(
            tx.connection,
            (told.account_id, told.execution_id),
            newer,
            held,
            _columns(reservation) if reservation is not None else None,
            (day.realised_pnl, day.day),
            self._clock.now(),
        )

    async def _stop_losing(self, tx: Transaction, account_id: str, day: book.Day) -> None:
        """Halt the account when the day's loss has gone over its limit."""
        limits = await book.limits_of(tx.connection, account_id) if day.realised_pnl < 0 else None
        if limits is not None and risk.loss_exceeds(day.realised_pnl, limits):
            reason = f"lost {-day.realised_pnl:f} on {day.day}, at most {limits.daily_loss_max:f}"
            await self._halt(tx, account_id, reason, self._clock.now())

    # limits and states

    async def on_limits(self, limits: RiskLimits, origin: Origin) -> None:
        """They hold for what was lost before they came, too: fills and limits come on two topics, in any order."""
        async with self._store.transaction() as tx:
            await book_moves.save_limits(tx.connection, limits)
            account_id = account_of(limits.scope)
            if account_id is not None:
                now = self._clock.now()
                day = await book.lock(tx.connection, account_id, now)
                await self._stop_losing(tx, account_id, day)

    async def on_trading_state(self, told: TradingState, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            current = await book_moves.state_of(tx.connection, told.scope)
            state = follow(current, told)
            if state != current:
                await book_moves.save_state(tx.connection, state)

    async def halt(self, event: Event, reason: str) -> None:
        """A record of the account cannot be applied: what is not understood must not be traded on."""
        account_id = getattr(event, "account_id", None)
        if account_id is not None:
            async with self._store.transaction() as tx:
                await self._halt(tx, account_id, reason, self._clock.now())

    async def _halt(self, tx: Transaction, account_id: str, reason: str, now: datetime) -> None:
        scope = account_scope(account_id)
        current = await book_moves.state_of(tx.connection, scope)
        if current is not None and strictness(current.mode) >= strictness(TradingMode.HALTED) and current.by == "risk":
            return
        state = TradingState(
            scope=scope, mode=TradingMode.HALTED, reason=reason[:500], by="risk", event_time=now, ingest_time=now
        )
        await book_moves.save_state(tx.connection, state)
        await tx.publish(state)
        breach = LimitBreached(
            breach_id=str(uuid.uuid5(_BREACHES, f"{scope}\0{now.isoformat()}\0{reason}")),
            scope=scope,
            account_id=account_id,
            rule="halted",
            detail=reason[:500],
            event_time=now,
            ingest_time=now,
        )
        await book_moves.save_breach(tx.connection, breach)
        await tx.publish(breach)


def _book(intent: OrderIntent | CancelIntent | ModifyIntent, found: book.Snapshot) -> Book:
    order = intent if isinstance(intent, OrderIntent) else None
    symbol = order.symbol if order else ""
    return Book(
        price=order.reference_price if order else None,
        price_time=order.reference_time if order else None,
        currency=order.currency if order else "",
        working=not isinstance(intent, ModifyIntent),
        trading_mode=mode_of(found.modes, intent.account_id, intent.strategy_id, symbol),
        limits=found.limits,
        position=found.position,
        open_buys=found.open_buys,
        open_sells=found.open_sells,
        open_orders=found.open_orders,
        open_orders_of_contract=found.open_orders_of_contract,
        orders_last_minute=found.orders_last_minute,
        exposure_elsewhere=exactly(found.exposure_elsewhere),
        realised_pnl_today=found.day.on(risk.trading_day(intent.event_time)),
        duplicate_of=found.duplicate_of,
        blocked_by=found.blocked_by,
    )


def _breach(decision: RiskDecision, now: datetime) -> LimitBreached:
    assert decision.reason is not None, "only denials are breaches"
    return LimitBreached(
        breach_id=decision.decision_id,
        scope=account_scope(decision.account_id),
        account_id=decision.account_id,
        strategy_id=decision.strategy_id,
        rule=decision.reason.value,
        detail=decision.detail,
        event_time=decision.event_time,
        ingest_time=now,
    )


def _reservation(row: Any | None) -> Reservation | None:
    if row is None:
        return None
    return Reservation(
        order_id=row.order_id,
        contract_id=row.contract_id,
        side=Side(row.side),
        quantity=row.quantity,
        told=row.told,
        filled=row.filled,
        sequence=row.sequence,
        ended=row.state in ("ended", "released"),
        unknown=row.state == "unknown",
    )


def _columns(kept: Reservation) -> dict[str, Any]:
    return {
        "told": kept.told,
        "filled": kept.filled,
        "remaining": kept.remaining,
        "sequence": kept.sequence,
        "state": kept.state,
    }


def _revised(known: KnownExecution, told: Fill | FillCorrected | FillBusted) -> KnownExecution:
    """The execution after a newer revision; a bust takes its quantity away."""
    newer = replace(known, revision=told.revision, contract_id=told.contract_id, executed_at=told.event_time)
    if isinstance(told, FillBusted):
        return replace(newer, quantity=_ZERO, price=_ZERO)
    quantity = told.last_quantity * told.side.sign
    return replace(newer, order_id=told.order_id, quantity=quantity, price=told.last_price)


def build(settings: Settings) -> Service:
    """The service, wired."""
    service = Service("risk", settings)
    store = Store(settings, "risk")
    service.relay(store)
    Risk(service, store).wire()
    return service


def main() -> None:
    asyncio.run(_run())


async def _run() -> None:
    await build(Settings()).run()


if __name__ == "__main__":
    main()
