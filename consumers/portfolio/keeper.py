"""Positions and round trips: the fold of all fills, kept in memory, told and stored after every change.

Memory dies with the process: at the start the whole ledger of fills is folded again, and what the database lacks is
told then.
"""

from datetime import datetime
from typing import Any

from engine.portfolio import ContractLedger, Portfolio, RoundTrip, Step, exactly
from engine.trading_state import account_scope
from infra.publish import Origin
from infra.replay import fold
from infra.service import Service
from infra.store import portfolio as tables
from infra.store.database import Store, Transaction
from schemas.account import Position, TradingMode, TradingState
from schemas.event import Event
from schemas.orders import Commission, Fill, FillBusted, FillCorrected, FillEvent

_LEDGER = "trading.fills.v1"


class PortfolioKeeper:
    """Folds every event of the fills topic once, whatever their order and however often they come."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store
        self._portfolio = Portfolio()
        self._untold: set[tuple[str, int]] = set()

    def wire(self) -> None:
        self._service.on(Fill, self.on_fill)
        self._service.on(FillCorrected, self.on_fill)
        self._service.on(FillBusted, self.on_fill)
        self._service.on(Commission, self.on_fill)
        self._service.halt_with(self.halt)
        self._service.before(self.recover)

    async def recover(self) -> None:
        """Fold the ledger from its beginning, then tell what the tables do not say yet."""
        async for event, _ in fold(self._service.settings, [_LEDGER]):
            if isinstance(event, Fill | FillCorrected | FillBusted | Commission):
                self._portfolio.apply(event)
        async with self._store.reading() as connection:
            known = await tables.positions(connection)
            steps = await tables.steps_known(connection)
        for key, ledger in self._portfolio.ledgers.items():
            told = _position(ledger, self._service.clock.now())
            if told is None:
                continue
            if known.get(key) == tables.essence(told) and steps.get(key, 0) == ledger.fills:
                self._forget_changes(key)
            else:
                self._untold.add(key)
        await self._tell(None)

    async def on_fill(self, event: FillEvent, origin: Origin) -> None:
        ledger = self._portfolio.apply(event)
        if ledger is not None:
            self._untold.add((ledger.account_id, ledger.contract_id))
        await self._tell(origin)

    async def _tell(self, cause: Origin | None) -> None:
        """Store and publish what changed; kept as untold until it is committed."""
        if not self._untold:
            return
        async with self._store.transaction() as tx:
            for key in sorted(self._untold):
                await self._tell_one(tx, self._portfolio.ledgers[key], cause)
        for key in self._untold:
            self._forget_changes(key)
        self._untold.clear()

    def _forget_changes(self, key: tuple[str, int]) -> None:
        for ledger in (self._portfolio.ledgers[key], *self._portfolio.parts(*key).values()):
            ledger.told()

    async def _tell_one(self, tx: Transaction, ledger: ContractLedger, cause: Origin | None) -> None:
        position = _position(ledger, self._service.clock.now())
        if position is None:
            return
        await tables.save_position(tx.connection, position)
        steps = [_step(ledger, step) for step in ledger.changed_steps]
        await tables.save_steps(tx.connection, ledger.account_id, steps, ledger.gone_steps)
        for part in self._portfolio.parts(ledger.account_id, ledger.contract_id).values():
            trades = [_trade(part, trip, ledger.symbol) for trip in part.changed_trips]
            await tables.save_trades(tx.connection, trades, part.gone_trips)
        await tx.publish(position, cause=cause)

    async def halt(self, event: Event, reason: str) -> None:
        """A fill that cannot be folded means that positions are not known."""
        account_id = getattr(event, "account_id", None)
        if account_id is None:
            return
        now = self._service.clock.now()
        await self._service.publish(
            TradingState(
                scope=account_scope(account_id),
                mode=TradingMode.HALTED,
                reason=reason,
                by="portfolio",
                event_time=now,
                ingest_time=now,
            )
        )


def _position(ledger: ContractLedger, now: datetime) -> Position | None:
    """The event of a ledger; None before its first execution, when its symbol is not known."""
    if not ledger.symbol or ledger.updated_at is None:
        return None
    return Position(
        account_id=ledger.account_id,
        contract_id=ledger.contract_id,
        symbol=ledger.symbol,
        currency=ledger.currency,
        quantity=ledger.holding.quantity,
        average_price=ledger.holding.average_price,
        realised_pnl=ledger.holding.realised,
        commission=exactly(ledger.commission),
        fills=ledger.fills,
        event_time=ledger.updated_at,
        ingest_time=now,
    )


def _step(ledger: ContractLedger, step: Step) -> dict[str, Any]:
    """A row of the history of a position."""
    execution = step.execution
    return {
        "account_id": ledger.account_id,
        "execution_id": execution.execution_id,
        "revision": execution.revision,
        "strategy_id": execution.strategy_id,
        "contract_id": ledger.contract_id,
        "symbol": ledger.symbol,
        "currency": ledger.currency,
        "change": execution.quantity,
        "price": execution.price,
        "commission": ledger.cost_of(execution.execution_id),
        "quantity": step.holding.quantity,
        "average_price": step.holding.average_price,
        "realised_pnl": step.holding.realised,
        "event_time": execution.executed_at,
    }


def _trade(part: ContractLedger, trip: RoundTrip, symbol: str) -> dict[str, Any]:
    """A row of a round trip that has ended."""
    commission = part.commission_of(trip)
    return {
        "trade_id": trip.trade_id,
        "account_id": part.account_id,
        "strategy_id": trip.strategy_id,
        "contract_id": part.contract_id,
        "symbol": symbol,
        "side": trip.side.value,
        "quantity": trip.quantity,
        "entry_price": trip.entry_price,
        "exit_price": trip.exit_price,
        "gross_pnl": trip.gross_pnl,
        "commission": commission,
        "net_pnl": exactly(trip.gross_pnl - commission),
        "opened_at": trip.opened_at,
        "closed_at": trip.closed_at,
    }
