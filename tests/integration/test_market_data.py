"""market_data on real Kafka: every live bar once and in order, whatever happens between gateway and topic."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

from infra.gateway.live import LIVE_BAR
from infra.settings import Settings
from producers.cli.desk import Desk
from schemas.collection import ValidateSymbols
from schemas.event import Event
from schemas.market import Bar, Quarantined, Quote, Subscription, Tick
from tests.integration.a_gateway import Peer, ScriptedGateway, scripted_gateway, simulator
from tests.integration.a_live_feed import (
    APPLE,
    IBM,
    a_want,
    bars_when,
    collecting,
    everything,
    know,
    publishing,
    ready,
    unbroken,
    want,
)

OPEN = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)


async def test_live_data_of_the_wanted_contracts_is_published_fast_and_without_loss(stack_settings: Settings) -> None:
    await ready(stack_settings)
    await want(
        stack_settings,
        a_want(APPLE, "AAPL"),
        a_want(IBM, "IBM", ticks=True, quotes=True),
        a_want(272093, "MSFT").ended(datetime.now(UTC)),
    )
    async with simulator(speed=900) as gateway, publishing(stack_settings, gateway.port):
        bars = await bars_when(stack_settings, 600)

    assert unbroken(bars)
    assert {bar.symbol for bar in bars} == {"AAPL", "IBM"}
    assert {bar.late for bar in bars} == {False}
    assert any(isinstance(event, Tick) for event in await everything(stack_settings, "market.ticks.v1"))
    assert any(isinstance(event, Quote) for event in await everything(stack_settings, "market.quotes.v1"))


async def test_one_line_serves_all_holders_until_the_last_wants_it_no_more(stack_settings: Settings) -> None:
    await ready(stack_settings)
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port):
        mine, yours = a_want(quotes=True), a_want(holder="api")
        await want(stack_settings, mine, yours)
        await heard(gateway, 50, 1)
        await heard(gateway, 97, 1)
        await want(stack_settings, mine.ended(OPEN))
        await heard(gateway, 98, 1)
        assert gateway.requests(51) == []
        await want(stack_settings, yours.ended(OPEN))
        await heard(gateway, 51, 1)
        assert len(gateway.requests(50)) == 1


async def test_a_contract_that_is_not_known_is_asked_for_by_topic(stack_settings: Settings) -> None:
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port) as service:
        await want(stack_settings, a_want())
        async with asyncio.timeout(30):
            while not (asked := await everything(stack_settings, "collection.requests.v1")):
                await asyncio.sleep(0.05)
        assert [each.symbols for each in asked if isinstance(each, ValidateSymbols)] == [("AAPL",)]
        assert "knows no contract 265598" in service.why_not_ready()["subscriptions"]
        await know(stack_settings, (APPLE, "AAPL", "NASDAQ"))
        await heard(gateway, 50, 1)
        assert gateway.requests(9) == [], "only the data farmer asks the gateway for contracts"


async def test_bars_missed_in_an_outage_come_late_before_the_next_live_one(stack_settings: Settings) -> None:
    await ready(stack_settings)
    async with (
        scripted_gateway() as gateway,
        collecting(stack_settings, past_bars),
        publishing(stack_settings, gateway.port),
    ):
        await want(stack_settings, a_want())
        await heard(gateway, 50, 1)
        tell_bars(gateway, 0, 3)
        await bars_when(stack_settings, 3)
        gateway.peer.writer.close()
        await heard(gateway, 50, 2)
        tell_bars(gateway, 10, 13)
        bars = await bars_when(stack_settings, 13)
        assert gateway.requests(20) == [], "only the data farmer asks the gateway for the past"

    assert unbroken(bars)
    assert [bar.late for bar in bars] == [False] * 3 + [True] * 7 + [False] * 3
    assert bars[0].start == OPEN


async def test_a_bar_that_was_left_out_without_a_word_is_brought_from_history(stack_settings: Settings) -> None:
    await ready(stack_settings)
    async with (
        scripted_gateway() as gateway,
        collecting(stack_settings, past_bars),
        publishing(stack_settings, gateway.port),
    ):
        await want(stack_settings, a_want())
        await heard(gateway, 50, 1)
        tell_bars(gateway, 0, 3)
        await bars_when(stack_settings, 3)
        tell_bars(gateway, 4, 6)
        bars = await bars_when(stack_settings, 6)
        assert await everything(stack_settings, "market.quarantine.v1") == []

    assert unbroken(bars)
    assert [bar.late for bar in bars] == [False] * 3 + [True] + [False] * 2


async def test_a_restart_fills_the_gap_and_repeats_nothing(stack_settings: Settings) -> None:
    await ready(stack_settings)
    async with scripted_gateway() as gateway, collecting(stack_settings, past_bars):
        async with publishing(stack_settings, gateway.port):
            await want(stack_settings, a_want())
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
    await ready(stack_settings)
    async with scripted_gateway() as gateway:
        for starts in (1, 2):
            async with publishing(stack_settings, gateway.port):
                if starts == 1:
                    await want(stack_settings, a_want())
                await heard(gateway, 50, starts)
                tell_bars(gateway, 0, 30)
                bars = await bars_when(stack_settings, 30 * starts)
    assert unbroken(bars[:30])
    assert bars[30:] == [
        bar.revised(ingest_time=again.ingest_time) for bar, again in zip(bars, bars[30:], strict=False)
    ]
    assert await everything(stack_settings, "market.quarantine.v1") == []


async def test_what_cannot_be_had_in_time_is_told_as_a_gap_and_stops_nothing(stack_settings: Settings) -> None:
    await ready(stack_settings)
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port, gap_seconds=0.2):
        await want(stack_settings, a_want())
        await heard(gateway, 50, 1)
        tell_bars(gateway, 0, 2)
        await bars_when(stack_settings, 2)
        gateway.peer.error(-1, 1101, "restored - data lost")
        await heard(gateway, 50, 2)
        tell_bars(gateway, 5, 7)
        bars = await bars_when(stack_settings, 4)
        (finding,) = await findings_when(stack_settings, 1)
    assert [bar.start for bar in bars] == [OPEN + number * LIVE_BAR for number in (0, 1, 5, 6)]
    assert isinstance(finding, Quarantined)
    assert finding.reason == (
        "no live bars from 2013-02-28 14:30:10 to 2013-02-28 14:30:25: they did not come within 0 s"
    )


async def test_a_refusal_of_the_past_is_told_as_a_gap(stack_settings: Settings) -> None:
    def refuse(peer: Peer, fields: list[str]) -> None:
        peer.error(fields[1], 162, "Historical Market Data Service error message:No market data permissions")

    await ready(stack_settings)
    async with (
        scripted_gateway() as gateway,
        collecting(stack_settings, refuse),
        publishing(stack_settings, gateway.port),
    ):
        await want(stack_settings, a_want())
        await heard(gateway, 50, 1)
        tell_bars(gateway, 0, 2)
        await bars_when(stack_settings, 2)
        gateway.peer.error(-1, 1102, "restored - data maintained")
        await heard(gateway, 50, 2)
        tell_bars(gateway, 5, 7)
        bars = await bars_when(stack_settings, 4)
        (finding,) = await findings_when(stack_settings, 1)
    assert [bar.start for bar in bars] == [OPEN + number * LIVE_BAR for number in (0, 1, 5, 6)]
    assert isinstance(finding, Quarantined)
    assert "No market data permissions" in finding.reason


async def test_minutes_are_told_when_they_are_whole_also_across_a_restart_and_a_gap(stack_settings: Settings) -> None:
    await ready(stack_settings)
    minute = timedelta(minutes=1)
    async with scripted_gateway() as gateway, collecting(stack_settings, past_bars):
        async with publishing(stack_settings, gateway.port):
            await want(stack_settings, a_want(bar_sizes=(minute,)))
            await heard(gateway, 50, 1)
            tell_bars(gateway, 0, 20)
            await bars_when(stack_settings, 20 + 1)
        async with publishing(stack_settings, gateway.port):
            await heard(gateway, 50, 2)
            tell_bars(gateway, 22, 36)
            await bars_when(stack_settings, 36 + 3)
            found = await everything(stack_settings, "market.bars.v1")
    minutes = [bar for bar in found if isinstance(bar, Bar) and bar.bar_size == minute]
    assert [(bar.start - OPEN, bar.late, bar.revision) for bar in minutes] == [
        (0 * minute, False, 0),
        (1 * minute, True, 0),
        (2 * minute, False, 0),
    ]
    assert [bar.volume for bar in minutes] == [sum(range(100 + 12 * n, 112 + 12 * n)) for n in range(3)]
    assert unbroken([bar for bar in found if isinstance(bar, Bar) and bar.bar_size == LIVE_BAR])


async def test_ticks_missed_in_an_interruption_are_told_before_the_next(stack_settings: Settings) -> None:
    await ready(stack_settings)
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port), Desk(stack_settings) as desk:
        feed = await desk.feed(["market.ticks.v1"])
        await want(stack_settings, a_want(bars=False, ticks=True))
        await heard(gateway, 97, 1)
        gateway.peer.say(99, gateway.requests(97)[0][1], 1, 1362061800, 440.0, 100, 0, "NASDAQ", "")
        await feed.first(lambda event: isinstance(event, Tick), seconds=30, what="a tick")
        gateway.peer.error(-1, 1102, "restored - data maintained")
        await heard(gateway, 97, 2)
        gateway.peer.say(99, gateway.requests(97)[1][1], 1, 1362061830, 441.0, 100, 0, "NASDAQ", "")
        await feed.first(lambda event: isinstance(event, Tick), seconds=30, what="a tick")
        (finding,) = await findings_when(stack_settings, 1)
    assert isinstance(finding, Quarantined)
    assert finding.reason.startswith("ticks between 2013-02-28 14:30:00 and 2013-02-28 14:30:30 were missed")


async def test_beyond_the_lines_the_more_urgent_goes_first_and_the_other_is_told_that_it_waits(
    stack_settings: Settings,
) -> None:
    await ready(stack_settings)
    few = stack_settings.model_copy(update={"ib_lines": 1})
    async with scripted_gateway() as gateway, publishing(few, gateway.port):
        await want(few, a_want(IBM, "IBM", holder="api"))
        await heard(gateway, 50, 1)
        await want(few, a_want(APPLE, "AAPL", urgency="trading"))
        await heard(gateway, 50, 2)
        assert len(gateway.requests(51)) == 1, "the watcher's line was given up"
        async with asyncio.timeout(30):
            while True:
                told = await everything(few, "market.subscriptions.v1")
                newest = {each.symbol: each.problem for each in told if isinstance(each, Subscription)}
                if newest.get("IBM") and "AAPL" in newest:
                    break
                await asyncio.sleep(0.1)
    assert newest["AAPL"] == ""
    assert "no line is left, all 1 are in use" in newest["IBM"]


async def test_a_repeated_bar_is_dropped_and_one_out_of_order_or_impossible_is_quarantined(
    stack_settings: Settings,
) -> None:
    await ready(stack_settings)
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port, gap_seconds=0.2):
        await want(stack_settings, a_want())
        await heard(gateway, 50, 1)
        tell_bars(gateway, 0, 3)
        tell_bars(gateway, 2, 3)
        tell_bars(gateway, 1, 2)
        say_bar(gateway, 3, high=400.0)
        say_bar(gateway, 4, close=float("nan"))
        tell_bars(gateway, 5, 6)
        bars = await bars_when(stack_settings, 4)
        findings = await findings_when(stack_settings, 4)
    assert [bar.start for bar in bars] == [OPEN + number * LIVE_BAR for number in (0, 1, 2, 5)]
    assert [f.rule.value for f in findings if isinstance(f, Quarantined)] == [
        "out_of_order",
        "ohlc_range",
        "not_finite",
        "gap",
    ], "what stood in their place is asked for, and nobody was there to bring it"


async def test_a_flood_is_taken_in_order_and_a_lone_tick_leaves_at_once(stack_settings: Settings) -> None:
    await ready(stack_settings)
    async with scripted_gateway() as gateway, publishing(stack_settings, gateway.port), Desk(stack_settings) as desk:
        await want(stack_settings, a_want(ticks=True))
        await heard(gateway, 97, 1)
        number = gateway.requests(97)[0][1]
        feed = await desk.feed(["market.ticks.v1"])
        flood = 20_000
        for price in range(1, flood + 1):
            gateway.peer.say(99, number, 1, 1362061800, price, 100, 0, "NASDAQ", "")
        await gateway.peer.writer.drain()
        prices = []
        async for event in feed.events(30):
            prices += [event.price] if isinstance(event, Tick) else []
            if len(prices) == flood:
                break
        assert prices == list(range(1, flood + 1))

        waits = [float("inf")]
        while min(waits) >= 0.05 and len(waits) < 200:
            begun = time.perf_counter()
            gateway.peer.say(99, number, 1, 1362061800, 7.5, 100, 0, "NASDAQ", "")
            await feed.first(lambda event: isinstance(event, Tick), seconds=30, what="a tick")
            waits.append(time.perf_counter() - begun)
        assert min(waits) < 0.05, "it waits for no others; a machine that is busy may make most of them wait"


async def test_without_a_gateway_the_service_runs_and_says_why_it_is_not_ready(stack_settings: Settings) -> None:
    async with publishing(stack_settings, port=9) as service:
        await want(stack_settings, a_want())
        async with asyncio.timeout(30):
            while "nothing answers" not in service.why_not_ready().get("gateway", ""):
                await asyncio.sleep(0.02)


async def findings_when(settings: Settings, count: int) -> list[Event]:
    """What was set aside, once it is so much: it goes by another topic than the bars."""
    async with asyncio.timeout(30):
        while len(found := await everything(settings, "market.quarantine.v1")) < count:
            await asyncio.sleep(0.1)
    return found


# the scripted gateway's bars


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
    async with asyncio.timeout(30):
        while len(gateway.requests(message_id)) < count:
            await asyncio.sleep(0.01)
