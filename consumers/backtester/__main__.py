"""`python -m consumers.backtester`."""

import asyncio

from consumers.backtester.backtester import Backtester
from consumers.backtester.optimiser import Optimiser
from infra.service import Service
from infra.settings import Settings


def main() -> None:
    service = Service("backtester", Settings())
    backtester = Backtester(service)
    backtester.wire()
    Optimiser(service, backtester.gate).wire()
    asyncio.run(service.run())


if __name__ == "__main__":
    main()
