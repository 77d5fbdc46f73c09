"""Proves, before a stranger's code runs, that the sandbox holds: a canary tries what must fail, once at every start."""

import socket
from pathlib import Path

from infra.clock import Clock
from infra.sandbox.errors import SandboxedError, SandboxUnavailableError
from infra.sandbox.sandbox import Limits, Sandbox

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
