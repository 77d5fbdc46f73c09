"""Stops accounts that lost too much and strategies that run wild; folds limits, restrictions and trading states."""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from engine import risk
from engine.account_rows import limits_of
from engine.trading_state import account_of, account_scope, follow, strictness
from infra.publish import Origin
from infra.service import Service
from infra.store import book, book_rules
from infra.store.book import Day, Decided
from infra.store.database import Store, Transaction
from schemas.account import LimitBreached, Restriction, RiskLimits, TradingMode, TradingState
from schemas.event import Event

_BREACHES = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:breaches")
_HOUR = timedelta(hours=1)
_RISK = "risk"
_ALWAYS = datetime(1970, 1, 1, tzinfo=UTC)


def is_a_stop(current: TradingState | None, state: TradingState) -> bool:
    """Whether `state` stops what traded, stops it further, or is another's stop of the same."""
    if state.mode is TradingMode.ACTIVE:
        return False
    harder = strictness(state.mode) - strictness(current.mode) if current is not None else 1
    return harder > 0 or (harder == 0 and current is not None and current.by != state.by)


class Stopper:
    """Writes trading states that risk decides on itself; only a person loosens them."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store
        self._clock = service.clock

    # what others say

    async def on_limits(self, limits: RiskLimits, origin: Origin) -> None:
        """They hold for what was lost before they came, too: fills and limits come on two topics, in any order."""
        async with self._store.transaction() as tx:
            account_id = account_of(limits.scope)
            if account_id is None:
                await book.lock_all(tx.connection, self._clock.now())
                await book_rules.save_limits(tx.connection, limits)
                return
            day = await book.lock(tx.connection, account_id, self._clock.now())
            await book_rules.save_limits(tx.connection, limits)
            await book_rules.save_loss_mode(tx.connection, account_id, TradingMode.ACTIVE)  # nothing is told by these
            await self.stop_losing(tx, account_id, day)

    async def on_trading_state(self, told: TradingState, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            await book.lock_all(tx.connection, self._clock.now())  # first: risk may stop the scope at this moment
            current = await book_rules.state_of(tx.connection, told.scope)
            state = follow(current, told)
            if state != current:
                await book_rules.save_state(tx.connection, state)
                if is_a_stop(current, state) and state.by != _RISK:  # its own are kept where it stops
                    told_as = f"{state.scope}\0{state.event_time.isoformat()}\0{state.by}\0{state.reason}"
                    await book_rules.save_stop(tx.connection, str(uuid.uuid5(_BREACHES, told_as)), state)
                account_id = account_of(state.scope)
                if account_id is not None and state.mode is TradingMode.ACTIVE:
                    await book_rules.save_loss_mode(tx.connection, account_id, TradingMode.ACTIVE)

    async def on_restriction(self, told: Restriction, origin: Origin) -> None:
        async with self._store.transaction() as tx:
            await book.lock_all(tx.connection, self._clock.now())
            await book_rules.save_restriction(tx.connection, told)

    # accounts

    async def stop_losing(self, tx: Transaction, account_id: str, day: Day) -> None:
        """Halt the account when the day's realised loss alone has gone over its limit."""
        if day.realised_pnl >= 0 or (limits := await self._limits(tx, account_id)) is None:
            return
        if risk.loss_exceeds(day.realised_pnl, limits):
            reason = f"lost {-day.realised_pnl:f} on {day.day}, at most {limits.daily_loss_max:f}"
            await self._stop(tx, account_scope(account_id), account_id, TradingMode.HALTED, reason)

    async def judge_day(self, tx: Transaction, account_id: str, pnl: Decimal, known: TradingMode) -> None:
        """Reduce or halt the account when the day's profit, unrealised included, has newly passed a threshold."""
        limits = await self._limits(tx, account_id)
        mode = risk.mode_after(pnl, limits) if limits is not None else TradingMode.ACTIVE
        if strictness(mode) <= strictness(known) or limits is None:
            return
        most = limits.daily_loss_max if mode is TradingMode.HALTED else risk.reducing_loss(limits)
        reason = f"lost {-pnl:f} today, unrealised losses included, at most {most:f}"
        if await self._stop(tx, account_scope(account_id), account_id, mode, reason):
            await book_rules.save_loss_mode(tx.connection, account_id, mode)

    async def _limits(self, tx: Transaction, account_id: str) -> RiskLimits | None:
        stored = await book_rules.limits_of(tx.connection, account_scope(account_id))
        return None if stored is None else limits_of(stored)

    async def halt(self, event: Event, reason: str) -> None:
        """A record of the account cannot be applied: what is not understood must not be traded on."""
        account_id = getattr(event, "account_id", None)
        if account_id is not None:
            async with self._store.transaction() as tx:
                await self._stop(tx, account_scope(account_id), account_id, TradingMode.HALTED, reason)

    # strategies

    async def disable(self, made: Sequence[Decided]) -> None:
        """Halt strategies whose denials say that they run wild."""
        wild = {d.decision.strategy_id: d.decision for d in made if d.decision.reason in risk.DISABLING}
        for strategy_id, decision in wild.items():
            async with self._store.transaction() as tx:
                await self._disable(tx, decision.account_id, strategy_id, decision.detail)

    async def judge_rejection(self, tx: Transaction, account_id: str, strategy_id: str) -> None:
        """A strategy whose newest orders were all rejected does not understand its market."""
        limits = await self._limits(tx, account_id)
        if limits is None or (most := limits.rejects_in_a_row_max) is None:
            return
        since = await self._enabled_since(tx, strategy_id)
        if await book_rules.rejected_in_a_row(tx.connection, account_id, strategy_id, since, most) >= most:
            await self._disable(tx, account_id, strategy_id, f"{most} orders one after another were rejected")

    async def judge_trip(self, tx: Transaction, account_id: str, strategy_id: str) -> None:
        """A strategy that comes back to flat too often pays for it each time."""
        limits = await self._limits(tx, account_id)
        if limits is None or (most := limits.round_trips_per_hour_max) is None:
            return
        since = max(self._clock.now() - _HOUR, await self._enabled_since(tx, strategy_id))
        trips = await book_rules.trips_since(tx.connection, account_id, strategy_id, since)
        if trips > most:
            await self._disable(tx, account_id, strategy_id, f"{trips} round trips within an hour, at most {most}")

    async def _enabled_since(self, tx: Transaction, strategy_id: str) -> datetime:
        """What was before a person enabled it again is forgiven."""
        state = await book_rules.state_of(tx.connection, f"strategy:{strategy_id}")
        return state.event_time if state is not None else _ALWAYS

    async def _disable(self, tx: Transaction, account_id: str, strategy_id: str, reason: str) -> None:
        reason = f"disabled: {reason}"
        await self._stop(tx, f"strategy:{strategy_id}", account_id, TradingMode.HALTED, reason, strategy_id)

    async def _stop(
        self, tx: Transaction, scope: str, account_id: str, mode: TradingMode, reason: str, strategy_id: str = ""
    ) -> bool:
        """Whether risk itself has stopped the scope, now or before; not while somebody else's stricter state stands."""
        now = self._clock.now()
        await book.lock(tx.connection, account_id, now)  # first: a person may stop the scope at this moment
        current = await book_rules.state_of(tx.connection, scope)
        if current is not None and strictness(current.mode) >= strictness(mode) and current.by == _RISK:
            return True
        if current is not None and strictness(current.mode) > strictness(mode):
            return False
        times = {"event_time": now, "ingest_time": now}
        state = TradingState(scope=scope, mode=mode, reason=reason[:500], by=_RISK, **times)
        await book_rules.save_state(tx.connection, state)
        await tx.publish(state)
        breach = LimitBreached(
            breach_id=str(uuid.uuid5(_BREACHES, f"{scope}\0{now.isoformat()}\0{reason}")),
            scope=scope,
            account_id=account_id,
            strategy_id=strategy_id,
            rule=mode.value.lower(),
            detail=reason[:500],
            **times,
        )
        await book_rules.save_breach(tx.connection, breach)
        await tx.publish(breach)
        return True
