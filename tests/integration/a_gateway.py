"""Gateways for tests: the simulator, and one of a few lines that says exactly what it is told to."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path

from infra.clock import SystemClock, SystemEntropy
from infra.gateway import ClientSlot, Connection
from infra.gateway.pacing import Governor
from infra.gateway.slots import Timing
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.server import Address, SimulatorServer
from infra.settings import Settings
from tests.integration.conftest import settings_of_this_run

ACCOUNT = "DU1234567"
QUICK = Timing(hello=60.0, heartbeat=0.1, silence=60.0, request=60.0, delay_first=0.05, delay_max=0.1)
"""Comes back quickly, and gives up nothing that a busy machine only makes late."""
HASTY = Timing(hello=0.5, heartbeat=0.1, silence=2.0, request=0.5, delay_first=0.05, delay_max=0.1)
"""Gives up soon: where giving up is what is waited for."""

Fields = Sequence[object]
Answer = Callable[["Peer", list[str]], Awaitable[None] | None]


def framed(*fields: object) -> bytes:
    payload = b"".join(str(field).encode() + b"\0" for field in fields)
    return len(payload).to_bytes(4, "big") + payload


class Peer:
    """One client's connection, seen from the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def say(self, *fields: object) -> None:
        self.writer.write(framed(*fields))

    def error(self, request_id: object, code: int, text: str) -> None:
        self.say(4, 2, request_id, code, text, "")

    async def hear(self) -> list[str]:
        size = int.from_bytes(await self.reader.readexactly(4), "big")
        return (await self.reader.readexactly(size)).decode().split("\0")[:-1]


class ScriptedGateway:
    """Logs clients on, answers the current time, and the rest as the test says."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}
        self.peers: list[Peer] = []
        self.heard: list[list[str]] = []
        self.version = 176
        self.frozen = False
        """Accept connections and bytes, say nothing."""
        self.refuse_client_id = False
        self.epoch = 1362061800
        """Market time: 14:30 UTC on 28 February 2013."""
        self.port = 0
        self._server: asyncio.Server | None = None

    @property
    def peer(self) -> Peer:
        return self.peers[-1]

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for peer in self.peers:
                peer.writer.close()
            self._server = None

    def requests(self, message_id: int) -> list[list[str]]:
        return [fields for fields in self.heard if fields[0] == str(message_id)]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(4)  # API and NUL
            await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big"))
            if not self.frozen:
                peer.say(self.version, "20130228 09:25:00 EST")
            while True:
                fields = await peer.hear()
                if not self.frozen:
                    await self._on(peer, fields)
        writer.close()

    async def _on(self, peer: Peer, fields: list[str]) -> None:
        self.heard.append(fields)
        match int(fields[0]):
            case 71 if self.refuse_client_id:
                peer.error(-1, 326, "Unable to connect as the client id is already in use.")
                await peer.writer.drain()
                peer.writer.close()
            case 71:
                self.peers.append(peer)
                peer.say(15, 1, ACCOUNT)
                peer.say(9, 1, 1)
            case 49:
                peer.say(49, 1, self.epoch)
            case number if answer := self.answers.get(number):
                outcome = answer(peer, fields)
                if outcome is not None:
                    await outcome


@contextlib.asynccontextmanager
async def scripted_gateway() -> AsyncIterator[ScriptedGateway]:
    gateway = ScriptedGateway()
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.stop()


@contextlib.asynccontextmanager
async def simulator(
    *, now: str = "2013-02-28T09:30:00-05:00", speed: float = 1.0, port: int = 0
) -> AsyncIterator[SimulatorServer]:
    """The gateway simulator in the test's own loop."""
    options = Options(start=datetime.fromisoformat(now).timestamp(), speed=speed)
    server = SimulatorServer(Gateway(options, SystemClock(), SystemEntropy()), Address(port=port))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def gateway_settings(port: int, **changes: object) -> Settings:
    return settings_of_this_run(Path("/nonexistent")).model_copy(update={"ib_port": port, **changes})


@contextlib.asynccontextmanager
async def connected(
    settings: Settings,
    *,
    slot: ClientSlot = ClientSlot.DATA_FARMER,
    timing: Timing = QUICK,
    prepare: Callable[[Connection], object] = lambda _: None,
    wait: bool = True,
    governor: Governor | None = None,
) -> AsyncIterator[Connection]:
    connection = Connection(settings, slot, timing=timing, governor=governor)
    prepare(connection)
    await connection.start()
    try:
        if wait:
            await connection.usable(30)
        yield connection
    finally:
        await connection.stop()


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)
