"""`python -m consumers.risk`."""

import asyncio

from consumers.risk.risk import build
from infra.settings import Settings


def main() -> None:
    asyncio.run(_run())


async def _run() -> None:
    await build(Settings()).run()


if __name__ == "__main__":
    main()
