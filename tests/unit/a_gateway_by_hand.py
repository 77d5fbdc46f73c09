"""A gateway whose clocks only a test moves, and clients without a socket, who say and hear lists of fields."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from infra.clock import ManualClock, SeededEntropy
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.launch import market_time
from infra.gateway_simulator.protocol.session import Session

MORNING = "2013-02-28T10:00:00-05:00"
APPLE = ("265598", "AAPL", "STK", "", "", "", "", "SMART", "", "USD", "", "")
TURNS = 40  # of the loop, until everything that is to follow has followed


async def settle() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


class _Line(asyncio.Transport):
    """A connection in memory: keeps what is written."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._reader = reader
        self._closing = False
        self.written: list[bytes] = []
        self.reads = True

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._reader.feed_eof()

    abort = close

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True


class Client:
    """Speaks version 176; `heard` are the messages that came, oldest first."""

    def __init__(self, gateway: Gateway, client_id: int) -> None:
        loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader()
        self.line = _Line(self._reader)
        protocol = asyncio.StreamReaderProtocol(self._reader)
        writer = asyncio.StreamWriter(self.line, protocol, self._reader, loop)
        self.session = Session(self._reader, writer, gateway.reception)
        self._running = asyncio.create_task(self.session.run())
        self._client_id = client_id

    async def connect(self) -> None:
        self._reader.feed_data(b"API\0" + struct.pack(">I", 9) + b"v100..176")
        await self.say(71, 2, self._client_id, "")

    async def say(self, *fields: object) -> None:
        payload = "".join(f"{each}\0" for each in fields).encode()
        self._reader.feed_data(struct.pack(">I", len(payload)) + payload)
        await settle()

    @property
    def raw(self) -> bytes:
        return b"".join(self.line.written)

    @property
    def heard(self) -> list[list[str]]:
        found, rest = [], self.raw
        while len(rest) >= 4 and len(rest) >= 4 + (length := struct.unpack(">I", rest[:4])[0]):
            found.append(rest[4 : 4 + length].decode().split("\0")[:-1])
            rest = rest[4 + length :]
        return found

    def of(self, message: int) -> list[list[str]]:
        return [each for each in self.heard if each[0] == str(message)]

    def codes(self) -> list[int]:
        """Of all errors and notices so far."""
        return [int(each[3]) for each in self.of(4)]

    def forget(self) -> None:
        self.line.written.clear()

    async def order(self, order_id: int, **terms: Any) -> None:
        await self.say(*placement(order_id, **terms))

    async def leave(self) -> None:
        """Its machine says goodbye; a gateway that does not read does not hear it."""
        self._reader.feed_eof()
        await settle()

    async def stop(self) -> None:
        self._running.cancel()
        await asyncio.gather(self._running, return_exceptions=True)


def placement(order_id: int, **terms: Any) -> list[object]:
    """placeOrder at 176, a market order for 100 AAPL unless it is said otherwise."""
    fields: list[object] = [""] * 115
    fields[:2] = [3, order_id]
    fields[2:14] = APPLE
    chosen = {"action": "BUY", "quantity": 100, "kind": "MKT", "limit": "", "ref": f"intent-{order_id}"} | terms
    fields[16:20] = [chosen["action"], chosen["quantity"], chosen["kind"], chosen["limit"]]
    fields[21], fields[26], fields[27] = "DAY", chosen["ref"], 1
    for place in (81, 82, 85, 90):
        fields[place] = 0
    return fields


def history(request_id: int, duration: str = "1 D", size: str = "1 min", stays: int = 0) -> list[object]:
    return [20, request_id, *APPLE, 0, "", size, duration, 1, "TRADES", 1, stays, ""]


class Hand:
    """Moves the clocks of one gateway, and brings clients to it."""

    def __init__(self, gateway: Gateway, clock: ManualClock) -> None:
        self.gateway = gateway
        self.clock = clock
        self.clients: list[Client] = []

    async def client(self, client_id: int = 1, *, connects: bool = True) -> Client:
        made = Client(self.gateway, client_id)
        self.clients.append(made)
        if connects:
            await made.connect()
        return made

    async def wall(self, seconds: float) -> None:
        """Let wall time pass; market time stands."""
        self.clock.advance(seconds)
        self.gateway.timetable.play()
        await settle()

    async def market(self, seconds: float) -> None:
        await self.gateway.advance(seconds)
        await settle()

    async def at_once(self) -> None:
        await self.wall(0)

    async def do(self, **action: Any) -> None:
        self.gateway.director.do(action)
        await settle()

    @property
    def fired(self) -> list[dict[str, object]]:
        return list(self.gateway.faults.fired)


@contextlib.asynccontextmanager
async def by_hand(now: str = MORNING, **options: Any) -> AsyncIterator[Hand]:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    gateway = Gateway(Options(start=market_time(now), speed=0.0, **options), clock, SeededEntropy(1))
    hand = Hand(gateway, clock)
    try:
        yield hand
    finally:
        for client in hand.clients:
            await client.stop()
        gateway.shared.ledger.close()
