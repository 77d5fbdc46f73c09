"""Positions and round trips: the fold of all fills, kept in memory, told and stored after every change.

Memory dies with the process: at the start the whole ledger of fills is folded again, and what the database lacks is
told then.
"""

import asyncio
from datetime import datetime

from engine.portfolio import ContractLedger, Portfolio, exactly
from engine.trading_state import account_scope
from infra.publish import Origin
from infra.replay import fold
from infra.service import Service
from infra.settings import Settings
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
        for key, ledger in self._portfolio.ledgers.items():
            stored = known.get(key)
            told = _position(ledger, self._service.clock.now())
            if told is not None and (stored is None or stored != tables.essence(told)):
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
            self._portfolio.ledgers[key].told()
        self._untold.clear()

    async def _tell_one(self, tx: Transaction, ledger: ContractLedger, cause: Origin | None) -> None:
        position = _position(ledger, self._service.clock.now())
        if position is None:
            return
        await tables.save_position(tx.connection, position)
        trades = [
            {
                "trade_id": trip.trade_id,
                "account_id": ledger.account_id,
                "strategy_id": trip.strategy_id,
                "contract_id": ledger.contract_id,
                "symbol": ledger.symbol,
                "side": trip.side.value,
                "quantity": trip.quantity,
                "entry_price": trip.entry_price,
                "exit_price": trip.exit_price,
                "gross_pnl": trip.gross_pnl,
                "commission": ledger.commission_of(trip),
                "net_pnl": exactly(trip.gross_pnl - ledger.commission_of(trip)),
                "opened_at": trip.opened_at,
                "closed_at": trip.closed_at,
            }
            for trip in ledger.changed_trips
        ]
        await tables.save_trades(tx.connection, trades, ledger.gone_trips)
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


def build(settings: Settings) -> Service:
    """The service, wired."""
    service = Service("portfolio", settings)
    store = Store(settings, "portfolio", pool_size=2)
    service.relay(store)
    PortfolioKeeper(service, store).wire()
    return service


def main() -> None:
    asyncio.run(_run())


async def _run() -> None:
    await build(Settings()).run()


if __name__ == "__main__":
    main()
