"""A kill switch in the test's own loop, and what is asked of it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from infra import kill_line
from infra.settings import Settings
from producers.kill_switch.process import KillSwitchProcess


@contextlib.asynccontextmanager
async def a_kill_switch(settings: Settings, *, gateway: bool = True) -> AsyncIterator[KillSwitchProcess]:
    """Listens, and with a `gateway` is connected to it, when it is given."""
    process = KillSwitchProcess(settings)
    task = asyncio.create_task(process.run())
    try:
        async with asyncio.timeout(30):
            while (gateway and process.why_not_ready()) or not kill_line.socket_path(settings.home).exists():
                if task.done():
                    task.result()
                await asyncio.sleep(0.01)
        yield process
    finally:
        process.stop()
        await task


async def kill(settings: Settings, scope: str = "global", kill_id: str = "kill-1") -> dict[str, Any]:
    return await kill_line.ask(
        settings.home, {"do": "kill", "kill_id": kill_id, "scope": scope, "reason": "a drill", "by": "ann"}
    )


async def arm(settings: Settings) -> dict[str, Any]:
    return await kill_line.ask(settings.home, {"do": "arm", "reason": "the drill is over", "by": "ann"})


async def state_of(settings: Settings) -> dict[str, Any]:
    return await kill_line.ask(settings.home, {"do": "state"})
