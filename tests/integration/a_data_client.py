"""A client that speaks the wire protocol by hand: every byte that comes is kept, and decoded by whoever asks."""

import asyncio
import contextlib
import logging
import struct
from collections.abc import AsyncIterator
from typing import Any, cast

from ib_insync.decoder import Decoder

from infra.gateway_simulator.protocol.names import answer_of
from infra.gateway_simulator.protocol.wire import Value, encode
from infra.gateway_simulator.server import SimulatorServer
from tests.integration.a_gateway_simulator import until

APPLE = (0, "AAPL", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")
IBM = (0, "IBM", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")
DIRECT = (0, "AAPL", "STK", "", 0.0, "", "", "ISLAND", "", "USD", "", "")


class DataClient:
    """Requests by their numbers, answers as fields."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, version: int) -> None:
        self._reader = reader
        self._writer = writer
        self._reading: asyncio.Task[None] | None = None
        self._said = bytearray()
        self.version = version
        self.raw = bytearray()
        self.messages: list[list[str]] = []

    async def start(self, client_id: int) -> None:
        offer = f"v{self.version}..{self.version}".encode()
        self._writer.write(b"API\0" + struct.pack(">I", len(offer)) + offer)
        await self._read()
        self.ask(71, 2, client_id, "")
        self._reading = asyncio.create_task(self._listen())
        await until(lambda: self.told(9))

    async def stop(self) -> None:
        self._writer.close()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def ask(self, *values: Value) -> None:
        """What is asked together comes in one piece, and is served in the same order every time."""
        if not self._said:
            asyncio.get_running_loop().call_soon(self._send)
        self._said += encode(values)

    def _send(self) -> None:
        self._writer.write(bytes(self._said))
        self._said.clear()

    async def answered(self, *values: Value, by: int, number: int) -> list[str]:
        """Ask, and give the first answer of that kind with that request id."""
        self.ask(*values)
        return cast(list[str], await until(lambda: next(iter(self.told(by, number)), None)))

    def told(self, message: int, number: int | None = None) -> list[list[str]]:
        """All messages of a kind, or those with that request id."""
        found = [each for each in self.messages if each[0] == str(message)]
        place = answer_of(message).id_at
        return found if number is None else [each for each in found if each[place] == str(number)]

    def errors(self, number: int) -> list[tuple[int, str]]:
        return [(int(each[3]), each[4]) for each in self.told(4) if each[2] == str(number)]

    async def caught_up(self) -> None:
        """Once everything that was on its way has come: the gateway answers in order."""
        known = len(self.told(49))
        self.ask(49, 1)
        await until(lambda: len(self.told(49)) > known)

    async def _listen(self) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                self.messages.append((await self._read())[:-1])

    async def _read(self) -> list[str]:
        head = await self._reader.readexactly(4)
        payload = await self._reader.readexactly(*struct.unpack(">I", head))
        self.raw += head + payload
        return payload.decode().split("\0")


@contextlib.asynccontextmanager
async def a_data_client(server: SimulatorServer, client_id: int = 1, version: int = 176) -> AsyncIterator[DataClient]:
    client = DataClient(*await asyncio.open_connection("127.0.0.1", server.port, limit=2**24), version)
    await client.start(client_id)
    try:
        yield client
    finally:
        await client.stop()


class Heard:
    """Stands in for a wrapper: keeps every callback."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, *arguments))


class _Raise(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise AssertionError(record.getMessage())


def decoded(message: list[str], version: int) -> list[tuple[Any, ...]]:
    """The callbacks that ib_insync makes of a message; one that it cannot decode fails."""
    heard = Heard()
    decoder = cast(Any, Decoder)(heard, version)
    decoder.logger = logging.Logger("decoder")
    decoder.logger.addHandler(_Raise())
    decoder.interpret(message)
    return heard.calls
