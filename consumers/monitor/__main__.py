"""`python -m consumers.monitor`."""

import asyncio
import sys

from consumers.monitor.monitor import build
from infra.errors import ScizorError
from infra.settings import Settings


def main() -> None:
    try:
        asyncio.run(_run())
    except ScizorError as error:
        sys.stderr.write(f"scizor monitor: {error}\n")
        sys.exit(error.exit_code)


async def _run() -> None:
    await build(Settings()).run()


if __name__ == "__main__":
    main()
