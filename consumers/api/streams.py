"""Live events to a client that stays: as server-sent events, or over a WebSocket."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Protocol

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client import Counter as Count
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from consumers.api.access import Caller
from consumers.api.backlog import Backlog, TooMuchError
from consumers.api.problems import InvalidError, TooManyError, UnavailableError
from consumers.api.reels import Begun, Entry, Follower, Gap, Kind, News, Offsets, Wish, place_of
from infra.delivery import MalformedRecordError, Record

CLIENTS_MAX = 200
CLIENTS_OF_A_KEY_MAX = 20
_HEARTBEAT_SECONDS = 15.0
_SLOW_SECONDS = 10.0
"""A client that does not take what it is sent for so long is let go."""
_LAGS_MAX = 10
"""So many times in a row more came than a client took: it is told so, and let go."""
_LAGGING = f"{_LAGS_MAX} times in a row more came than was taken: come back, and read faster or ask for fewer kinds"
_TOO_SLOW = f"nothing was taken for {_SLOW_SECONDS:.0f} s: come back, and read faster or ask for fewer kinds"


_STOPPING = "the service stops: come back in a moment"


class _LaggingError(Exception):
    """The client is behind, again and again."""


class Tape(Protocol):
    """Where the last events are."""

    def follow(self, wish: Wish) -> Follower: ...

    def recalled(self, records: Sequence[Record]) -> list[Entry]: ...

    def kind_of(self, topic: str) -> Kind: ...


def place_named(text: str | None, kinds: Iterable[Kind]) -> Offsets | None:
    """Where a client says that it was; InvalidError when it is no place."""
    if text is None:
        return None
    place = place_of(text, kinds)
    if place is None:
        raise InvalidError(
            "Last-Event-ID is not an id of one of these events: leave it out to begin with the newest",
            "header.last-event-id",
        )
    return place


class Streams:
    """All clients that follow; one more than there is room for is refused."""

    def __init__(self, tape: Tape, backlog: Backlog, registry: CollectorRegistry) -> None:
        self._tape = tape
        self._backlog = backlog
        self._of_keys: Counter[str] = Counter()
        self._log = structlog.get_logger("api.streams")
        self._cut = Count(
            "scizor_streams_cut_off", "Streams of live data that were ended for being slow", registry=registry
        )

    @property
    def clients(self) -> int:
        return self._of_keys.total()

    def cut_off(self, caller: Caller, reason: str) -> None:
        """Count and log a client that is let go for being slow."""
        self._cut.inc()
        self._log.warning("stream cut off", key=caller.label, reason=reason)

    @asynccontextmanager
    async def following(self, caller: Caller, wish: Wish) -> AsyncIterator[Follower]:
        self.refuse_too_many(caller)
        self._of_keys[caller.key_id] += 1
        follower = self._tape.follow(wish)
        try:
            await self._recall(follower)
            yield follower
        finally:
            follower.leave()
            self._of_keys[caller.key_id] -= 1
            if not self._of_keys[caller.key_id]:
                del self._of_keys[caller.key_id]

    async def _recall(self, follower: Follower) -> None:
        """For a client that comes back: what memory has no longer is read from the topics, or told as a gap."""
        spans = follower.unseen()
        if not spans:
            return
        try:
            records, reaches = await self._backlog.read(spans, follower.key)
        except TooMuchError as error:
            follower.cannot_recall(str(error))
            return
        upto = {self._tape.kind_of(place.topic): offset for place, offset in reaches.items()}
        follower.recall(self._tape.recalled(records), upto)

    def refuse_too_many(self, caller: Caller) -> None:
        if self.clients >= CLIENTS_MAX:
            raise UnavailableError(f"{CLIENTS_MAX} streams are open already: try again later")
        if self._of_keys[caller.key_id] >= CLIENTS_OF_A_KEY_MAX:
            raise TooManyError(f"this key has {CLIENTS_OF_A_KEY_MAX} streams open already: close one")


def spoken(news: list[News]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, id and data of each; what cannot be understood was set aside already."""
    for each in news:
        if isinstance(each, Gap):
            yield "gap", "", {"count": each.count, "reason": each.reason}
        elif isinstance(each, Begun):
            yield "begin", each.place, {}
        else:
            with suppress(MalformedRecordError):
                yield each.entry.kind.value, each.place, each.entry.told()


class EventStream(Response):
    """Server-sent events until the client goes, the service stops, or the client is too slow."""

    media_type = "text/event-stream"

    def __init__(self, streams: Streams, caller: Caller, wish: Wish) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._streams = streams
        self._caller = caller
        self._wish = wish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._streams.following(self._caller, self._wish) as follower:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with _until_gone(receive):
                await self._send_all(follower, send)

    async def _send_all(self, follower: Follower, send: Send) -> None:
        reason = _STOPPING
        while (news := await follower.next(_HEARTBEAT_SECONDS)) is not None:
            text = "".join(map(_as_text, spoken(news))) or ": nothing new\n\n"
            try:
                async with asyncio.timeout(_SLOW_SECONDS):
                    await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
            except TimeoutError:
                self._streams.cut_off(self._caller, _TOO_SLOW)
                raise
            if follower.lags >= _LAGS_MAX:
                self._streams.cut_off(self._caller, _LAGGING)
                reason = _LAGGING
                break
        end = _as_text(("end", "", {"reason": reason}))
        await send({"type": "http.response.body", "body": end.encode(), "more_body": False})


def _as_text(said: tuple[str, str, dict[str, Any]]) -> str:
    name, place, data = said
    number = f"id: {place}\n" if place else ""
    return f"event: {name}\n{number}data: {json.dumps(data, separators=(',', ':'))}\n\n"


@asynccontextmanager
async def _until_gone(receive: Receive) -> AsyncIterator[None]:
    """End what is inside when the client goes, or takes too long (TimeoutError)."""

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        raise ConnectionResetError("the client went")

    try:
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(gone())
            yield
            watching.cancel()
    except* OSError:  # of which TimeoutError is one: the connection is closed without an end
        pass


async def speak(socket: WebSocket, streams: Streams, caller: Caller, wish: Wish) -> None:
    """Send events over an accepted WebSocket until either side ends it."""
    async with streams.following(caller, wish) as follower:
        listening = asyncio.create_task(_listen(socket))
        listening.add_done_callback(lambda _: follower.close())
        try:
            await _speak_all(socket, follower)
        except TimeoutError:
            streams.cut_off(caller, _TOO_SLOW)
            await _close(socket, 1008, _TOO_SLOW)
        except _LaggingError:
            streams.cut_off(caller, _LAGGING)
            await _close(socket, 1008, _LAGGING)
        except WebSocketDisconnect:
            pass
        else:
            await _close(socket, 1001, _STOPPING)
        finally:
            listening.cancel()


async def _speak_all(socket: WebSocket, follower: Follower) -> None:
    while (news := await follower.next(_HEARTBEAT_SECONDS)) is not None:
        for name, place, data in spoken(news):
            async with asyncio.timeout(_SLOW_SECONDS):
                await socket.send_json({"event": name, "id": place, "data": data})
        if follower.lags >= _LAGS_MAX:
            raise _LaggingError


async def _listen(socket: WebSocket) -> None:
    """Clients have nothing to say; that they go is heard."""
    with suppress(WebSocketDisconnect):
        while True:
            await socket.receive_text()


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    if socket.client_state is WebSocketState.CONNECTED and socket.application_state is WebSocketState.CONNECTED:
        with suppress(RuntimeError, OSError):  # it went meanwhile
            await socket.close(code, reason)
