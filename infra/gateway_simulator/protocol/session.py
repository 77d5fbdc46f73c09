"""One client's connection: handshake, bounded reading, what becomes of a request, and what leaves as an answer."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol

import structlog

from infra.gateway_simulator.faults.actions import Action
from infra.gateway_simulator.faults.armed import Event, Faults, sent_event
from infra.gateway_simulator.faults.lies import frame_told
from infra.gateway_simulator.faults.timetable import Timetable
from infra.gateway_simulator.faults.weather import ABOUT_ORDERS, Verdict, Weather
from infra.gateway_simulator.instruments.calendar import local
from infra.gateway_simulator.protocol import codes
from infra.gateway_simulator.protocol.names import (
    CANCEL_HISTORICAL_DATA,
    ERROR,
    HISTORICAL_DATA,
    SENT,
    START_API,
    id_in,
    request_of,
)
from infra.gateway_simulator.protocol.outlet import HIGH_WATER as HIGH_WATER
from infra.gateway_simulator.protocol.outlet import Outlet
from infra.gateway_simulator.protocol.pacing import VIOLATIONS_MAX, MessageRate
from infra.gateway_simulator.protocol.waiting import Waiting
from infra.gateway_simulator.protocol.wire import (
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
_STAYS_AT = 21  # where a request for history says that it is to be kept up to date
TRAP_SECONDS = 1.5  # how long nothing follows a message that ends on the edge of a chunk
CANCELLED_HISTORY = "Historical Market Data Service error message:API historical data query cancelled: {}"


class Desk(Protocol):
    """What a session needs of the gateway behind it."""

    @property
    def faults(self) -> Faults: ...
    @property
    def weather(self) -> Weather: ...
    @property
    def timetable(self) -> Timetable: ...
    @property
    def rate(self) -> MessageRate: ...
    def market_now(self) -> float: ...
    def greet(self, session: "Session") -> None: ...
    def admit(self, session: "Session") -> bool: ...
    def dismiss(self, session: "Session") -> None: ...
    def judge(self, session: "Session", message: int, values: list[str]) -> Verdict: ...
    def worded(self, session: "Session", values: tuple[Value, ...], symbol: str) -> tuple[Value, ...] | None: ...
    def request_event(self, session: "Session", message: int, values: list[str]) -> Event: ...
    def perform(self, action: Action, event: Event) -> None: ...
    def object_to(self, session: "Session", event: Event, action: Action) -> None: ...
    async def serve(self, session: "Session", message: int, fields: Fields) -> None: ...


class Session:
    """Speaks with one client; `version` is negotiated, `client_id` known once it has started the API."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, desk: Desk) -> None:
        self._reader = reader
        self._writer = writer
        self._desk = desk
        self._outlet = Outlet(writer, desk.timetable)
        self._too_fast = 0
        self._waiting = Waiting()
        self._resuming: asyncio.Task[None] | None = None
        self._moving = asyncio.Event()
        self._moving.set()
        self._log = structlog.get_logger(service="gateway_simulator")
        self.version = 0
        self.client_id = -1
        self.rate_limited = True
        self.streams: set[int] = set()
        """Requests for history that stay up to date."""
        self.dead_streams: set[int] = set()

    @property
    def is_open(self) -> bool:
        return self._outlet.is_open

    async def run(self) -> None:
        """Until the client leaves, misbehaves or is sent away."""
        try:
            self._desk.greet(self)
            await self._moving.wait()
            await self._shake_hands()
            if self._desk.admit(self):
                await self._listen()
            else:
                await self._outlet.flush()
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
            self._outlet.write(encode((self.version, started)))
            fields = Fields(await read_message(self._reader))
        if fields.whole() != START_API:
            raise WireError("the first message must be startApi")
        fields.skip(1)
        self.client_id = fields.whole()

    async def _listen(self) -> None:
        while self.is_open:
            values = await read_message(self._reader)
            await self._moving.wait()
            if not self.is_open:
                return
            if self.rate_limited and not self._desk.rate.permits():
                self.error(-1, 100, codes.TEXTS[100])
                self._too_fast += 1
                if self._too_fast >= VIOLATIONS_MAX:
                    raise WireError("more than 50 messages per second, three times")
                continue
            await self._take(Fields(values).whole(), values)

    # what becomes of a request

    async def _take(self, message: int, values: list[str]) -> None:
        event = self._desk.request_event(self, message, values)
        action = self._desk.faults.due(event)
        served = 1
        if action is not None:
            served = await self._misled(action, event)
        for _ in range(served):
            await self._judged(message, values)
        if action is not None and action.error is not None:
            self._desk.object_to(self, event, action)
        if action is not None and action.close:
            self.close()

    async def _misled(self, action: Action, event: Event) -> int:
        """A fault on the way in; how often the request is to be served."""
        self._desk.perform(action, event)
        if action.delay:
            await self._desk.timetable.sleep(action.delay)
        if action.drop or action.close or (action.error is not None and action.error.order == "refused"):
            return 0
        return 1 + action.duplicate

    async def _judged(self, message: int, values: list[str]) -> None:
        verdict = self._desk.judge(self, message, values)
        overtakes = message in ABOUT_ORDERS and self._waiting.has_orders()
        if verdict is Verdict.HELD or (verdict is Verdict.SERVED and overtakes):
            self._waiting.add(values)
        elif verdict is Verdict.SERVED:
            await self._serve(message, values)

    async def _serve(self, message: int, values: list[str]) -> None:
        if message in (HISTORICAL_DATA, CANCEL_HISTORICAL_DATA):
            number = id_in(request_of(message), values) or 0
            self._follow_stream(number, message == HISTORICAL_DATA and values[_STAYS_AT : _STAYS_AT + 1] == ["1"])
            if message == CANCEL_HISTORICAL_DATA and self._waiting.remove_history(number):
                self.error(number, 162, CANCELLED_HISTORY.format(number))
                return
        fields = Fields(values)
        fields.skip(1)
        try:
            await self._desk.serve(self, message, fields)
        except WireError as error:
            self.error(-1, 320, f"Error reading request. {error}")

    def _follow_stream(self, number: int, stays: bool) -> None:
        self.dead_streams.discard(number)
        self.streams.discard(number)
        if stays:
            self.streams.add(number)

    def resume(self) -> None:
        """What requests waited for may be back."""
        if len(self._waiting) and (self._resuming is None or self._resuming.done()):
            self._resuming = asyncio.create_task(self._serve_waiting())
            self._resuming.add_done_callback(self._resumed)

    async def _serve_waiting(self) -> None:
        await self._waiting.serve(
            lambda values: self._desk.judge(self, int(values[0]), values),
            lambda values: self._serve(int(values[0]), values),
        )

    def _resumed(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (bug := task.exception()) is not None:
            self._log.error("a session broke", exc_info=bug)
            self.abort()

    # what leaves

    def send(self, *values: Value, event: str = "", symbol: str = "", order_id: int | None = None) -> None:
        """Write one message; `event` names what it is to the desks, for faults."""
        if not self.is_open:
            return
        desk = self._desk
        told: tuple[Value, ...] | None = values
        if not desk.weather.calm or self.dead_streams:
            told = desk.worded(self, values, symbol)
        if told is None:
            return
        awaited = desk.faults.awaited
        if awaited and (event in awaited or SENT.get(told[0]) in awaited):
            happened = sent_event(told, (event, self.client_id, symbol, order_id))
            action = desk.faults.due(happened)
            if action is not None:
                self._misbehave(told, action, happened)
                return
        self._outlet.write(encode(told))

    def error(self, request_id: int, code: int, text: str, *, order_id: int | None = None) -> None:
        rejection: tuple[Value, ...] = ("",) if self.version >= 166 else ()
        event = "cancel sent" if code == 202 else "error sent"
        self.send(ERROR, 2, request_id, code, text, *rejection, event=event, order_id=order_id)

    def _misbehave(self, values: tuple[Value, ...], action: Action, event: Event) -> None:
        if action.before:
            self._desk.perform(action, event)
        frame = frame_told(values, action, self.version)
        frames = [] if action.drop else [frame] * (1 + action.duplicate)
        if action.delay and not action.overtake:
            self._held_back(action.delay)
        for each in frames:
            if action.delay and action.overtake:
                self._outlet.later(action.delay, partial(self._outlet.write, each))
            else:
                self._outlet.write(each)
        if action.echo:
            self._outlet.later(action.echo, partial(self._outlet.write, frame))
        if action.short_read:
            self._held_back(TRAP_SECONDS)
        if action.close or action.cut:
            self.close()
        if not action.before:
            self._desk.perform(action, event)

    def _held_back(self, seconds: float) -> None:
        """What comes from now on waits; what is written before `hold` does not."""
        self._outlet.hold()
        self._outlet.later(seconds, self._outlet.release)

    # silence and the end

    def freeze(self, *, lost: bool) -> None:
        """Read nothing and write nothing; what was to be written is `lost`, or leaves at the thaw."""
        self._moving.clear()
        self._reading("pause_reading")
        self._outlet.is_dead = self._outlet.is_dead or lost
        if not lost:
            self._outlet.hold()

    def thaw(self) -> None:
        self._moving.set()
        self._outlet.release()
        self._reading("resume_reading")

    def _reading(self, change: str) -> None:
        switch: Callable[[], None] | None = getattr(self._writer.transport, change, None)
        if switch is not None and not self._writer.transport.is_closing():
            switch()

    def break_up(self, size: int) -> None:
        """From now on everything leaves in segments of `size` bytes; 0 ends that."""
        self._outlet.fragment = size

    @property
    def unsent(self) -> int:
        return self._outlet.unsent

    async def drained(self) -> None:
        await self._outlet.drained()

    def abort(self) -> None:
        """Close without sending what is left."""
        self._outlet.abort()
        self.close()

    def close(self) -> None:
        self._moving.set()
        if self._resuming is not None:
            self._resuming.cancel()
        self._outlet.close()
