"""A wire to Kafka: it carries whole requests and answers, and may lose them, hold them up or break within one."""

import asyncio
import contextlib
import struct
from collections.abc import Iterator

from tests.faultlab.proxy import Ends, Link, Proxy, Trap, Valve

_SIZE = struct.Struct(">i")
_PRODUCE = struct.pack(">h", 0)
"""The first field of a request says what is asked for."""
_HOST = b"127.0.0.1"


class KafkaWire(Proxy):
    """Where the broker tells its clients the port that it listens on, they are told this one instead."""

    def __init__(self, port: int) -> None:
        super().__init__(port)
        self.latency_seconds = 0.0
        """Of each request, and of each answer."""
        self.held_up = 0
        """Frames that came late."""
        self.lost = 0
        """Frames that never came."""
        self._heard: list[bytes] | None = None
        self._half_open = False

    @contextlib.contextmanager
    def half_open(self) -> Iterator[None]:
        """Connections stay and are made, and nothing that is said arrives; in the end they break."""
        self._half_open = True
        try:
            yield
        finally:
            self.cut()
            self._half_open = False

    @contextlib.contextmanager
    def watched(self) -> Iterator[list[bytes]]:
        """Everything that is asked and answered while this lasts."""
        heard: list[bytes] = []
        self._heard = heard
        try:
            yield heard
        finally:
            self._heard = None

    async def lets_pass(self, frame: bytes) -> bool:
        """Holds a frame up for as long as frames are late; False when it is lost."""
        if self._heard is not None:
            self._heard.append(frame)
        if self._half_open:
            self.lost += 1
            return False
        if self.latency_seconds:
            self.held_up += 1
            await asyncio.sleep(self.latency_seconds)
        return True

    def told(self, answer: bytes) -> bytes:
        """An answer, with this port for the broker's."""
        return answer.replace(_HOST + _SIZE.pack(self._target), _HOST + _SIZE.pack(self.port))

    def _linked(self, client: Ends, server: Ends) -> Link:
        return _KafkaLink(client, server, self._valve, self)


class _KafkaLink(Link):
    """Passes on frame by frame; a trap is sprung by a request to produce alone."""

    def __init__(self, client: Ends, server: Ends, valve: Valve, wire: KafkaWire) -> None:
        super().__init__(client, server, valve)
        self._wire = wire

    async def _next(self, reader: asyncio.StreamReader) -> bytes:
        while True:
            try:
                size = await reader.readexactly(_SIZE.size)
                frame = size + await reader.readexactly(_SIZE.unpack(size)[0])
            except asyncio.IncompleteReadError:
                return b""
            if await self._wire.lets_pass(frame):
                return self._wire.told(frame) if reader is self._server[0] else frame

    def _springs(self, trap: Trap, part: bytes) -> bool:
        return is_produce(part) and super()._springs(trap, part)


def is_produce(frame: bytes) -> bool:
    """Whether a request wants records to be written."""
    return frame[_SIZE.size : _SIZE.size + len(_PRODUCE)] == _PRODUCE
