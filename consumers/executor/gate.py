"""Whether an order may go out at this moment; everything has to be well, and what is not known is not well."""

import asyncio
from collections import deque
from collections.abc import Sequence
from datetime import datetime, timedelta

from engine.last_look import MINUTE, Refusal, RefusalCode, Sent, last_look, look_at_change
from engine.risk import book_of, reduces
from engine.trading_state import RECONCILER, account_scope, follow, mode_of
from infra.clock import Clock
from infra.gateway import Connection
from infra.gateway.windows import Window
from infra.store.leases import Lease
from schemas.account import TradingMode, TradingState
from schemas.orders import OrderIntent, RiskBasis

_TURN_SECONDS_MAX = 1.0
_MESSAGES_A_SECOND = 45
"""Of the fifty that IB hears; the others are left to questions."""
_REASON_MAX = 500
_AN_INSTANT = timedelta(microseconds=1)


class Gate:
    """Open while we lead, the gateway answers, the books agree and nobody has stopped trading."""

    def __init__(self, connection: Connection, lease: Lease, clock: Clock, orders_per_second: int) -> None:
        self._connection = connection
        self._lease = lease
        self._clock = clock
        self._states: dict[str, TradingState] = {}
        self._changed = asyncio.Event()
        self._sent: deque[Sent] = deque()
        self._turns = Window(orders_per_second, 1.0, settles=False)
        self.messages = Window(_MESSAGES_A_SECOND, 1.0, settles=False)
        """Whatever the executor writes about orders. Cancels need no turn, only room here."""

        self.troubles: tuple[str, ...] = ("the broker's books were not yet compared with ours",)
        """What keeps it shut beside trading states; empty after a clean comparison."""

        self.gaps = 0
        """How often the connection had a gap: a comparison that began before the last one proves nothing."""

    # trading states

    def hear(self, told: TradingState) -> TradingState:
        """Fold a state in; returns the one that holds now for its scope."""
        self._states[told.scope] = state = follow(self._states.get(told.scope), told)
        self._changed.set()
        return state

    def state(self, scope: str) -> TradingState | None:
        return self._states.get(scope)

    def mode(self, intent: OrderIntent) -> TradingMode:
        modes = {scope: state.mode for scope, state in self._states.items()}
        return mode_of(modes, intent.account_id, intent.strategy_id, intent.symbol)

    @property
    def _troubles(self) -> tuple[str, ...]:
        """What keeps it shut while the gateway can be used."""
        skew = self._connection.skew.trouble
        return (skew, *self.troubles) if skew else self.troubles

    def wanted_state(self, account_id: str) -> TradingState | None:
        """The state to publish so that the account's says what the comparison found; None when it says so."""
        state = self.state(account_scope(account_id))
        halted_by_us = state is not None and state.mode is TradingMode.HALTED and state.by == RECONCILER
        if self._troubles:
            mode, reason = TradingMode.HALTED, "; ".join(self._troubles)[:_REASON_MAX]
            if (
                state is not None
                and state.mode is not TradingMode.ACTIVE
                and (not halted_by_us or state.reason == reason)
            ):
                return None
        elif state is None or halted_by_us:
            mode, reason = TradingMode.ACTIVE, "our books agree with the broker's"
        else:
            return None
        now = self._clock.now()
        if state is not None and now <= state.event_time:  # whoever told it has had a clock that was ahead of ours
            now = state.event_time + _AN_INSTANT
        return TradingState(
            scope=account_scope(account_id),
            mode=mode,
            reason=reason,
            by=RECONCILER,
            event_time=now,
            ingest_time=now,
        )

    # the comparison of the books

    def shut(self, *troubles: str) -> None:
        self.troubles = troubles
        self._changed.set()

    def gap(self) -> None:
        """Reports may have been missed."""
        self.gaps += 1
        self.shut("the connection to the gateway had a gap: the books are compared")

    def open(self) -> None:
        self.troubles = ()
        self._changed.set()

    @property
    def is_connected(self) -> bool:
        """Whether the broker hears us at all."""
        return self._connection.state.usable

    # the last look before an order goes out

    def why_shut(self) -> str | None:
        """What keeps every order back, or None."""
        if not self._lease.fresh:
            return "the lease of the executor is not confirmed"
        if not self._connection.state.usable:
            return f"the gateway cannot be used: {self._connection.state.reason or self._connection.state.status}"
        return "; ".join(self._troubles) or None

    async def until_open(self, seconds: float) -> Refusal | None:
        """Wait at most so long for the gate; what still keeps it shut then."""
        deadline = self._clock.monotonic() + seconds
        while (why := self.why_shut()) is not None:
            remaining = deadline - self._clock.monotonic()
            if remaining <= 0:
                return Refusal(RefusalCode.SHUT, why)
            self._changed.clear()
            try:
                async with asyncio.timeout(min(remaining, 0.1)):
                    await self._changed.wait()
            except TimeoutError:
                continue
        return None

    async def turn(self, seconds: float) -> Refusal | None:
        """Wait for a turn among new orders and changes, at most so long. Cancels need none: their room is kept free."""
        deadline = self._clock.monotonic() + min(seconds, _TURN_SECONDS_MAX)
        while True:
            now = self._clock.monotonic()
            wait = max(self._turns.wait(now), self.messages.wait(now))
            if not wait:
                self._turns.take(now)
                self.messages.take(now)
                return None
            if now + wait > deadline:
                return Refusal(RefusalCode.THROTTLED, "too many orders, changes and cancels within a second")
            await asyncio.sleep(wait)

    def why_not(
        self, intent: OrderIntent, basis: RiskBasis, now: datetime, beside: Sequence[Sent] = ()
    ) -> Refusal | None:
        """What keeps this order back, or None: trading states, and a second look at sizes, prices and rates. Orders
        `beside` it go out together with it."""
        if (stopped := self.why_stopped(intent, basis)) is not None:
            return stopped
        while self._sent and self._sent[0].at <= now - MINUTE:
            self._sent.popleft()
        return last_look(intent, basis, [*self._sent, *beside], now)

    def why_not_changed(self, wanted: OrderIntent, basis: RiskBasis) -> Refusal | None:
        """What keeps a change back: it is no new order, so that rates and repetitions say nothing of it."""
        return self.why_stopped(wanted, basis) or look_at_change(wanted, basis)

    def why_stopped(self, intent: OrderIntent, basis: RiskBasis) -> Refusal | None:
        """What the trading states say against it."""
        mode = self.mode(intent)
        if mode is TradingMode.HALTED:
            return Refusal(RefusalCode.HALTED, "trading is halted")
        if mode is TradingMode.REDUCING and not reduces(intent, book_of(basis)):
            return Refusal(RefusalCode.REDUCING_ONLY, "only orders that reduce the position pass")
        return None

    def sent(self, order: Sent) -> None:
        """Count an order that goes out."""
        self._sent.append(order)
