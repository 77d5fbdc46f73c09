"""A cassette played to services: a simulator in the test's process, or the options for one in a stack's own.

The judge is the ledger, never a service's word. With services in this process or beside it:

    async with a_cassette("outage-data-lost", tmp_path) as played:
        settings = with_gateway(settings, played.simulator.server.port)
        ...                       # start services; processes that it kills: played.register("executor", pid)
        await played.fired()      # every step has happened
        assert played.ledger().twice() == {}

With a stack of processes:

    played = for_a_stack("executor-killed-at-a-fill", tmp_path)
    with Stack(settings, simulator_options=played.options, ...) as stack:
        await played.register(stack)
        ...
        assert played.ledger().twice() == {}
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.embedded.ports import free_port
from infra.embedded.stack import Stack
from infra.gateway_simulator.control_client import ControlClient
from infra.gateway_simulator.faults import cassette
from infra.gateway_simulator.faults.cassette import Cassette
from tests.a_ledger import Ledger
from tests.integration.a_simulator import Simulator, a_simulator

PATIENCE_SECONDS = 30.0


class Played:
    """A simulator that plays one cassette."""

    def __init__(self, simulator: Simulator, told: Cassette) -> None:
        self.simulator = simulator
        self.cassette = told

    def ledger(self) -> Ledger:
        return Ledger.read(self.simulator.ledger)

    def register(self, name: str, pid: int) -> None:
        """Let the cassette signal this process; again after each of its starts."""
        self.simulator.server.gateway.faults.register(name, pid)

    def missing(self) -> set[str]:
        """Steps that have not happened yet."""
        wanted = {f"{self.cassette.name}: {step.name}" for step in self.cassette.steps}
        return wanted - {str(each.get("name")) for each in self.simulator.server.gateway.faults.fired}

    async def fired(self, seconds: float = PATIENCE_SECONDS) -> None:
        """Wait until every step has happened at least once."""
        try:
            async with asyncio.timeout(seconds):
                while self.missing():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"never happened within {seconds} s: {self.missing()}") from None


@contextlib.asynccontextmanager
async def a_cassette(name: str, folder: Path, **options: Any) -> AsyncIterator[Played]:
    """A simulator in this process with the cassette armed from its start; `options` are those of the gateway."""
    async with a_simulator(folder, faults=name, **options) as simulator:
        yield Played(simulator, cassette.load(name))


@dataclass(frozen=True)
class StackCassette:
    """What a simulator of its own process is started with, and where to steer it and to read its ledger."""

    options: tuple[str, ...]
    ledger_file: Path
    control_port: int
    token_file: Path

    def ledger(self) -> Ledger:
        return Ledger.read(self.ledger_file)

    def control(self) -> ControlClient:
        """`async with played.control() as control`."""
        return ControlClient(self.control_port, self.token_file)

    async def register(self, stack: Stack) -> None:
        """Let faults signal every process of the stack by its name; again after one has been restarted."""
        async with self.control() as control:
            for name, pid in stack.processes.items():
                await control.register(name, pid)


def for_a_stack(name: str, folder: Path) -> StackCassette:
    ledger, token, port = folder / "ledger.jsonl", folder / "control-token", free_port()
    token.write_text(f"token-of-{folder.name}".ljust(16, "x"), encoding="ascii")
    token.chmod(0o600)
    options = ("--faults", name, "--ledger", str(ledger), "--control-port", str(port))
    return StackCassette((*options, "--control-token-file", str(token)), ledger, port, token)
