"""Proves, before a stranger's code runs, that the sandbox holds: a canary tries what must fail, once at every start."""

import asyncio
import socket
from pathlib import Path

from infra.clock import Clock
from infra.sandbox.conversation import Limits
from infra.sandbox.errors import SandboxedError, SandboxUnavailableError
from infra.sandbox.sandbox import Sandbox

ENTRY = "canary:attempts"
_SECONDS = 5.0
_LIMITS = Limits(turn_seconds=20.0, cpu_seconds=10)


def proven_sandbox(clock: Clock, home: Path) -> Sandbox:
    """A sandbox whose canary could do nothing of what it tried. Raises SandboxUnavailableError with what it could."""
    sandbox = Sandbox(clock)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname(), timeout=_SECONDS).close()  # it can be done from here
        task = {"port": listener.getsockname()[1], "files": ["/etc/passwd", str(home), str(Path.home()), "/proc/self"]}
        with sandbox.start(ENTRY, _LIMITS) as canary:
            try:
                canary.send(task)
                answer = canary.receive()
            except SandboxedError as error:
                raise SandboxUnavailableError(f"the sandbox could not be proven: {error}") from error
    if not isinstance(answer, dict) or not isinstance(answer.get("managed"), list):
        raise SandboxUnavailableError(f"the sandbox could not be proven: {str(answer)[:200]}")
    if managed := answer["managed"]:
        raise SandboxUnavailableError(f"the sandbox leaks: from inside one can {', '.join(map(str, managed))}")
    return sandbox


class SandboxGate:
    """The sandbox of a service, once it was proven; without proof nothing that was uploaded runs."""

    def __init__(self, clock: Clock, home: Path) -> None:
        self._clock = clock
        self._home = home
        self._sandbox: Sandbox | None = None
        self.why_closed = "the sandbox was not proven yet"

    async def prove(self) -> None:
        """Awaited when the service starts."""
        try:
            self._sandbox = await asyncio.to_thread(proven_sandbox, self._clock, self._home)
            self.why_closed = ""
        except SandboxUnavailableError as error:
            self.why_closed = str(error)

    def sandbox(self) -> Sandbox:
        """The proven one. Raises SandboxUnavailableError with the reason when there is none."""
        if self._sandbox is None:
            raise SandboxUnavailableError(f"uploaded strategies do not run here: {self.why_closed}")
        return self._sandbox

    async def close(self) -> None:
        """Awaited when the service stops."""
        if self._sandbox is not None:
            await asyncio.to_thread(self._sandbox.close)

    def facts(self) -> dict[str, str]:
        """What /health tells."""
        return {"uploaded_strategies": f"stored, not run: {self.why_closed}" if self.why_closed else "run"}
