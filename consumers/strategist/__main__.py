"""`python -m consumers.strategist`."""

import asyncio

from consumers.strategist.strategist import Strategist
from infra.service import Service
from infra.settings import Settings


def main() -> None:
    service = Service("strategist", Settings())
    Strategist(service).wire()
    asyncio.run(service.run())


if __name__ == "__main__":
    main()
