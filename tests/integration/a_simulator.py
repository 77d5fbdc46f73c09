"""The gateway simulator on a free port, in the test's own loop."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

from infra.clock import SystemClock, SystemEntropy
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.server import Address, SimulatorServer


@contextlib.asynccontextmanager
async def simulator(
    *, now: str = "2013-02-28T09:30:00-05:00", speed: float = 1.0, ledger: Path | None = None, port: int = 0
) -> AsyncIterator[SimulatorServer]:
    options = Options(start=datetime.fromisoformat(now).timestamp(), speed=speed, ledger=ledger)
    server = SimulatorServer(Gateway(options, SystemClock(), SystemEntropy()), Address(port=port))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
