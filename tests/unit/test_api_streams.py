"""Clients that stay and are slow: let go at a bound, with a reason."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from consumers.api.access import Caller
from consumers.api.backlog import Backlog
from consumers.api.live_tape import LiveTape
from consumers.api.reels import EVENTS_KEPT, MarketKind, Wish
from consumers.api.streams import EventStream, Streams
from infra.api_keys import Role
from infra.settings import Settings
from infra.topics import load_catalogue
from tests.builders import APPLE, NOON, a_bar

CALLER = Caller("1", "test viewer", Role.VIEWER, "request")


@dataclass
class Wire:
    """A record as the broker gives it."""

    offset: int
    value: bytes | None
    key: bytes | None = str(APPLE).encode()
    topic: str = "scizor.market.bars.v1"
    partition: int = 0
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes | None]] = field(default=())


class Client:
    """One client of a stream over its own tape; it takes what is sent as fast as the test lets it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.tape = LiveTape(load_catalogue(), "scizor.")
        self.streams = Streams(self.tape, Backlog(Settings()), self.registry)
        self.offset = 0
        self.sent: list[dict[str, Any]] = []
        self.takes = asyncio.Event()
        self.takes.set()

    async def bars(self, count: int) -> None:
        records = [
            Wire(self.offset + number, a_bar(start=NOON, volume=float(number)).to_json()) for number in range(count)
        ]
        self.offset += count
        assert not await self.tape.on_records(records)

    async def follow(self) -> None:
        stream = EventStream(self.streams, CALLER, Wish(APPLE, [MarketKind.BAR]))
        await stream({"type": "http"}, self._never_gone, self._send)

    async def _never_gone(self) -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("the client stays")

    async def _send(self, message: Any) -> None:
        await self.takes.wait()
        self.sent.append(message)

    def cut_off(self) -> float | None:
        return self.registry.get_sample_value("scizor_streams_cut_off_total")

    def last(self) -> tuple[str, dict[str, Any]]:
        """Name and data of the last event."""
        *_, name, data = self.sent[-1]["body"].decode().strip().splitlines()
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))


async def test_a_client_that_takes_nothing_is_let_go_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.api.streams._SLOW_SECONDS", 0.01)
    client = Client()
    await client.bars(1)
    following = asyncio.create_task(client.follow())
    for _ in range(20):
        await asyncio.sleep(0)
    client.takes.clear()
    await client.bars(1)

    await asyncio.wait_for(following, 5)

    assert (client.streams.clients, client.cut_off()) == (0, 1.0)


async def test_a_client_that_lags_again_and_again_is_told_why_it_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.api.streams._LAGS_MAX", 2)
    client = Client()
    await client.bars(1)
    following = asyncio.create_task(client.follow())
    for _ in range(2):
        for _ in range(20):
            await asyncio.sleep(0)
        await client.bars(EVENTS_KEPT + 10)

    await asyncio.wait_for(following, 5)

    name, data = client.last()
    assert (name, "more came than was taken" in data["reason"]) == ("end", True)
    assert client.sent[-1]["more_body"] is False
    assert (client.streams.clients, client.cut_off()) == (0, 1.0)


async def test_a_client_that_caught_up_in_between_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.api.streams._LAGS_MAX", 2)
    client = Client()
    await client.bars(1)
    following = asyncio.create_task(client.follow())
    for count in (EVENTS_KEPT + 10, 1, EVENTS_KEPT + 10, 1):
        for _ in range(20):
            await asyncio.sleep(0)
        await client.bars(count)
    for _ in range(20):
        await asyncio.sleep(0)

    assert (following.done(), client.cut_off()) == (False, 0.0)
    await client.tape.close()
    await asyncio.wait_for(following, 5)
    assert client.last() == ("end", {"reason": "the service stops: come back in a moment"})
