"""`python -m consumers.portfolio`."""

import asyncio

from consumers.portfolio.portfolio import build
from infra.settings import Settings


def main() -> None:
    asyncio.run(_run())


async def _run() -> None:
    await build(Settings()).run()


if __name__ == "__main__":
    main()
