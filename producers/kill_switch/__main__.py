"""`python -m producers.kill_switch`."""

import asyncio
import sys

from infra.errors import ScizorError
from infra.settings import Settings
from producers.kill_switch.process import KillSwitchProcess


def main() -> None:
    try:
        asyncio.run(_run())
    except ScizorError as error:
        sys.stderr.write(f"scizor kill_switch: {error}\n")
        sys.exit(error.exit_code)


async def _run() -> None:
    await KillSwitchProcess(Settings()).run()


if __name__ == "__main__":
    main()
