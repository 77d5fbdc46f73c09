"""`python -m consumers.strategist`."""

import asyncio

from consumers.strategist.strategist import Strategist
from infra.service import Service
from infra.settings import Settings
from infra.store.leases import Lease


def main() -> None:
    settings = Settings()
    service = Service("strategist", settings)
    Strategist(service, Lease(settings, "strategist", service.clock)).wire()
    asyncio.run(service.run())


if __name__ == "__main__":
    main()
