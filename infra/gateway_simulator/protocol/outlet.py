"""What leaves to one client: in order, held back, in pieces, or not at all; a reader that stands still is given up."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable

import structlog

from infra.gateway_simulator.faults.timetable import Entry, Timetable

HIGH_WATER = 1_000_000  # bytes unsent, from which the market waits for a reader
BUFFER_MAX = 32_000_000  # bytes unsent, from which a reader is given up
HELD_MAX = 100_000  # messages held back by a delay
DRAIN_SECONDS = 10.0  # how long the market waits for a reader before it is given up
TIMERS_MAX = 10_000


class Outlet:
    """The writing side of a connection; `name` is for the log."""

    def __init__(self, writer: asyncio.StreamWriter, timetable: Timetable) -> None:
        self._writer = writer
        self._timetable = timetable
        self._held: deque[bytes] = deque()
        self._holds = 0
        self._timers: deque[Entry] = deque(maxlen=TIMERS_MAX)
        self._broken_up: deque[memoryview] = deque()
        self._log = structlog.get_logger(service="gateway_simulator")
        self.is_open = True
        self.is_dead = False
        """Half-open: what is written goes nowhere."""
        self.fragment = 0
        """Bytes of a segment; 0 when the network decides."""

    def write(self, frame: bytes) -> None:
        if not self.is_open or self.is_dead:
            return
        if self._holds:
            self._held.append(frame)
            if len(self._held) > HELD_MAX:
                self._give_up("too much held back, closing")
            return
        if self.fragment or self._broken_up:
            self._break_up(frame)
            return
        self._writer.write(frame)
        if self.unsent > BUFFER_MAX:
            self._give_up("reader too slow, closing")

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        """For as long as the connection lives."""
        self._timers.append(self._timetable.after(seconds, call))

    def hold(self) -> None:
        """Keep everything back until `release`."""
        self._holds += 1

    def release(self) -> None:
        self._holds = max(0, self._holds - 1)
        while self._held and not self._holds:
            self.write(self._held.popleft())

    def _break_up(self, frame: bytes) -> None:
        """One piece at each turn of the loop, so that a reader meets them apart."""
        self._broken_up.append(memoryview(frame))
        if len(self._broken_up) == 1:
            asyncio.get_running_loop().call_soon(self._write_piece)
        elif len(self._broken_up) > HELD_MAX:
            self._give_up("too much in pieces, closing")

    def _write_piece(self) -> None:
        if not self.is_open or self.is_dead:
            self._broken_up.clear()
            return
        first = self._broken_up[0]
        size = self.fragment or len(first)
        self._writer.write(first[:size])
        if size < len(first):
            self._broken_up[0] = first[size:]
        else:
            self._broken_up.popleft()
        if self._broken_up:
            asyncio.get_running_loop().call_soon(self._write_piece)

    def _give_up(self, why: str) -> None:
        self._log.warning(why, unsent=self.unsent)
        self.abort()

    @property
    def unsent(self) -> int:
        transport: asyncio.WriteTransport = self._writer.transport
        return 0 if transport.is_closing() else transport.get_write_buffer_size()

    async def drained(self) -> None:
        """Once little is unsent; a reader that takes too long is given up."""
        if not self.is_open or self.unsent < HIGH_WATER:
            return
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await self.flush()
        except TimeoutError:
            self._give_up("reader stands still, closing")

    async def flush(self) -> None:
        with contextlib.suppress(ConnectionError):
            await self._writer.drain()

    def abort(self) -> None:
        """Close without sending what is left."""
        self.close()
        self._writer.transport.abort()

    def close(self) -> None:
        self.is_open = False
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._writer.close()
