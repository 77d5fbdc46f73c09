"""A stack in a process of its own, to be killed: `python -m tests.integration.a_stack HOME JARS`, until SIGINT."""

import contextlib
import sys
from pathlib import Path

from infra.embedded.stack import Stack
from infra.embedded.starting import Preparation
from infra.settings import Settings
from infra.topics import ServiceSpec

SERVICES = (ServiceSpec(name="steady", run="tests.integration.a_service"),)

PREPARATIONS = tuple(Preparation(f"{server}'s guests", ("platform",), needs=server) for server in ("kafka", "postgres"))
"""A module of Python's own that says a line and ends."""


def a_stack(home: Path, jars: Path) -> Stack:
    """Kafka, PostgreSQL and one service; nobody needs a gateway here."""
    settings = Settings(home=home, ib_host="127.0.0.1")
    return Stack(settings, services=SERVICES, preparations=PREPARATIONS, jars=jars)


def main(home: Path, jars: Path) -> None:
    with contextlib.suppress(KeyboardInterrupt), a_stack(home, jars) as stack:
        stack.start()
        stack.wait_ready()
        print("ready", flush=True)
        stack.wait()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
