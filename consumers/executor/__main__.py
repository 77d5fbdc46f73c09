"""`python -m consumers.executor`."""

import asyncio
import sys

from consumers.executor.executor import build
from infra.errors import ScizorError
from infra.settings import Settings


def main() -> None:
    try:
        asyncio.run(_run())
    except ScizorError as error:
        sys.stderr.write(f"scizor executor: {error}\n")
        sys.exit(error.exit_code)


async def _run() -> None:
    await build(Settings()).run()


if __name__ == "__main__":
    main()
