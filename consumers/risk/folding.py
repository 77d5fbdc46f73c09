"""Folds what happened to orders into the books: updates, executions, commissions, and what the broker tells."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from consumers.risk.stopping import Stopper
from engine import risk
from engine.order_company import nearer
from engine.portfolio import Execution, Holding, hold
from engine.reservations import Change, Reservation
from infra.clock import Clock
from infra.publish import Origin
from infra.service import Service
from infra.store import book, book_moves, book_orders, book_rules
from infra.store.book_moves import Affected, HeldPosition, KnownExecution, Moved, Part, Place
from infra.store.columns_of_tables import plain
from infra.store.database import Store, Transaction
from schemas.account import AccountState
from schemas.orders import Commission, Fill, FillBusted, FillCorrected, OrderStatus, OrderUpdate, Side

_ZERO = Decimal(0)
Executed = Fill | FillCorrected | FillBusted


class Folder:
    """Every event is folded once, whatever the order in which the topics bring them."""

    def __init__(self, service: Service, store: Store, stopper: Stopper) -> None:
        self._store = store
        self._stopper = stopper
        self._clock: Clock = service.clock

    async def on_account(self, told: AccountState, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            now = self._clock.now()
            day = await book.lock(tx.connection, told.account_id, now)
            await book_rules.save_account(tx.connection, told)
            after = await book_moves.value_days(tx.connection, told.account_id, day, now)
            if after != day:
                await self._stopper.stop_losing(tx, told.account_id, after)

    async def on_order_update(self, told: OrderUpdate, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            now = self._clock.now()
            await book.lock(tx.connection, told.account_id, now)
            row = await book_orders.reservation(tx.connection, told.order_id)
            known = _reservation(row)
            if known is None:
                known = await self._adopt(tx, told, now)
            changed = known.with_update(told)
            if changed == known:
                return
            rejected = told.status is OrderStatus.REJECTED
            limit = told.limit_price
            if row is not None and changed.changes:  # what a change under way asks for stays reserved
                limit = nearer(told.side, row.limit_price, limit)
            columns = _columns(changed) | {
                "limit_price": limit,
                "stop_price": told.stop_price,
                "rejected": rejected,
            }
            await book_orders.save_reservation(tx.connection, told.order_id, columns, now)
            if rejected and told.strategy_id:
                await self._stopper.judge_rejection(tx, told.account_id, told.strategy_id)

    async def _adopt(self, tx: Transaction, told: OrderUpdate, now: datetime) -> Reservation:
        """Count an order in that risk has not approved: it was placed by somebody else."""
        price = told.limit_price or told.stop_price or told.average_price
        await book_orders.adopt_reservation(tx.connection, told, price, now)
        filled = await book_orders.filled_of(tx.connection, told.order_id)
        return Reservation(told.order_id, told.contract_id, told.side, told.quantity, filled=filled, price=price)

    async def on_fill(self, told: Executed, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            now = self._clock.now()
            day = await book.lock(tx.connection, told.account_id, now)
            place = _place(told)
            touched = await book_moves.affected(tx.connection, place)
            known = touched.execution
            if known.revision >= told.revision:
                return
            newer = _revised(known, told)
            held, part = await self._moved(tx, told, newer, touched)
            charged = newer.charged - known.charged
            currency = touched.currency if isinstance(told, FillBusted) else told.currency
            earned = _earned(currency, held.realised_pnl - touched.position.realised_pnl, newer, charged)
            reservation = _reservation(touched.reservation)
            if reservation is not None:
                reservation = reservation.with_fill(abs(newer.quantity) - abs(known.quantity))
            today = risk.trading_day(told.event_time)
            after = day.earned(earned, today, touched.rate)
            own = _earned(currency, part.realised_pnl - touched.part.held.realised_pnl, newer, charged)
            trip = known.revision == 0 and _came_back(touched.part.held.quantity, part.quantity)
            moved = Moved(
                newer,
                after,
                held=held,
                part=Part(part, touched.part.day.earned(own, today, touched.rate)) if newer.strategy_id else None,
                part_moved=part.quantity != touched.part.held.quantity,
                trip=trip and bool(newer.strategy_id),
                reservation=_columns(reservation) if reservation is not None else None,
            )
            await book_moves.save_fold(tx.connection, place, moved, now)
            if min(earned.values()) < 0:
                await self._stopper.stop_losing(tx, told.account_id, after)
            if moved.trip:
                await self._stopper.judge_trip(tx, told.account_id, newer.strategy_id)

    async def on_commission(self, told: Commission, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            now = self._clock.now()
            day = await book.lock(tx.connection, told.account_id, now)
            place = Place(told.account_id, told.execution_id, told.event_time)
            touched = await book_moves.affected(tx.connection, place)
            known = touched.execution
            if known.commission_revision >= told.revision:
                return
            newer = replace(known, commission_revision=told.revision, commission=told.amount)
            newer = replace(newer, commission_currency=told.currency)
            charged = newer.charged - known.charged
            today = risk.trading_day(told.event_time)
            earned = {told.currency: -charged}
            after = day.earned(earned, today, touched.rate)
            part = None
            if known.contract_id is not None and known.strategy_id and charged:
                part = replace(touched.part, day=touched.part.day.earned(earned, today, touched.rate))
            moved = Moved(newer, after, part=part)
            await book_moves.save_fold(tx.connection, place, moved, now)
            if charged > 0:
                await self._stopper.stop_losing(tx, told.account_id, after)

    async def _moved(
        self, tx: Transaction, told: Executed, newer: KnownExecution, touched: Affected
    ) -> tuple[HeldPosition, HeldPosition]:
        """The account's and the strategy's position with the execution folded in, where it belongs in time."""
        both = touched.position, touched.part.held
        if touched.execution.revision == 0 and touched.last:
            one, other = (_after(each, newer.quantity, newer.price) for each in both)
            return one, other
        rows = await book_moves.executions_of(tx.connection, told.account_id, told.contract_id)
        others = [
            Execution(row.execution_id, row.revision, row.quantity, row.price, row.executed_at, row.strategy_id)
            for row in rows
            if row.execution_id != told.execution_id
        ]
        mine = newer.strategy_id
        new = Execution(told.execution_id, told.revision, newer.quantity, newer.price, told.event_time, mine)
        everything = [*others, new]
        return _position(hold(everything)), _position(hold(each for each in everything if each.strategy_id == mine))


def _after(before: HeldPosition, quantity: Decimal, price: Decimal) -> HeldPosition:
    return _position(Holding(before.quantity, before.average_price, before.realised_pnl).after(quantity, price))


def _position(held: Holding) -> HeldPosition:
    return HeldPosition(held.quantity, held.average_price, held.realised)


def _earned(currency: str, realised: Decimal, execution: KnownExecution, charged: Decimal) -> dict[str, Decimal]:
    """What the position realised, less what that cost, each in its own currency."""
    found = {currency: realised}
    if charged:
        found[execution.commission_currency] = found.get(execution.commission_currency, _ZERO) - charged
    return found


def _came_back(before: Decimal, after: Decimal) -> bool:
    """To flat, or through zero to the other side."""
    return before != 0 and before * after <= 0


def _place(told: Executed) -> Place:
    if isinstance(told, FillBusted):
        return Place(told.account_id, told.execution_id, told.event_time, told.contract_id)
    return Place(
        told.account_id,
        told.execution_id,
        told.event_time,
        told.contract_id,
        told.order_id,
        told.strategy_id,
        told.symbol,
        told.currency,
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
        price=row.price,
        changes=tuple(Change(each[0], Decimal(each[1]), Decimal(each[2])) for each in row.changes),
    )


def _columns(kept: Reservation) -> dict[str, Any]:
    return {
        "quantity": kept.quantity,
        "told": kept.told,
        "filled": kept.filled,
        "remaining": kept.remaining,
        "price": kept.price,
        "changes": [[each.intent_id, str(plain(each.quantity)), str(plain(each.price))] for each in kept.changes],
        "sequence": kept.sequence,
        "state": kept.state,
    }


def _revised(known: KnownExecution, told: Executed) -> KnownExecution:
    """The execution after a newer revision; a bust takes its quantity away."""
    newer = replace(known, revision=told.revision, contract_id=told.contract_id, executed_at=told.event_time)
    if isinstance(told, FillBusted):
        return replace(newer, quantity=_ZERO, price=_ZERO)
    quantity = told.last_quantity * told.side.sign
    return replace(
        newer,
        order_id=told.order_id,
        strategy_id=told.strategy_id or known.strategy_id,
        quantity=quantity,
        price=told.last_price,
    )
