"""After the database was lost: risk's books again, as the topics tell them, before anything is decided.

Every record is folded by what folds it in a day's work; but nobody is stopped for what happened long ago: the states
that risk has told are on their topic, too. Prices come from the market, and averages from the bars.
"""

from consumers.risk.folding import Folder
from consumers.risk.stopping import Stopper
from engine.portfolio import ZERO, exactly
from engine.risk import fingerprint
from engine.risk_book import book_of, wish_of
from infra.delivery import origin_of
from infra.publish import Origin
from infra.replay import fold, with_records
from infra.service import Service
from infra.store import book, book_rebuilt, book_rules, rebuilt
from infra.store.book import Day, Decided
from infra.store.database import Store, Transaction
from schemas.account import AccountState, LimitBreached, Restriction, RiskLimits, TradingState
from schemas.event import Event
from schemas.orders import (
    CancelIntent,
    Commission,
    Fill,
    FillBusted,
    FillCorrected,
    OrderUpdate,
    RiskDecision,
)

_SOURCES = (
    RiskLimits, Restriction, TradingState, AccountState, RiskDecision, OrderUpdate, Fill, LimitBreached,
)  # fmt: skip


class _Silent(Stopper):
    """Stops nobody."""

    async def stop_losing(self, tx: Transaction, account_id: str, day: Day) -> None: ...
    async def judge_rejection(self, tx: Transaction, account_id: str, strategy_id: str) -> None: ...
    async def judge_trip(self, tx: Transaction, account_id: str, strategy_id: str) -> None: ...


class Rebuilding:
    """Fills risk's tables once in the life of a database; what they have already stays as it is."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self._store = store
        self._stopper = _Silent(service, store)
        self._folder = Folder(service, store, self._stopper)

    async def run(self) -> None:
        """Broken off and begun again it ends the same: everything is folded once."""
        async with self._store.reading() as connection:
            if await rebuilt.is_done(connection, self._store.service):
                return
        count = 0
        catalogue = self._service.catalogue
        topics = [catalogue.topic_of(source).name for source in _SOURCES]
        for topic in await with_records(self._service.settings, topics, catalogue=catalogue):
            async for event, record in fold(self._service.settings, [topic], catalogue=catalogue):
                await self._take(event, origin_of(catalogue.topic(topic), record, self._service.clock.now()))
                count += 1
        async with self._store.transaction() as tx:
            await rebuilt.done(tx.connection, self._store.service, catalogue.topic_of(RiskDecision).name)
        self._service.log.info("books made from the topics", records=count)

    async def _take(self, event: Event, origin: Origin) -> None:
        match event:
            case RiskLimits():
                await self._stopper.on_limits(event, origin)
            case Restriction():
                await self._stopper.on_restriction(event, origin)
            case TradingState():
                await self._stopper.on_trading_state(event, origin)
            case AccountState():
                await self._folder.on_account(event, origin)
            case RiskDecision():
                await self._note(event)
            case OrderUpdate():
                await self._folder.on_order_update(event, origin)
            case Fill() | FillCorrected() | FillBusted():
                await self._folder.on_fill(event, origin)
            case Commission():
                await self._folder.on_commission(event, origin)
            case LimitBreached():
                async with self._store.transaction() as tx:
                    await book_rules.save_breach(tx.connection, event)

    async def _note(self, decision: RiskDecision) -> None:
        """Write a decision of before; one that may still be acted on is void: anybody could have put it there."""
        now = self._service.clock.now()
        if decision.approved and decision.basis.decided_at + decision.expires_after > now:
            return
        async with self._store.transaction() as tx:
            await book.lock(tx.connection, decision.account_id, now)
            await book_rebuilt.add_decision(tx.connection, _decided(decision))


def _decided(decision: RiskDecision) -> Decided:
    """With what a share of the order was reserved at."""
    intent = decision.intent
    wish = wish_of(intent, book_of(decision.basis)) if not isinstance(intent, CancelIntent) else None
    price, value = (exactly(wish.price), exactly(wish.value)) if wish is not None else (ZERO, ZERO)
    return Decided(decision, fingerprint(intent), price, value)
