"""`python -m producers.market_data`: the service, put together."""

import asyncio

from infra.gateway import ClientSlot, Connection
from infra.gateway.slots import Timing
from infra.service import Service
from infra.settings import Settings
from producers.market_data.lanes import PATIENCE_SECONDS
from producers.market_data.market_data import MarketData


def build(settings: Settings, *, gap_seconds: float = PATIENCE_SECONDS, timing: Timing | None = None) -> Service:
    """The service with everything attached."""
    service = Service("market_data", settings)
    clock, entropy = service.clock, service.entropy
    connection = Connection(settings, ClientSlot.MARKET_DATA, clock=clock, entropy=entropy, timing=timing)
    MarketData(service, connection, gap_seconds=gap_seconds).attach()
    return service


async def _run(settings: Settings) -> None:
    await build(settings).run()


def main() -> None:
    asyncio.run(_run(Settings()))


if __name__ == "__main__":
    main()
