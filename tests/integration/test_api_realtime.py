"""Real-time data over HTTP on a real port: the newest from memory, server-sent events, WebSockets."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from consumers.api.reels import EVENTS_KEPT, MarketKind, Wish
from infra.api_keys import Role
from infra.clock import SystemClock
from infra.embedded.ports import free_port
from infra.metrics import Metrics
from infra.publish import Publisher
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.event import Event
from schemas.market import LIVE_BAR, Delivery, Quote, Source, Subscription
from tests.builders import APPLE, NOON, a_bar, a_tick
from tests.integration.an_api import Api, serving
from tests.integration.test_api_farmer import know_apple

ADDRESS = "/data/realtime/AAPL"


@dataclass
class Wire:
    """The service on its port, and the topics it reads."""

    api: Api
    port: int
    publisher: Publisher

    async def tell(self, *events: Event) -> None:
        for event in events:
            await self.publisher.publish(event)

    async def seen(self, kind: str, **fields: object) -> dict[str, Any]:
        """The answer, once it shows what was told last."""
        async with asyncio.timeout(30):
            while True:
                answer = await self.api.ask("GET", ADDRESS)
                found = answer.json().get(kind) if answer.status_code == 200 else None
                if found and all(found[name] == value for name, value in fields.items()):
                    return dict(answer.json())
                await asyncio.sleep(0.02)

    def events(
        self, query: str = "", **headers: str
    ) -> contextlib.AbstractAsyncContextManager[AsyncIterator[dict[str, Any]]]:
        return server_sent(self.api, self.port, ADDRESS + query, **headers)

    def socket(self, query: str = "", **options: Any) -> connect:
        return connect(f"ws://127.0.0.1:{self.port}{ADDRESS}/ws{query}", open_timeout=30, **options)


@contextlib.asynccontextmanager
async def server_sent(api: Api, port: int, path: str, **headers: str) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
    """Server-sent events as dictionaries of their fields."""
    wanted = {"Authorization": f"Bearer {api.keys[Role.VIEWER]}", "Accept": "text/event-stream"} | headers
    async with (
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
        client.stream("GET", path, headers=wanted) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _parsed(answer.aiter_lines())


async def _parsed(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    event: dict[str, Any] = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        if not line and "data" in event:
            yield event
            event = {}
        elif line and name:
            event[name] = json.loads(value) if name == "data" else value


@contextlib.asynccontextmanager
async def on_a_wire(settings: Settings) -> AsyncIterator[Wire]:
    port = free_port()
    async with serving("api_farmer", settings, port) as api:
        publisher = Publisher("market_data", settings, load_catalogue(), SystemClock(), Metrics("test"))
        await publisher.start()
        await know_apple(api)
        try:
            yield Wire(api, port, publisher)
        finally:
            await publisher.stop()


def now_bar(number: int = 0, **changes: Any) -> Event:
    return a_bar(start=NOON + number * LIVE_BAR, ingest_time=SystemClock().now(), volume=float(number), **changes)


def a_subscription(**changes: Any) -> Subscription:
    now = SystemClock().now()
    common = {"event_time": now, "ingest_time": now, "contract_id": APPLE, "symbol": "AAPL", "wanted_by": ("ann",)}
    return Subscription.model_validate(common | changes)


def a_quote(bid: float) -> Quote:
    now = SystemClock().now()
    return Quote(
        event_time=NOON,
        ingest_time=now,
        contract_id=APPLE,
        symbol="AAPL",
        bid=bid,
        ask=bid + 1,
        bid_size=300,
        ask_size=200,
        source=Source.DERIVED,
    )


async def test_the_newest_is_told_from_memory_with_its_age(stack_settings: Settings) -> None:
    async with on_a_wire(stack_settings) as wire:
        nothing = await wire.api.ask("GET", ADDRESS)
        begun = time.monotonic()
        await wire.tell(now_bar(1), a_quote(440.0), a_tick(price=440.7))
        await wire.tell(now_bar(2), now_bar(2, bar_size=timedelta(minutes=1)))
        await wire.seen("tick", price=440.7)
        await wire.seen("quote", bid=440.0)
        known = await wire.seen("bar", volume=2.0)
        waited = time.monotonic() - begun
        feeds = {"bars": Delivery.LIVE, "quotes": Delivery.DELAYED}
        await wire.tell(a_subscription(feeds=feeds, problem="quotes: 10167 delayed"))
        await wire.seen("feeds", bars="live", quotes="delayed")
        health = (await wire.api.client.get("/health")).json()["live_data"]
        listed = await wire.api.get("/subscriptions")
        old = a_bar(start=NOON + 9 * LIVE_BAR, ingest_time=SystemClock().now() - timedelta(minutes=5))
        await wire.tell(old)
        silent = await wire.seen("bar", start="2013-02-28T17:00:45Z")
        page = (await wire.api.client.get("/openapi.json")).json()["paths"]["/data/realtime/{symbol}"]["get"]

    assert (nothing.status_code, "POST /subscriptions/AAPL" in nothing.text) == (404, True)
    assert (known["bar"]["bar_size"], known["quote"]["bid"], known["stale"]) == ("5s", 440.0, False)
    assert known["age_seconds"] <= waited
    assert (health["feeds"]["delayed"], health["troubles"][0]["problem"]) == (1, "quotes: 10167 delayed")
    assert listed == [], "nobody wants it here: the service that brings it only says how it comes"
    assert silent["stale"] is True, "New York is open at noon, and nothing has come for five minutes"
    assert "text/event-stream" in page["responses"]["200"]["content"]


async def test_events_come_in_order_and_a_client_that_returns_misses_none(stack_settings: Settings) -> None:
    async with on_a_wire(stack_settings) as wire:
        await wire.tell(now_bar(0), a_quote(440.0))
        await wire.seen("quote", bid=440.0)
        async with wire.events() as events:
            first = {(event["event"]): event async for event in _some(events, 2)}
            await wire.tell(now_bar(1), a_tick(price=441.0))
            later = [event async for event in _some(events, 2)]
        await wire.tell(now_bar(2), now_bar(3))
        async with wire.events("?kinds=bar", **{"Last-Event-ID": later[-1]["id"]}) as events:
            missed = [event async for event in _some(events, 2)]

    assert set(first) == {"bar", "quote"}
    assert {event["event"] for event in later} == {"bar", "tick"}
    assert [event["data"]["volume"] for event in missed] == [2.0, 3.0]


async def test_many_clients_share_one_memory_and_one_that_lags_gets_the_newest(stack_settings: Settings) -> None:
    async with on_a_wire(stack_settings) as wire:
        await wire.tell(now_bar(0))
        await wire.seen("bar", volume=0.0)
        async with contextlib.AsyncExitStack() as clients:
            streams = [await clients.enter_async_context(wire.events()) for _ in range(5)]
            assert [[e["event"] async for e in _some(stream, 1)] for stream in streams] == [["bar"]] * 5
            follower = wire.api.app.state.realtime.tape.follow(Wish(APPLE, [MarketKind.BAR]))
            assert len(await follower.next(1)) == 1
            count = EVENTS_KEPT + 10
            for number in range(1, count + 1):
                await wire.tell(now_bar(number))
                if number % 50 == 0:  # who reads gets them as they come, however late the broker hands them over
                    await wire.seen("bar", volume=float(number))
            await wire.seen("bar", volume=float(count))
            missed, newest = await follower.next(1)
            assert [[e["data"]["volume"] async for e in _some(stream, 3)] for stream in streams] == [
                [1.0, 2.0, 3.0]
            ] * 5

    assert missed.count == 10
    assert newest.entry.event.volume == count


async def test_events_that_memory_keeps_no_longer_are_read_back_from_their_topics(stack_settings: Settings) -> None:
    async with on_a_wire(stack_settings) as wire:
        count = EVENTS_KEPT + 20
        others = [now_bar(number, contract_id=4391, symbol="AMD") for number in range(5)]
        await wire.tell(*(now_bar(number) for number in range(5)), *others, a_tick(price=441.0))
        await wire.seen("tick", price=441.0)
        await wire.seen("bar", volume=4.0)
        async with wire.events() as events:
            place = [event async for event in _some(events, 2)][-1]["id"]
        await wire.tell(*(now_bar(number) for number in range(5, count)))
        await wire.seen("bar", volume=float(count - 1))
        async with wire.events(**{"Last-Event-ID": place}) as events:
            told = [event async for event in _some(events, count - 5)]
    assert [event["event"] for event in told] == ["bar"] * (count - 5)
    assert [event["data"]["volume"] for event in told] == [float(number) for number in range(5, count)]
    assert len({event["id"] for event in told}) == len(told)


async def test_more_than_is_read_back_is_told_as_a_gap(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.api.backlog.RECORDS_MAX", 2)
    async with on_a_wire(stack_settings) as wire:
        await wire.tell(*(now_bar(number) for number in range(EVENTS_KEPT + 5)))
        await wire.seen("bar", volume=float(EVENTS_KEPT + 4))
        async with wire.events("?kinds=bar", **{"Last-Event-ID": "b1"}) as events:
            gap, oldest = [event async for event in _some(events, 2)]
    assert (gap["event"], gap["data"]["count"]) == ("gap", None)
    assert gap["data"]["reason"] == "more than 2 events of all contracts have come since"
    assert oldest["data"]["volume"] == 5.0


async def test_streams_need_a_key_and_an_id_that_is_one(stack_settings: Settings) -> None:
    async with on_a_wire(stack_settings) as wire:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{wire.port}") as client:
            stranger = await client.get(ADDRESS, headers={"Accept": "text/event-stream"})
        key = {"Accept": "text/event-stream"}
        odd = await wire.api.ask("GET", ADDRESS, headers=key | {"Last-Event-ID": "'; DROP TABLE bars"})
        kind = await wire.api.ask("GET", f"{ADDRESS}?kinds=depth", headers=key)
        unknown = await wire.api.ask("GET", "/data/realtime/TSLA", headers=key)
    assert [stranger.status_code, odd.status_code, kind.status_code, unknown.status_code] == [401, 422, 422, 404]
    assert "Last-Event-ID" in odd.json()["detail"]


async def test_a_key_may_hold_so_many_streams_and_gets_them_back(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("consumers.api.streams.CLIENTS_OF_A_KEY_MAX", 1)
    async with on_a_wire(stack_settings) as wire:
        await wire.tell(now_bar(0))
        await wire.seen("bar", volume=0.0)
        async with wire.events() as events:
            assert [event["event"] async for event in _some(events, 1)] == ["bar"]
            refused = await wire.api.ask("GET", ADDRESS, headers={"Accept": "text/event-stream"})
        assert refused.status_code == 429
        async with asyncio.timeout(30):
            while wire.api.app.state.realtime.clients:
                await asyncio.sleep(0.02)


async def test_a_websocket_takes_its_key_from_a_header_or_the_first_message(stack_settings: Settings) -> None:
    async with on_a_wire(stack_settings) as wire:
        await wire.tell(now_bar(0))
        await wire.seen("bar", volume=0.0)
        key = wire.api.keys[Role.VIEWER]
        async with (
            wire.socket(additional_headers={"X-API-Key": key}) as by_header,
            wire.socket("?kinds=tick") as by_message,
        ):
            await by_message.send(json.dumps({"key": key}))
            bar = await _next(by_header)
            await wire.tell(a_tick(price=441.0))
            ticks = [await _next(by_header), await _next(by_message)]
        resumed = wire.socket(f"?last_event_id={bar['id']}", additional_headers={"Authorization": f"Bearer {key}"})
        async with resumed as again:
            after = await _next(again)

    assert (bar["event"], bar["data"]["volume"]) == ("bar", 0.0)
    assert [each["data"]["price"] for each in ticks] == [441.0, 441.0]
    assert after["event"] == "tick"


@pytest.mark.parametrize(
    ("query", "message", "code", "words"),
    [
        ("", '{"key": "wrong"}', 1008, "unknown, revoked or expired"),
        ("", "not json", 1008, "needs an API key"),
        ("?kinds=depth", None, 1008, "kinds: each is one of"),
    ],
)
async def test_a_websocket_that_is_refused_closes_with_the_reason(
    stack_settings: Settings, query: str, message: str | None, code: int, words: str
) -> None:
    async with on_a_wire(stack_settings) as wire, wire.socket(query) as socket:
        await socket.send(message or json.dumps({"key": wire.api.keys[Role.VIEWER]}))
        with pytest.raises(ConnectionClosed) as closed:
            await _next(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert words in closed.value.rcvd.reason


async def test_streams_end_with_the_service_at_once(stack_settings: Settings) -> None:
    async with contextlib.AsyncExitStack() as clients:
        async with on_a_wire(stack_settings) as wire:
            await wire.tell(now_bar(0))
            await wire.seen("bar", volume=0.0)
            events = await clients.enter_async_context(wire.events())
            key = {"X-API-Key": wire.api.keys[Role.VIEWER]}
            socket = await clients.enter_async_context(wire.socket(additional_headers=key))
            assert [event["event"] async for event in _some(events, 1)] == ["bar"]
            await _next(socket)
        assert [event["event"] async for event in events] == ["end"]
        with pytest.raises(ConnectionClosed) as closed:
            await _next(socket)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001


async def _some(events: AsyncIterator[dict[str, Any]], count: int) -> AsyncIterator[dict[str, Any]]:
    async with asyncio.timeout(30):
        for _ in range(count):
            yield await anext(events)


async def _next(socket: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(30):
        return dict(json.loads(await socket.recv()))
