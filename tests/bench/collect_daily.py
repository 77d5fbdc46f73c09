"""`collect.strict`, `collect.today`: a daily collection of the whole universe, in simulated time.

The real service on a real Kafka and PostgreSQL, against the simulator with the same pacing; one clock for both, which
skips the time in which the data farmer waits for its turn and nothing is under way. Requests are lost, refused, and
cut off on the way.
"""

import asyncio
import contextlib
import math
import tempfile
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra import migrate, topic_admin
from infra.clock import SystemEntropy
from infra.gateway import ClientSlot, Connection, Market
from infra.gateway.pacing import Governor
from infra.gateway.slots import MESSAGES_A_SECOND
from infra.gateway.windows import Limits, Pacing
from infra.gateway_simulator.gateway import Gateway, Options
from infra.gateway_simulator.protocol.pacing import Pacing as GatewayPacing
from infra.gateway_simulator.server import Address, SimulatorServer
from infra.service import Service
from infra.settings import Settings
from producers.cli.desk import Desk, Feed
from producers.cli.universe import UNIVERSE, read_universe
from producers.data_farmer.__main__ import attach
from schemas.collection import CollectDaily, CollectionRun, RunState
from schemas.registry import PopulateSymbols
from tests.bench.persist import servers

_EVENING = datetime(2013, 2, 28, 22, 0, tzinfo=UTC)
"""Both exchanges are closed, and stay so for an hour."""
_TODAY_SECONDS_MAX = 300.0
_HISTORY_SECONDS = 3.0
"""A request that is lost is given up early: this is real time."""
_LOOK_SECONDS = 0.005
_REAL_SECONDS_MAX = 300.0
_FAULTS = """
name: a-bad-evening
description: Answers are lost, a request finds no slot, the connection is cut.
source: bench
expects: All of it is collected all the same.
steps:
  - {name: lost, when: {event: historicalData sent, nth: 20}, do: {drop: true}}
  - {name: full, when: {event: reqHistoricalData received, nth: 50}, do: {error: {code: 322}}}
  - {name: cut, when: {event: historicalData sent, nth: 80}, do: {cut: 500}}
"""
_SCRIPTED_REFUSALS = 1


class SkippingClock:
    """Real time, without the waits in which nothing happens."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._skipped = 0.0
        self._wakes: dict[object, float] = {}

    def now(self) -> datetime:
        return _EVENING + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return time.monotonic() - self._begin + self._skipped

    async def sleep(self, seconds: float) -> None:
        key = object()
        self._wakes[key] = due = self.monotonic() + seconds
        try:
            while (left := due - self.monotonic()) > 0:
                await asyncio.sleep(min(left, _LOOK_SECONDS))
        finally:
            del self._wakes[key]

    async def skip_while_idle(self, governor: Governor) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if governor.waiting and not governor.under_way and self._wakes:
                self._skipped += max(0.0, min(self._wakes.values()) - self.monotonic())


def run(quick: bool) -> list[dict[str, Any]]:
    """Strict pacing at most 1.02 times what the rule itself takes; today's pacing in less than five minutes."""
    symbols = 125 if quick else None
    rows = []
    for pacing in (Pacing.STRICT, Pacing.TODAY):
        with servers(Settings()) as settings:
            rows.append(asyncio.run(_measure(settings, pacing, symbols)))
    return rows


async def _measure(settings: Settings, pacing: Pacing, symbols: int | None) -> dict[str, Any]:
    await migrate.upgrade_async(settings.database_url.get_secret_value())
    await topic_admin.apply(settings)
    clock = SkippingClock()
    entries = tuple(read_universe(UNIVERSE))[:symbols]
    async with _gateway(clock, pacing) as server, Desk(settings) as desk:
        update = {"ib_port": server.port, "ib_pacing": pacing.value, "collect_daily": False}
        async with _farmer(settings.model_copy(update=update), clock, pacing) as governor:
            feed = await desk.feed(["collection.runs.v1"])
            now = desk.clock.now()
            when = {"event_time": now, "ingest_time": now, "requested_by": "bench"}
            await desk.publish(PopulateSymbols(run_id="populate", entries=entries, **when))
            await _end_of(feed, "populate")
            begun = clock.monotonic()
            await desk.publish(CollectDaily(run_id="daily", **when))
            told = await _end_of(feed, "daily")
            seconds = clock.monotonic() - begun
    assert told.symbols == len(entries), told
    return _row(pacing, told, seconds, governor)


def _row(pacing: Pacing, told: CollectionRun, seconds: float, governor: Governor) -> dict[str, Any]:
    floor = 600.0 * (math.ceil(told.chunks / 60) - 1) if pacing is Pacing.STRICT else _TODAY_SECONDS_MAX
    return {
        "name": f"collect.{pacing.value}",
        "value": seconds,
        "unit": "simulated s",
        "raw": floor,
        "ratio": seconds / floor,
        "detail": {
            "symbols": told.symbols,
            "requests": told.gateway_requests,
            "asked_again": told.retries,
            "failed_part": len(told.failures) / told.symbols,
            "pacing_errors": governor.refused - _SCRIPTED_REFUSALS,
            "sessions_complete": f"{told.sessions_complete} of {told.sessions}",
        },
    }


@contextlib.asynccontextmanager
async def _gateway(clock: SkippingClock, pacing: Pacing) -> AsyncIterator[SimulatorServer]:
    with tempfile.TemporaryDirectory(prefix="scizor-bench-") as folder:
        cassette = Path(folder) / "evening.yaml"
        cassette.write_text(_FAULTS, encoding="utf-8")
        options = Options(start=_EVENING.timestamp(), pacing=GatewayPacing(pacing.value), faults=str(cassette))
        server = SimulatorServer(Gateway(options, clock, SystemEntropy()), Address(port=0))
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


@contextlib.asynccontextmanager
async def _farmer(settings: Settings, clock: SkippingClock, pacing: Pacing) -> AsyncIterator[Governor]:
    service = Service("data_farmer", settings, clock=clock)
    limits = Limits(messages_per_second=MESSAGES_A_SECOND[ClientSlot.DATA_FARMER])
    governor = Governor(clock, pacing=pacing, limits=limits, sleep=clock.sleep)
    connection = Connection(settings, ClientSlot.DATA_FARMER, clock=clock, governor=governor)
    attach(service, connection, Market(connection, history_seconds=_HISTORY_SECONDS))
    skipping = asyncio.create_task(clock.skip_while_idle(governor))
    running = asyncio.create_task(service.run())
    try:
        while service.why_not_ready():
            assert not running.done(), running.exception()
            await asyncio.sleep(0.02)
        yield governor
    finally:
        service.stop()
        await running
        skipping.cancel()


async def _end_of(feed: Feed, run_id: str) -> CollectionRun:
    async for event in feed.events(_REAL_SECONDS_MAX):
        if not isinstance(event, CollectionRun) or event.run_id != run_id:
            continue
        if event.state in (RunState.DONE, RunState.FAILED):
            return event
    raise AssertionError(f"no end of {run_id} in {_REAL_SECONDS_MAX} s")
