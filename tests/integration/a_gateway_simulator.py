"""The gateway simulator in the test's own loop, and clients of three makes that talk to it."""

import asyncio
import contextlib
import json
import queue
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

from ib_insync import IB, Stock
from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.wrapper import EWrapper

from infra.clock import SystemClock, SystemEntropy
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.launch import market_time
from infra.gateway_simulator.server import Address, SimulatorServer

MORNING = "2013-02-28T10:00:00-05:00"
PATIENCE_SECONDS = 30.0


@contextlib.asynccontextmanager
async def a_gateway(*, now: str = MORNING, speed: float = 0.0, **options: Any) -> AsyncIterator[SimulatorServer]:
    """A simulator on a free port; with speed 0 only `gateway.tape.advance` moves market time."""
    gateway = Gateway(Options(start=market_time(now), speed=speed, **options), SystemClock(), SystemEntropy())
    server = SimulatorServer(gateway, Address(port=0))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


@contextlib.asynccontextmanager
async def an_ib_insync(
    server: SimulatorServer, client_id: int = 1, seconds: float = PATIENCE_SECONDS
) -> AsyncIterator[Any]:
    """A connected ib_insync; its errors are collected as (id, code, text)."""
    ib = cast(Any, IB)()  # its stubs leave out half of what it is
    ib.told = []
    ib.errorEvent += lambda number, code, text, _: ib.told.append((number, code, text))
    await ib.connectAsync("127.0.0.1", server.port, clientId=client_id, timeout=seconds)
    try:
        yield ib
    finally:
        ib.disconnect()


async def apple(ib: Any) -> Stock:
    contract = Stock("AAPL", "SMART", "USD")
    await ib.qualifyContractsAsync(contract)
    return contract


async def until(condition: Callable[[], Any], seconds: float = PATIENCE_SECONDS) -> Any:
    """What `condition` gives, once that is something."""
    async with asyncio.timeout(seconds):
        while not (found := condition()):
            await asyncio.sleep(0.005)
    return found


class OfficialClient(EWrapper, EClient):  # type: ignore[misc] # IB's classes ship no types
    """IB's own client in a thread; every callback is kept as (name, arguments)."""

    def __init__(self) -> None:
        EClient.__init__(self, self)
        self.news: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue()
        self._thread = threading.Thread(target=self.run, daemon=True)

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found) or not hasattr(EWrapper, name):
            return found

        def kept(*arguments: Any) -> None:
            self.news.put((name, arguments))

        return kept

    async def start(self, port: int, client_id: int) -> None:
        await asyncio.to_thread(self.connect, "127.0.0.1", port, client_id)
        self._thread.start()
        await self.next("nextValidId")

    async def next(self, *names: str) -> tuple[Any, ...]:
        """The arguments of the next callback of one of these names."""
        while True:
            name, arguments = await asyncio.to_thread(self.news.get, True, PATIENCE_SECONDS)
            if name in names:
                return arguments

    async def stop(self) -> None:
        # the socket alone: `disconnect` takes the server's version away from the thread that reads what came last
        if (connection := self.conn) is not None:
            await asyncio.to_thread(connection.disconnect)
        await asyncio.to_thread(self._thread.join, PATIENCE_SECONDS)


def official_apple() -> Contract:
    contract = Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = "AAPL", "STK", "SMART", "USD"
    return contract


def ledger_lines(ledger: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, ledger.read_text().splitlines()) if line["kind"] == kind]
