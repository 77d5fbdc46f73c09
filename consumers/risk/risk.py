"""The service: what it reads, and who deals with it."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from consumers.risk.deciding import Decider
from consumers.risk.folding import Folder
from consumers.risk.prices import Prices
from consumers.risk.rebuilding import Rebuilding
from consumers.risk.stopping import Stopper
from consumers.risk.turns import Turns
from consumers.risk.watching import Watch
from infra.publish import Origin
from infra.service import Service
from infra.settings import Settings
from infra.store.database import Store
from schemas.account import AccountState, Restriction, RiskLimits, TradingState
from schemas.event import Event
from schemas.market import Bar, Quote, Tick
from schemas.orders import Commission, Fill, FillBusted, FillCorrected, OrderIntent, OrderUpdate

E = TypeVar("E", bound=Event)


class Risk:
    """The parts of the service, wired to each other."""

    def __init__(self, service: Service, store: Store) -> None:
        self._service = service
        self.turns = Turns()
        self.prices = Prices(service, store)
        self.stopper = Stopper(service, store)
        self.decider = Decider(service, store, self.prices, self.stopper, self.turns)
        self.folder = Folder(service, store, self.stopper)
        self.watch = Watch(service, store, self.prices, self.stopper)
        self.rebuilding = Rebuilding(service, store)

    def wire(self) -> None:
        service, on = self._service, self._on
        topic_of = service.catalogue.topic_of
        service.on_batch([topic_of(OrderIntent).name], self.decider.on_records)
        service.on_batch([topic_of(kind).name for kind in (Bar, Tick, Quote)], self.prices.on_records)
        on(OrderUpdate, self.folder.on_order_update)
        on(Fill, self.folder.on_fill)
        on(FillCorrected, self.folder.on_fill)
        on(FillBusted, self.folder.on_fill)
        on(Commission, self.folder.on_commission)
        on(AccountState, self.folder.on_account)
        on(TradingState, self.stopper.on_trading_state)
        on(RiskLimits, self.stopper.on_limits)
        on(Restriction, self.stopper.on_restriction)
        service.halt_with(self.stopper.halt)
        service.before(self.rebuilding.run)
        service.task("watch", self.watch.run)

    def _on(self, event_class: type[E], handler: Callable[[E, Origin], Awaitable[None]]) -> None:
        """Whatever may change the books takes turns with the decisions on them."""

        async def in_turn(event: E, origin: Origin) -> None:
            async with self.turns.taken():
                await handler(event, origin)

        self._service.on(event_class, in_turn)


def build(settings: Settings) -> Service:
    """The service, wired."""
    service = Service("risk", settings)
    store = Store(settings, "risk")
    service.relay(store)
    Risk(service, store).wire()
    return service
