"""A gateway simulator inside a test's process, and its ledger: the judge."""

import contextlib
import json
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from infra.clock import SystemClock, SystemEntropy
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.launch import market_time
from infra.gateway_simulator.server import Address, SimulatorServer
from infra.settings import Settings

FAST = {"reconcile_seconds": 2.0, "reconcile_patience_seconds": 0.5}


class Simulator:
    """A gateway simulator in this process, and its ledger: the judge."""

    def __init__(self, server: SimulatorServer, ledger: Path) -> None:
        self.server = server
        self.ledger = ledger

    def lines(self, kind: str) -> list[dict[str, Any]]:
        return [line for line in map(json.loads, self.ledger.read_text().splitlines()) if line["kind"] == kind]

    def placed(self) -> dict[str, set[tuple[int, int]]]:
        """(client id, order id) by order reference."""
        found: dict[str, set[tuple[int, int]]] = {}
        for line in self.lines("order_received"):
            found.setdefault(line["order_ref"], set()).add((line["client_id"], line["order_id"]))
        return found

    def positions(self) -> dict[int, Decimal]:
        """Signed quantity by contract id, as the account holds it."""
        found = {line["contract_id"]: Decimal(line["quantity"]) for line in self.lines("position")}
        return {contract_id: quantity for contract_id, quantity in found.items() if quantity}


@contextlib.asynccontextmanager
async def a_simulator(folder: Path, **options: Any) -> AsyncIterator[Simulator]:
    clock = SystemClock()
    ledger = folder / f"ledger-{clock.monotonic()}.jsonl"
    start = market_time("2013-02-28T10:30:00-05:00")
    fields: dict[str, Any] = {"start": start, "ledger": ledger} | options
    gateway = Gateway(Options(**fields), clock, SystemEntropy())
    server = SimulatorServer(gateway, Address(port=0))
    await server.start()
    try:
        yield Simulator(server, ledger)
    finally:
        await server.stop()


def with_gateway(settings: Settings, port: int, **changes: Any) -> Settings:
    return settings.model_copy(update={"ib_port": port, **FAST, **changes})
