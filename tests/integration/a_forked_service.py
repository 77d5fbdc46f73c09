"""Services that tests kill again and again, forked as the supervisor forks them: their modules are imported once."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

from infra.embedded.fostering import Foster, Nursery
from infra.embedded.process import KILL_SECONDS, Command
from infra.embedded.programs import environment_of
from infra.settings import REPOSITORY, Settings

MODULES = ("consumers.executor", "consumers.persister", "consumers.strategist")


def forked(nursery: Nursery, module: str, settings: Settings, log: Path) -> Foster:
    """What `python -m module` would be with exactly these settings."""
    return nursery.fork(Command([module], log, environment_of(settings), REPOSITORY))


def kill(child: Foster) -> None:
    """Nothing of it runs any more on return."""
    child.send(signal.SIGKILL)
    assert child.wait(KILL_SECONDS), f"process {child.pid} outlives a SIGKILL"


@contextlib.contextmanager
def a_forked_service(nursery: Nursery, module: str, settings: Settings, log: Path) -> Iterator[Foster]:
    """Killed at the end, whatever it is doing."""
    child = forked(nursery, module, settings, log)
    try:
        yield child
    finally:
        kill(child)


async def ended(child: Foster, seconds: float = 30) -> int:
    """Its exit status, once it has ended by itself or as it was asked to."""
    async with asyncio.timeout(seconds):
        while child.exit_code is None:
            await asyncio.sleep(0.01)
    return child.exit_code
