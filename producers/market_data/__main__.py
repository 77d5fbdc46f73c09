"""`python -m producers.market_data`: the service, put together."""

import asyncio

from infra.gateway import ClientSlot, Connection
from infra.service import Service
from infra.settings import Settings
from producers.market_data.lanes import PATIENCE_SECONDS
from producers.market_data.market_data import MarketData


def build(settings: Settings, service: Service | None = None, *, gap_seconds: float = PATIENCE_SECONDS) -> Service:
    """The service with everything attached."""
    service = service or Service("market_data", settings)
    connection = Connection(settings, ClientSlot.MARKET_DATA, clock=service.clock, entropy=service.entropy)
    MarketData(service, connection, gap_seconds=gap_seconds).attach()
    return service


async def _run(settings: Settings) -> None:
    await build(settings).run()


def main() -> None:
    asyncio.run(_run(Settings()))


if __name__ == "__main__":
    main()
