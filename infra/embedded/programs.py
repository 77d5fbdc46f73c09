"""Python programs of this project as supervised processes: services, the gateway simulator, preparations."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from infra.embedded.fostering import Foster, Nursery
from infra.embedded.process import Command
from infra.errors import EnvironmentUnhealthyError
from infra.settings import REPOSITORY, Settings

STOP_SECONDS = 10.0


def environment_of(settings: Settings) -> dict[str, str]:
    """The variables from which a child reads exactly these settings."""
    prefix = settings.model_config.get("env_prefix", "")
    return {f"{prefix}{name}".upper(): _as_text(getattr(settings, name)) for name in Settings.model_fields}


def _as_text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool | list | dict):
        return json.dumps(value)
    return str(value)


class Program:
    """`python -m module arguments` out of the nursery, restartable, with its own settings and log file."""

    def __init__(self, name: str, argv: Sequence[str], settings: Settings, logs: Path, nursery: Nursery) -> None:
        self.name = name
        self._command = Command(argv, logs / f"{name}.log", environment_of(settings), REPOSITORY)
        self._nursery = nursery
        self._child: Foster | None = None

    @property
    def pid(self) -> int:
        """0 before the first launch."""
        return self._child.pid if self._child is not None else 0

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._child is not None, f"{self.name} was not launched"
        return self._child.exit_code

    def launch(self) -> None:
        self._child = self._nursery.fork(self._command)

    def ask_to_stop(self) -> None:
        if self._child is not None:
            self._child.send(signal.SIGTERM)

    def finish(self) -> None:
        """Wait for the end that was asked for, then take it by force."""
        if self._child is not None:
            self._child.finish(STOP_SECONDS)


async def answer_of(argv: Sequence[str], settings: Settings, seconds: float) -> str:
    """What `python -m argv` prints, run to its end in a process of its own; its complaints go where ours go."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *argv,
        env={**os.environ, **environment_of(settings)},
        cwd=REPOSITORY,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            answer, _ = await process.communicate()
    except TimeoutError:
        raise EnvironmentUnhealthyError(f"{argv[0]} takes longer than {seconds:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise EnvironmentUnhealthyError(f"{argv[0]} ended with status {process.returncode}: see above")
    return answer.decode()
