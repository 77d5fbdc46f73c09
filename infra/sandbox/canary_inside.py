"""What the canary tries inside; each of these must fail."""

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def attempts(line: Any) -> None:
    """Tell which of them succeeded."""
    task = line.receive()
    tried: dict[str, Callable[[], object]] = {
        "connect to a port of this machine": lambda: socket.create_connection(("127.0.0.1", task["port"]), 1.0),
        "start a process": os.fork,
        "become another program": lambda: os.execv("/python/bin/python", ["python"]),
        "write outside /tmp": lambda: os.open("/site/canary", os.O_CREAT | os.O_WRONLY),
        "see the environment": lambda: next(iter(os.environ)),  # noqa: TID251 # it must be empty
        "use another descriptor": lambda: next(number for number in range(3, 64) if _is_open(number)),
        **{f"read {file}": Path(file).stat for file in task["files"]},
    }
    managed = []
    for name, attempt in tried.items():
        with suppress(OSError, StopIteration, IndexError):
            attempt()
            managed.append(name)
    line.send({"managed": managed})


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
