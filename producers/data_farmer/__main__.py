"""`python -m producers.data_farmer`: the service, put together."""

import asyncio

from infra.garbage import spare_the_collector
from infra.gateway import ClientSlot, Connection, Market
from infra.service import Service
from infra.settings import Settings
from infra.store.database import Store
from producers.data_farmer.farmer import DataFarmer
from producers.data_farmer.known_runs import KnownRuns
from producers.data_farmer.registry import Registry
from producers.data_farmer.removal import Removal
from producers.data_farmer.split_watch import SplitWatch
from producers.data_farmer.symbol_desk import SymbolDesk


def build(settings: Settings, *, gateway_patience_seconds: float = 60.0) -> Service:
    """The service with everything attached."""
    service = Service("data_farmer", settings)
    connection = Connection(settings, ClientSlot.DATA_FARMER, clock=service.clock, entropy=service.entropy)
    return attach(service, connection, Market(connection), gateway_patience_seconds=gateway_patience_seconds)


def attach(
    service: Service, connection: Connection, market: Market, *, gateway_patience_seconds: float = 60.0
) -> Service:
    """Put the farmer together on a connection of its own."""
    settings = service.settings
    store = Store(settings, "data_farmer", pool_size=2) if settings.database_url.get_secret_value() else None
    if store is not None:
        service.after(store.close)
    registry = Registry(service, connection, market)
    service.before(registry.recover)
    removal = Removal(service, registry, store)
    SplitWatch(service, store, registry).attach()
    known = KnownRuns(service, store)
    SymbolDesk(
        service, connection, registry, removal, known, gateway_patience_seconds=gateway_patience_seconds
    ).attach()
    DataFarmer(service, connection, market, store, registry, gateway_patience_seconds=gateway_patience_seconds).attach()
    return service


async def _run(settings: Settings) -> None:
    spare_the_collector()
    await build(settings).run()


def main() -> None:
    asyncio.run(_run(Settings()))


if __name__ == "__main__":
    main()
