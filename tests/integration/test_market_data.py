"""market_data on real Kafka: every live bar once and in order, whatever happens between gateway and topic."""

import asyncio
import contextlib
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from infra import topic_admin
from infra.gateway.live import LIVE_BAR
from infra.replay import fold
from infra.service import Service
from infra.settings import Settings
from producers.cli.desk import Desk
from producers.market_data import build
from schemas.event import Event
from schemas.market import Bar, Quarantined, Quote, Subscription, Tick
from tests.builders import SEEN
from tests.integration.a_gateway import Peer, ScriptedGateway, scripted_gateway, simulator

APPLE, IBM = 265598, 8314
OPEN = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


def a_subscription(contract_id: int = APPLE, symbol: str = "AAPL", **changes: object) -> Subscription:
    fields: dict[str, object] = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "contract_id": contract_id,
        "symbol": symbol,
        "wanted_by": ("test",),
    }
    return Subscription.model_validate(fields | changes)


@contextlib.asynccontextmanager
async def publishing(settings: Settings, port: int) -> AsyncIterator[Service]:
    settings = settings.model_copy(update={"ib_port": port})
    await topic_admin.apply(settings)
    service = build(settings)
    task = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(20):
            while "start" in service.why_not_ready():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
        yield service
        assert not task.done(), task.exception()
    finally:
        service.stop()
        await task


async def subscribe(settings: Settings, *subscriptions: Subscription) -> None:
    async with Desk(settings) as desk:
        for subscription in subscriptions:
            await desk.publish(subscription)


async def everything(settings: Settings, *topics: str) -> list[Event]:
    return [event async for event, _ in fold(settings, topics)]


async def bars_when(settings: Settings, count: int, seconds: float = 20) -> list[Bar]:
    """All live bars, once there are that many."""
    async with asyncio.timeout(seconds):
        while True:
            bars = [event for event in await everything(settings, "market.bars.v1") if isinstance(event, Bar)]
            if len(bars) >= count:
                return bars
            await asyncio.sleep(0.1)


def unbroken(bars: list[Bar]) -> bool:
    """Each contract's bars follow each other without hole or repetition."""
    series = defaultdict(list)
    for bar in bars:
        series[bar.contract_id].append(bar)
    return all(
        before.event_time == after.start for each in series.values() for before, after in itertools.pairwise(each)
    )


async def test_live_data_of_the_wanted_contracts_is_published_fast_and_without_loss(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    await subscribe(
        stack_settings,
        a_subscription(APPLE, "AAPL"),
        a_subscription(IBM, "IBM", ticks=True, quotes=True),
        a_subscription(272093, "MSFT", wanted_by=()),
    )
    async with simulator(speed=900) as gateway, publishing(stack_settings, gateway.port):
        bars = await bars_when(stack_settings, 600)

    assert unbroken(bars)
    assert {bar.symbol for bar in bars} == {"AAPL", "IBM"}
    assert {bar.late for bar in bars} == {False}
    assert any(isinstance(event, Tick) for event in await everything(stack_settings, "market.ticks.v1"))
    assert any(isinstance(event, Quote) for event in await everything(stack_settings, "market.quotes.v1"))


async def test_a_subscription_that_nobody_wants_any_more_ends_the_data(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port):
        describe(gateway)
        await subscribe(stack_settings, a_subscription(quotes=True))
        await heard(gateway, 50, 1)
        await heard(gateway, 97, 1)
        await subscribe(stack_settings, a_subscription(quotes=True, bars=False))
        await heard(gateway, 51, 1)
        assert gateway.requests(98) == []
        await subscribe(stack_settings, a_subscription(wanted_by=()))
        await heard(gateway, 98, 1)


async def test_bars_missed_in_an_outage_come_late_before_the_next_live_one(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port):
        describe(gateway)
        gateway.answers[20] = past_bars
        await subscribe(stack_settings, a_subscription())
        await heard(gateway, 50, 1)
        tell_bars(gateway, 0, 3)
        await bars_when(stack_settings, 3)
        gateway.peer.writer.close()
        await heard(gateway, 50, 2)
        tell_bars(gateway, 10, 13)
        bars = await bars_when(stack_settings, 13)

    assert unbroken(bars)
    assert [bar.late for bar in bars] == [False] * 3 + [True] * 7 + [False] * 3
    assert bars[0].start == OPEN


async def test_a_restart_fills_the_gap_and_repeats_nothing(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway:
        describe(gateway)
        gateway.answers[20] = past_bars
        async with publishing(stack_settings, gateway.port):
            await subscribe(stack_settings, a_subscription())
            await heard(gateway, 50, 1)
            tell_bars(gateway, 0, 3)
            await bars_when(stack_settings, 3)
        async with publishing(stack_settings, gateway.port):
            await heard(gateway, 50, 2)
            tell_bars(gateway, 2, 3)
            tell_bars(gateway, 6, 8)
            bars = await bars_when(stack_settings, 8)
    assert unbroken(bars)
    assert [bar.late for bar in bars] == [False] * 3 + [True] * 3 + [False] * 2


async def test_a_simulator_that_starts_the_day_again_is_followed(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway:
        describe(gateway)
        for starts in (1, 2):
            async with publishing(stack_settings, gateway.port):
                if starts == 1:
                    await subscribe(stack_settings, a_subscription())
                await heard(gateway, 50, starts)
                tell_bars(gateway, 0, 30)
                bars = await bars_when(stack_settings, 30 * starts)
    assert unbroken(bars[:30])
    assert bars[30:] == [
        bar.revised(ingest_time=again.ingest_time) for bar, again in zip(bars, bars[30:], strict=False)
    ]
    assert await everything(stack_settings, "market.quarantine.v1") == []


async def test_what_cannot_be_had_stays_a_gap_and_stops_nothing(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port):
        describe(gateway)
        gateway.answers[20] = lambda peer, fields: peer.error(fields[1], 162, "query failed")
        await subscribe(stack_settings, a_subscription())
        await heard(gateway, 50, 1)
        tell_bars(gateway, 0, 2)
        await bars_when(stack_settings, 2)
        gateway.peer.error(-1, 1101, "restored - data lost")
        await heard(gateway, 50, 2)
        tell_bars(gateway, 5, 7)
        bars = await bars_when(stack_settings, 4)
    assert [bar.start for bar in bars] == [OPEN + number * LIVE_BAR for number in (0, 1, 5, 6)]


async def test_a_repeated_bar_is_dropped_and_one_out_of_order_or_impossible_is_quarantined(
    stack_settings: Settings,
) -> None:
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port):
        describe(gateway)
        await subscribe(stack_settings, a_subscription())
        await heard(gateway, 50, 1)
        tell_bars(gateway, 0, 3)
        tell_bars(gateway, 2, 3)
        tell_bars(gateway, 1, 2)
        say_bar(gateway, 3, high=400.0)
        say_bar(gateway, 4, close=float("nan"))
        tell_bars(gateway, 5, 6)
        bars = await bars_when(stack_settings, 4)
        findings = await everything(stack_settings, "market.quarantine.v1")
    assert [bar.start for bar in bars] == [OPEN + number * LIVE_BAR for number in (0, 1, 2, 5)]
    assert [f.rule.value for f in findings if isinstance(f, Quarantined)] == [
        "out_of_order",
        "ohlc_range",
        "not_finite",
    ]


async def test_a_flood_is_taken_in_order_and_a_lone_tick_leaves_at_once(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port), Desk(stack_settings) as desk:
        describe(gateway)
        await subscribe(stack_settings, a_subscription(ticks=True))
        await heard(gateway, 97, 1)
        number = gateway.requests(97)[0][1]
        flood = 20_000
        for price in range(1, flood + 1):
            gateway.peer.say(99, number, 1, 1362061800, price, 100, 0, "NASDAQ", "")
        await gateway.peer.writer.drain()
        async with asyncio.timeout(30):
            while len(ticks := await everything(stack_settings, "market.ticks.v1")) < flood:
                await asyncio.sleep(0.1)
        assert [tick.price for tick in ticks if isinstance(tick, Tick)] == list(range(1, flood + 1))

        feed = await desk.feed(["market.ticks.v1"])
        waits = []
        for _ in range(20):
            begun = time.perf_counter()
            gateway.peer.say(99, number, 1, 1362061800, 7.5, 100, 0, "NASDAQ", "")
            await feed.first(lambda event: isinstance(event, Tick), seconds=5, what="a tick")
            waits.append(time.perf_counter() - begun)
        assert sorted(waits)[10] < 0.05


async def test_without_a_gateway_the_service_runs_and_says_why_it_is_not_ready(stack_settings: Settings) -> None:
    async with publishing(stack_settings, port=9) as service:
        await subscribe(stack_settings, a_subscription())
        async with asyncio.timeout(10):
            while "nothing answers" not in service.why_not_ready().get("gateway", ""):
                await asyncio.sleep(0.02)


# the scripted gateway's contract and bars


def describe(gateway: ScriptedGateway) -> None:
    details = ("AAPL", "STK", "", 0, "", "SMART", "USD", "AAPL", "NMS", "NMS", APPLE, 0.01, "", "", "SMART", 1, 0)
    more = (
        "APPLE INC",
        "NASDAQ",
        "",
        "",
        "",
        "",
        "US/Eastern",
        "",
        "",
        "",
        0,
        0,
        1,
        "",
        "",
        "26",
        "",
        "COMMON",
        1,
        1,
        100,
    )

    def answer(peer: Peer, fields: list[str]) -> None:
        peer.say(10, fields[2], *details, *more)
        peer.say(52, 1, fields[2])

    gateway.answers[9] = answer


def say_bar(gateway: ScriptedGateway, number: int, high: float = 442.0, close: float = 441.0) -> None:
    epoch = int((OPEN + number * LIVE_BAR).timestamp())
    gateway.peer.say(50, 3, gateway.requests(50)[-1][2], epoch, 440, high, 439, close, 100 + number, 440.5, 7)


def tell_bars(gateway: ScriptedGateway, first: int, end: int) -> None:
    for number in range(first, end):
        say_bar(gateway, number)


def past_bars(peer: Peer, fields: list[str]) -> None:
    """All five-second bars from the open to the end that is asked for."""
    end = datetime.strptime(fields[15], "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    rows: list[object] = []
    for number in range((end - OPEN) // timedelta(seconds=5)):
        rows += [int((OPEN + number * LIVE_BAR).timestamp()), 440, 442, 439, 441, 100 + number, 440.5, 7]
    peer.say(17, fields[1], "", "", len(rows) // 8, *rows)


async def heard(gateway: ScriptedGateway, message_id: int, count: int) -> None:
    async with asyncio.timeout(10):
        while len(gateway.requests(message_id)) < count:
            await asyncio.sleep(0.01)
