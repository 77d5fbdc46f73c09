"""Real-time data of a symbol: the newest, and all that follows."""

import asyncio
import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Query, Request
from pydantic import Field, ValidationError
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from consumers.api.access import Caller, Guard, Viewer, key_in
from consumers.api.backlog import Backlog
from consumers.api.front import Front
from consumers.api.live_tape import TOPICS, LiveTape
from consumers.api.models import Answer, BarSize, Body
from consumers.api.names import Names
from consumers.api.problems import ApiError, InvalidError, NotFoundError
from consumers.api.reels import MarketKind, Offsets, Wish
from consumers.api.rows import answer, picked
from consumers.api.streams import EventStream, Streams, place_named, speak
from consumers.api.subscriptions import QuoteOut
from consumers.api.symbols import SymbolPath
from consumers.api.views import Latest
from infra.api_keys import Role
from infra.bar_moments import bar_size_text
from infra.calendars.calendar import ExchangeCalendar, UnknownExchangeError, calendar_of
from infra.errors import UsageError
from schemas.event import Event, UtcTime
from schemas.market import LIVE_BAR, Bar, Delivery, Source, Subscription
from schemas.validation import Contract

STALE_AFTER = 3 * LIVE_BAR
"""Bars come every five seconds, trades or not: after three that did not, something is wrong."""
_KEY_SECONDS = 5.0
_POLICY_VIOLATION, _TRY_LATER = 1008, 1013
_SECRET_MAX = 1_000

Kinds = Annotated[list[MarketKind], Query(description="What to follow; all three unless said.")]


class LiveBarOut(Answer):
    """The newest closed bar of five seconds."""

    bar_size: BarSize
    start: UtcTime
    event_time: UtcTime = Field(description="Its end.")
    open: float
    high: float
    low: float
    close: float
    volume: float
    source: Source
    late: bool = Field(description="It was missed in an outage and brought afterwards.")


class TickOut(Answer):
    """The newest trade."""

    price: float
    size: float
    source: Source
    event_time: UtcTime


class RealTimeOut(Answer):
    """What is known of a symbol now, from memory."""

    contract_id: int
    symbol: str
    bar: LiveBarOut | None
    quote: QuoteOut | None
    tick: TickOut | None
    age_seconds: float = Field(description="Wall seconds since the newest of these was received.")
    stale: bool = Field(description="Its exchange is open, and no bar came for 15 seconds.")
    problem: str = Field(description="What the service that brings live data says is wrong; empty when nothing.")
    feeds: dict[str, Delivery] = Field(
        description="How each feed that is wanted comes: bars, ticks, quotes. What is neither live nor sampled is old."
    )


class Hello(Body):
    """The first message over a WebSocket that sent no key in its headers."""

    key: Annotated[str, Field(min_length=1, max_length=200)]


class RealTime:
    """Routes about live data as it comes."""

    def __init__(self, front: Front, subscriptions: Latest[Subscription], names: Names) -> None:
        self._front = front
        self._subscriptions = subscriptions
        service = front.service
        self.tape = LiveTape(service.catalogue, service.settings.topic_prefix)
        self._streams = Streams(self.tape, Backlog(service.settings), service.metrics.registry)
        self._names = names
        service.on_batch(list(TOPICS), self.tape.on_records)
        service.after(self.tape.close)

    def router(self) -> APIRouter:
        router = APIRouter(tags=["live data"])
        stream = {"text/event-stream": {"schema": {"type": "string"}}}
        answers: dict[int | str, dict[str, Any]] = {
            200: {"description": "The newest; with `Accept: text/event-stream` all that follows.", "content": stream}
        }
        router.get(
            "/data/realtime/{symbol}", summary="The newest, or a stream", response_model=RealTimeOut, responses=answers
        )(self.realtime)
        return router

    def attach(self, app: FastAPI) -> None:
        """The address for WebSockets, which an OpenAPI file cannot tell of."""
        app.state.realtime = self
        app.add_api_websocket_route("/data/realtime/{symbol}/ws", self.websocket)

    @property
    def clients(self) -> int:
        """How many follow now."""
        return self._streams.clients

    async def realtime(
        self,
        request: Request,
        caller: Viewer,
        symbol: SymbolPath,
        kinds: Kinds = [*MarketKind],  # noqa: B006 # FastAPI copies defaults
        last_event_id: Annotated[str | None, Header(description="The last id seen: what came since is told.")] = None,
    ) -> Response:
        """The newest bar, quote and trade. `Accept: text/event-stream`: events `bar`, `tick`, `quote` as they come.

        `gap` tells of events that will not come: kept no longer, or they came faster than the client took them.
        """
        contract = await self._names.contract(symbol)
        if "text/event-stream" in request.headers.get("accept", ""):
            self._streams.refuse_too_many(caller)
            return EventStream(self._streams, caller, Wish(contract.contract_id, kinds, _after(last_event_id)))
        return answer(self._newest(symbol, contract))

    def _newest(self, symbol: str, contract: Contract) -> dict[str, Any]:
        """What `RealTimeOut` declares."""
        key = contract.contract_id
        bar, quote, tick = (
            self.tape.newest(key, kind.value) for kind in (MarketKind.BAR, MarketKind.QUOTE, MarketKind.TICK)
        )
        found = [event for event in (bar, quote, tick) if event is not None]
        told = self._subscriptions.get(str(key))
        if not found:
            why = f": {told.problem}" if told is not None and told.problem else ""
            raise NotFoundError(
                f"no live data of {symbol} has come since this service started{why}: "
                f"POST /subscriptions/{symbol} asks for it"
            )
        now = self._front.service.clock.now()
        return {
            "contract_id": key,
            "symbol": contract.symbol,
            "bar": _told(LiveBarOut, bar, bar_size=bar_size_text(bar.bar_size)) if isinstance(bar, Bar) else None,
            "quote": _told(QuoteOut, quote),
            "tick": _told(TickOut, tick),
            "age_seconds": max(0.0, (now - max(event.ingest_time for event in found)).total_seconds()),
            "stale": isinstance(bar, Bar) and is_stale(bar, calendar_for(contract), now),
            "problem": told.problem if told is not None and told.wanted_by else "",
            "feeds": told.feeds if told is not None and told.wanted_by else {},
        }

    # over a WebSocket

    async def websocket(self, socket: WebSocket, symbol: str, kinds: Annotated[Sequence[str], Query()] = ()) -> None:
        """The same events as JSON messages `{"event", "id", "data"}`; a refusal closes with its reason."""
        await socket.accept()
        try:
            caller = await self._caller(socket)
            contract = await self._names.contract(symbol)
            wish = Wish(contract.contract_id, _kinds(kinds), _after(socket.query_params.get("last_event_id")))
            await speak(socket, self._streams, caller, wish)
        except WebSocketDisconnect:
            pass
        except (ApiError, UsageError) as error:
            later = isinstance(error, ApiError) and error.status >= 429
            await socket.close(_TRY_LATER if later else _POLICY_VIOLATION, _short(str(error)))

    async def _caller(self, socket: WebSocket) -> Caller:
        """Whose key came in a header, or else in the first message; never in the address, which is logged."""
        guard: Guard = socket.app.state.guard
        socket.state.request_id = self._front.service.entropy.new_id()
        return await guard.admit(socket, Role.VIEWER, key_in(socket.headers) or await self._said_key(socket))

    @staticmethod
    async def _said_key(socket: WebSocket) -> str | None:
        try:
            async with asyncio.timeout(_KEY_SECONDS):
                text = await socket.receive_text()
            return Hello.model_validate(json.loads(text[:_SECRET_MAX])).key
        except (TimeoutError, ValueError, KeyError, ValidationError):
            return None


def _told(model: type[Answer], event: Event | None, **more: Any) -> dict[str, Any] | None:
    return picked(model, vars(event), **more) if event is not None else None


def is_stale(bar: Bar, calendar: ExchangeCalendar | None, now: datetime) -> bool:
    """Whether bars should have come since; while the exchange is closed, none do."""
    age = now - bar.ingest_time
    if age < STALE_AFTER:
        return False
    return calendar is None or calendar.latest(bar.event_time + age).holds(bar.event_time + age - timedelta.resolution)


def calendar_for(contract: Contract) -> ExchangeCalendar | None:
    return _calendar(contract.primary_exchange or contract.exchange)


@cache
def _calendar(exchange: str) -> ExchangeCalendar | None:
    try:
        return calendar_of(exchange)
    except UnknownExchangeError:
        return None


def _kinds(words: Sequence[str]) -> list[MarketKind]:
    try:
        return [MarketKind(word) for word in words] or [*MarketKind]
    except ValueError:
        raise InvalidError(f"kinds: each is one of {', '.join(MarketKind)}") from None


def _after(text: str | None) -> Offsets | None:
    return place_named(text, MarketKind)


def _short(text: str) -> str:
    """What fits into a closing frame."""
    return text.encode()[:120].decode(errors="ignore")
