"""`python -m producers.data_farmer`: the service, put together."""

import asyncio

from infra.gateway import ClientSlot, Connection, Market
from infra.service import Service
from infra.settings import Settings
from infra.store.database import Store
from producers.data_farmer.farmer import DataFarmer


def build(settings: Settings, *, gateway_patience_seconds: float = 60.0) -> Service:
    """The service with everything attached."""
    service = Service("data_farmer", settings)
    connection = Connection(settings, ClientSlot.DATA_FARMER, clock=service.clock, entropy=service.entropy)
    store = Store(settings, "data_farmer", pool_size=1) if settings.database_url.get_secret_value() else None
    if store is not None:
        service.after(store.close)
    farmer = DataFarmer(
        service, connection, Market(connection), store, gateway_patience_seconds=gateway_patience_seconds
    )
    farmer.attach()
    return service


async def _run(settings: Settings) -> None:
    await build(settings).run()


def main() -> None:
    asyncio.run(_run(Settings()))


if __name__ == "__main__":
    main()
