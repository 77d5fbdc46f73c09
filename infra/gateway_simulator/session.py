"""One client's connection: handshake, reading with bounds, ordered writing that survives slow and dead readers."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog

from infra.clock import Clock
from infra.gateway_simulator.calendar import local
from infra.gateway_simulator.faults import Action, Event, Faults
from infra.gateway_simulator.pacing import MessageRate
from infra.gateway_simulator.wire import (
    VERSION_MAX,
    VERSION_MIN,
    Fields,
    Value,
    WireError,
    encode,
    read_hello,
    read_message,
)

HELLO_SECONDS = 10.0
HIGH_WATER = 1_000_000  # bytes unsent, from which the market waits for a reader
BUFFER_MAX = 32_000_000  # bytes unsent, from which a reader is given up
HELD_MAX = 100_000  # messages held back by a delay
DRAIN_SECONDS = 10.0  # how long the market waits for a reader before it is given up

START_API = 71

_INCOMING = {3: "placeOrder received", 4: "cancelOrder received"}


class Desk(Protocol):
    """What a session needs of the gateway behind it."""

    @property
    def clock(self) -> Clock: ...
    @property
    def faults(self) -> Faults: ...
    def market_now(self) -> float: ...
    def admit(self, session: "Session") -> bool: ...
    def dismiss(self, session: "Session") -> None: ...
    async def serve(self, session: "Session", message: int, fields: Fields) -> None: ...


class Session:
    """Speaks with one client; `version` is negotiated, `client_id` known once it has started the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, desk: Desk) -> None:
        self._reader = reader
        self._writer = writer
        self._desk = desk
        self._rate = MessageRate(desk.clock)
        self._held: deque[bytes] = deque()
        self._holding = False
        self._timers: set[asyncio.TimerHandle] = set()
        self._log = structlog.get_logger(service="gateway_simulator")
        self.version = 0
        self.client_id = -1
        self.is_open = True
        self.rate_limited = True

    async def run(self) -> None:
        """Until the client leaves, misbehaves or is sent away."""
        try:
            await self._shake_hands()
            if self._desk.admit(self):
                await self._listen()
            else:
                await self._flush()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the peer has gone, which needs no words
        except TimeoutError:
            self._log.warning("no handshake in time, closing", seconds=HELLO_SECONDS)
        except WireError as error:
            self._log.warning("not the protocol, closing", client_id=self.client_id, reason=str(error))
        finally:
            self._desk.dismiss(self)
            self.close()

    async def _shake_hands(self) -> None:
        async with asyncio.timeout(HELLO_SECONDS):
            lowest, highest = await read_hello(self._reader)
            self.version = min(highest, VERSION_MAX)
            if self.version < max(lowest, VERSION_MIN):
                raise WireError(f"versions {lowest}..{highest} do not meet {VERSION_MIN}..{VERSION_MAX}")
            started = f"{local(self._desk.market_now()):%Y%m%d %H:%M:%S} EST"
            self._write(encode((self.version, started)))
            fields = Fields(await read_message(self._reader))
        if fields.whole() != START_API:
            raise WireError("the first message must be startApi")
        fields.skip(1)
        self.client_id = fields.whole()

    async def _listen(self) -> None:
        while self.is_open:
            values = await read_message(self._reader)
            fields = Fields(values)
            message = fields.whole()
            if self.rate_limited and not self._rate.permits():
                self.error(-1, 100, "Max rate of messages per second has been exceeded")
                if self._rate.is_hopeless:
                    raise WireError("more than 50 messages per second, three times")
                continue
            for _ in range(await self._received(message, values)):
                await self._serve(message, fields)
                fields = Fields(values[1:])

    async def _serve(self, message: int, fields: Fields) -> None:
        try:
            await self._desk.serve(self, message, fields)
        except WireError as error:
            self.error(-1, 320, f"Error reading request. {error}")

    async def _received(self, message: int, values: list[str]) -> int:
        """Faults that wait for this message; how often it is to be served."""
        order_id = int(values[1]) if message in _INCOMING and len(values) > 1 and values[1].isdecimal() else None
        symbol = values[3] if message == 3 and len(values) > 3 else ""
        served = 1
        for name in ("request received", _INCOMING.get(message)):
            event = Event(name, self.client_id, symbol, order_id, message) if name else None
            action = self._desk.faults.due(event) if event else None
            if action is None:
                continue
            self._desk.faults.strike(action)
            if action.delay:
                await asyncio.sleep(action.delay)
            if action.close:
                self.close()
            served = 0 if action.drop or action.close else served + action.duplicate
        return served

    def send(self, *values: Value, event: str = "", symbol: str = "", order_id: int | None = None) -> None:
        """Write one message; `event` names it for faults."""
        if not self.is_open:
            return
        frame = encode(values)
        action = self._desk.faults.due(Event(event, self.client_id, symbol, order_id)) if event else None
        if action is None:
            self._write(frame)
        else:
            self._misbehave(frame, action)

    def error(self, request_id: int, code: int, text: str, *, order_id: int | None = None) -> None:
        rejection: tuple[Value, ...] = ("",) if self.version >= 166 else ()
        event = "cancel sent" if code == 202 else "error sent"
        self.send(4, 2, request_id, code, text, *rejection, event=event, order_id=order_id)

    def _misbehave(self, frame: bytes, action: Action) -> None:
        if action.before:
            self._desk.faults.strike(action)
        whole = frame[: action.cut] if action.cut else frame
        frames = [] if action.drop else [whole] * (1 + action.duplicate)
        if action.delay and action.overtake:
            for each in frames:
                self._later(action.delay, partial(self._write, each))
        else:
            if action.delay:
                self._holding = True
                self._later(action.delay, self._release)
            for each in frames:
                self._write(each)
        if action.close or action.cut:
            self.close()
        if not action.before:
            self._desk.faults.strike(action)

    def _later(self, seconds: float, call: Callable[[], None]) -> None:
        self._timers.add(asyncio.get_running_loop().call_later(seconds, call))

    def _release(self) -> None:
        self._holding = False
        while self._held:
            self._write(self._held.popleft())

    def _write(self, frame: bytes) -> None:
        if not self.is_open:
            return
        if self._holding:
            self._held.append(frame)
            if len(self._held) > HELD_MAX:
                self._log.warning("too much held back, closing", client_id=self.client_id)
                self.abort()
            return
        self._writer.write(frame)
        if self.unsent > BUFFER_MAX:
            self._log.warning("reader too slow, closing", client_id=self.client_id, unsent=self.unsent)
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
                await self._flush()
        except TimeoutError:
            self._log.warning("reader stands still, closing", client_id=self.client_id, unsent=self.unsent)
            self.abort()

    async def _flush(self) -> None:
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
