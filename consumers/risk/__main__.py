"""`python -m consumers.risk`."""

import asyncio

from consumers.risk.risk import build
from infra.garbage import spare_the_collector
from infra.settings import Settings


def main() -> None:
    asyncio.run(_run())


async def _run() -> None:
    service = build(Settings())
    spare_the_collector()
    await service.run()


if __name__ == "__main__":
    main()
