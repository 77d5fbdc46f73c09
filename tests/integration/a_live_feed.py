"""market_data for tests: the service, what it knows and is told, a data farmer beside it, and what it published."""

import asyncio
import contextlib
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from infra import topic_admin
from infra.clock import SystemClock
from infra.metrics import Metrics
from infra.publish import Publisher
from infra.replay import fold
from infra.service import Service
from infra.settings import Settings
from infra.symbol_names import SymbolName
from infra.topics import load_catalogue
from producers.cli.desk import Desk
from producers.data_farmer.__main__ import build as build_farmer
from producers.market_data.__main__ import build
from schemas.event import Event
from schemas.market import LIVE_BAR, Bar, Want
from schemas.validation import Symbol, SymbolState
from tests.builders import SEEN, a_contract
from tests.integration.a_gateway import Peer, scripted_gateway

APPLE, IBM = 265598, 8314
Answer = Callable[[Peer, list[str]], Awaitable[None] | None]


def a_want(contract_id: int = APPLE, symbol: str = "AAPL", **changes: object) -> Want:
    fields: dict[str, object] = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "contract_id": contract_id,
        "symbol": symbol,
        "holder": "test",
        "bars": True,
    }
    return Want.model_validate(fields | changes)


async def ready(settings: Settings) -> None:
    """Topics, and a registry that knows two shares."""
    await topic_admin.apply(settings)
    await know(settings, (APPLE, "AAPL", "NASDAQ"), (IBM, "IBM", "NYSE"))


async def know(settings: Settings, *shares: tuple[int, str, str]) -> None:
    """Have the registry know them, as the data farmer would tell it."""
    publisher = Publisher("data_farmer", settings, load_catalogue(), SystemClock(), Metrics("test"))
    await publisher.start()
    now = SystemClock().now()
    for contract_id, symbol, exchange in shares:
        entry: dict[str, Any] = {
            "event_time": now,
            "ingest_time": now,
            "symbol_id": SymbolName(symbol).symbol_id,
            "symbol": symbol,
            "state": SymbolState.VALID,
            "contract": a_contract(contract_id=contract_id, symbol=symbol, primary_exchange=exchange),
            "last_verified": now,
        }
        await publisher.publish(Symbol(**entry))
    await publisher.stop()


async def want(settings: Settings, *wants: Want) -> None:
    async with Desk(settings) as desk:
        for each in wants:
            await desk.publish(each)


@contextlib.asynccontextmanager
async def publishing(settings: Settings, port: int, **options: Any) -> AsyncIterator[Service]:
    settings = settings.model_copy(update={"ib_port": port})
    await topic_admin.apply(settings)
    async with _running(build(settings, **options)) as service:
        yield service


@contextlib.asynccontextmanager
async def farming(settings: Settings, port: int) -> AsyncIterator[Service]:
    settings = settings.model_copy(update={"ib_port": port, "collect_daily": False})
    async with _running(build_farmer(settings)) as service:
        yield service


@contextlib.asynccontextmanager
async def collecting(settings: Settings, past: Answer) -> AsyncIterator[None]:
    """A data farmer whose gateway has this past."""
    async with scripted_gateway() as gateway:
        gateway.answers[20] = past
        gateway.epoch += 3_600
        async with farming(settings, gateway.port):
            yield


@contextlib.asynccontextmanager
async def _running(service: Service) -> AsyncIterator[Service]:
    task = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(30):
            while "start" in service.why_not_ready():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
        yield service
        assert not task.done(), task.exception()
    finally:
        service.stop()
        await task


async def everything(settings: Settings, *topics: str) -> list[Event]:
    return [event async for event, _ in fold(settings, topics)]


async def bars_when(settings: Settings, count: int, seconds: float = 30) -> list[Bar]:
    """All live bars, once there are that many."""
    async with asyncio.timeout(seconds):
        while True:
            bars = [event for event in await everything(settings, "market.bars.v1") if isinstance(event, Bar)]
            if len(bars) >= count:
                return bars
            await asyncio.sleep(0.1)


def unbroken(bars: list[Bar]) -> bool:
    """Each contract's small bars follow each other without hole or repetition."""
    series = defaultdict(list)
    for bar in bars:
        assert bar.bar_size == LIVE_BAR
        series[bar.contract_id].append(bar)
    return all(
        before.event_time == after.start for each in series.values() for before, after in itertools.pairwise(each)
    )
