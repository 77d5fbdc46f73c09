"""A wire that can be cut: TCP between services and one server, which breaks at a chosen message."""

import asyncio
import contextlib
import fcntl
import struct
import termios
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_CHUNK = 65_536
_HELLO = 1_024  # a client first asks for encryption, then says who it is
_CAUGHT_UP_SECONDS = 30.0

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
"""What comes from one side, and what goes to it."""


@dataclass
class Trap:
    """What happens at the `nth` message of `who` that holds `needle`: `act` is called, and the connection ends.

    `passed`: the part of the message that still reaches the server. When all of it does, its answer is awaited and
    kept back: the server has done what it was asked, and nobody hears of it.
    """

    needle: bytes
    nth: int
    passed: float
    act: Callable[[], None]
    who: bytes = b""
    sprung: bool = False


class Valve:
    """Lets everybody's bytes pass, or keeps some back."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._opened.set()
        self._who = b""

    def close(self, who: bytes = b"") -> None:
        """To connections whose first bytes hold `who`."""
        self._who = who
        self._opened.clear()

    def open(self) -> None:
        self._opened.set()

    async def passes(self, hello: bytes) -> None:
        """When it does."""
        if self._who in hello:
            await self._opened.wait()


class Proxy:
    """Listens on a port of its own and passes everything on to `port`; one that `notes` keeps what clients wrote."""

    def __init__(self, port: int, *, notes: bool = False) -> None:
        self.heard = bytearray()
        """What was noted, of all clients."""
        self._notes = notes
        self._target = port
        self._server: asyncio.Server | None = None
        self._port = 0
        self._valve = Valve()
        self._links: set[Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.traps: list[Trap] = []

    @property
    def port(self) -> int:
        assert self._port, "the proxy has not been started"
        return self._port

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(self._protocol, "127.0.0.1", 0)
        self._port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._server is not None, "the proxy has not been started"
        self._server.close()
        self._valve.open()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def freeze(self, who: bytes = b"") -> None:
        """Sockets stay, nothing passes, also on new ones; only of those whose first bytes hold `who`."""
        self._valve.close(who)

    def thaw(self) -> None:
        self._valve.open()

    def cut(self, who: bytes = b"") -> None:
        """End every connection whose first bytes hold `who`."""
        for link in tuple(self._links):
            if who in link.hello:
                link.end()

    def set(self, trap: Trap) -> Trap:
        self.traps.append(trap)
        return trap

    async def caught_up(self) -> None:
        """Until all that clients have written by now is noted, whether it can be passed on or not."""
        async with asyncio.timeout(_CAUGHT_UP_SECONDS):
            while any(link.unread for link in self._links):
                await asyncio.sleep(0)

    def _protocol(self) -> asyncio.BaseProtocol:
        reader = _NotingReader(self.heard) if self._notes else asyncio.StreamReader()
        return asyncio.StreamReaderProtocol(reader, self._connected)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._pass_on(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError):  # the server has gone: so does the connection
                await self._serve(reader, writer)
        finally:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", self._target)
        link = self._linked((reader, writer), there)
        self._links.add(link)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(link.to_server(self.traps))
                both.create_task(link.to_client())
        except* OSError:
            pass  # one side has gone: so does the connection
        finally:
            self._links.discard(link)
            link.end()

    def _linked(self, client: Ends, server: Ends) -> "Link":
        return Link(client, server, self._valve)


class _NotingReader(asyncio.StreamReader):
    """Notes what comes, at once: whoever reads it here may have to wait."""

    def __init__(self, heard: bytearray) -> None:
        super().__init__()
        self._heard = heard

    def feed_data(self, data: Any) -> None:
        self._heard += data
        super().feed_data(data)


class Link:
    """One connection through the proxy."""

    def __init__(self, client: Ends, server: Ends, valve: Valve) -> None:
        self._client, self._server, self._valve = client, server, valve
        self._sprung: Trap | None = None
        self.hello = b""

    @property
    def unread(self) -> int:
        """Bytes of the client's that wait in the system."""
        transport = self._client[1].transport
        if transport.is_closing():
            return 0
        waiting = fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, bytes(4))
        return int(struct.unpack("i", waiting)[0])

    def end(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def to_server(self, traps: list[Trap]) -> None:
        reader, writer = self._client[0], self._server[1]
        while part := await self._next(reader):
            self.hello = (self.hello + part)[:_HELLO]
            await self._valve.passes(self.hello)
            trap = next((each for each in traps if self._springs(each, part)), None)
            if trap is None:
                writer.write(part)
            elif trap.passed >= 1.0:
                self._sprung = trap  # the answer ends it
                writer.write(part)
            else:
                writer.write(part[: int(len(part) * trap.passed)])
                await writer.drain()
                trap.act()
                break
            await writer.drain()
        self.end()

    async def to_client(self) -> None:
        reader, writer = self._server[0], self._client[1]
        while part := await self._next(reader):
            await self._valve.passes(self.hello)
            if self._sprung is not None:
                self._sprung.act()
                break
            writer.write(part)
            await writer.drain()
        self.end()

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        """What comes next; empty at the end."""
        return await reader.read(_CHUNK)

    def _springs(self, trap: Trap, part: bytes) -> bool:
        if trap.sprung or trap.who not in self.hello or trap.needle not in part:
            return False
        trap.nth -= 1
        trap.sprung = trap.nth <= 0
        return trap.sprung
