"""Live data through a gateway's failures: the topic against the simulator's ledger, which is the judge.

No bar lost, none twice, in order; those of the outage flagged late, and equal to what the gateway says of its past.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from infra.gateway.slots import Timing
from infra.settings import Settings
from schemas.market import Bar, Quarantined, Quote, Subscription, Tick, Want
from tests.integration.a_gateway import HASTY
from tests.integration.a_live_feed import APPLE, IBM, a_want, everything, farming, publishing, ready, want
from tests.integration.a_simulator import Simulator, a_simulator

SPEED = 20.0
STEP = timedelta(seconds=5)

# what is done to the gateway, one after the other: bars go missing each time
FAULTS: dict[str, list[dict[str, Any]]] = {
    "the link to IB": [
        {"outage": {"seconds": 1.5, "restored": 1101}},
        {"outage": {"seconds": 1.0, "restored": 1102}},
        {"outage": {"seconds": 1.0, "restored": 1102, "announced": False}},
        {"outage": {"seconds": 1.5, "restored": 1101, "repeat": 0.4}},
    ],
    "the socket": [
        {"restart": {"seconds": 1.0}},
        {"restart": {"seconds": 0.5, "code": 1300}},
        {"half_open": {"seconds": 1.0, "client_id": 11}},
    ],
    "the farms": [
        {"farm": {"name": "usfarm", "state": "broken", "seconds": 1.0}},
        {"farm": {"name": "usfarm", "state": "broken", "seconds": 1.0, "kills_subscriptions": True}},
    ],
}


class Judge:
    """What was published, against what the gateway told."""

    def __init__(self, simulator: Simulator, bars: list[Bar]) -> None:
        self._simulator = simulator
        self.bars = bars

    def check(self) -> None:
        starts = [bar.start for bar in self.bars]
        assert starts == [starts[0] + number * STEP for number in range(len(starts))], "lost, doubled or out of order"
        live = {_moment(line["start"]): _prices(line) for line in self._simulator.lines("bar")}
        past = {
            _moment(start): prices
            for line in self._simulator.lines("bars")
            for start, *prices in line["bars"]
            if line["bar_size_seconds"] == 5
        }
        for bar in self.bars:
            said = past[bar.start] if bar.late else live[bar.start]
            assert [bar.open, bar.high, bar.low, bar.close, bar.volume] == said


def _prices(line: dict[str, Any]) -> list[float]:
    return [line[name] for name in ("open", "high", "low", "close", "volume")]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


async def published(settings: Settings) -> list[Bar]:
    return [event for event in await everything(settings, "market.bars.v1") if isinstance(event, Bar)]


async def until_bars(settings: Settings, condition: Any, seconds: float = 40) -> list[Bar]:
    async with asyncio.timeout(seconds):
        while not condition(bars := await published(settings)):
            await asyncio.sleep(0.1)
    return bars


def back_to_normal(bars: list[Bar], since: int = 0) -> bool:
    """Late bars have come since there were so many, and live ones after them."""
    return any(bar.late for bar in bars[since:]) and not any(bar.late for bar in bars[-4:])


@contextlib.asynccontextmanager
async def a_live_market(
    settings: Settings, folder: Path, *wants: Want, timing: Timing | None = None, **changes: Any
) -> AsyncIterator[Simulator]:
    """A simulated market, the data farmer and market_data, with these wants."""
    await ready(settings)
    await want(settings, *wants)
    settings = settings.model_copy(update=changes)
    async with a_simulator(folder, speed=SPEED) as simulator:
        port = simulator.server.port
        async with farming(settings, port), publishing(settings, port, timing=timing):
            yield simulator


@pytest.mark.parametrize("faults", FAULTS.values(), ids=list(FAULTS))
async def test_after_each_outage_nothing_is_missing(
    stack_settings: Settings, tmp_path: Path, faults: list[dict[str, Any]]
) -> None:
    async with a_live_market(stack_settings, tmp_path, a_want(), timing=HASTY) as simulator:
        bars = await until_bars(stack_settings, lambda bars: len(bars) >= 4)
        for fault in faults:
            before = len(bars)
            simulator.server.gateway.director.do(fault)
            bars = await until_bars(stack_settings, partial(back_to_normal, since=before))
        Judge(simulator, bars).check()


async def test_a_bust_ends_no_series(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_live_market(stack_settings, tmp_path, a_want()) as simulator:
        before = await until_bars(stack_settings, lambda bars: len(bars) >= 4)
        simulator.server.gateway.director.do({"bar_bust": {"symbol": "AAPL"}})
        bars = await until_bars(stack_settings, lambda bars: len(bars) >= len(before) + 6)
        Judge(simulator, bars).check()
        asked = [line for line in simulator.lines("request") if line["request"] == "reqRealTimeBars"]
    assert len(asked) == 2


async def test_a_competing_session_is_told_and_waited_for(stack_settings: Settings, tmp_path: Path) -> None:
    async with a_live_market(stack_settings, tmp_path, a_want()) as simulator:
        await until_bars(stack_settings, lambda bars: len(bars) >= 4)
        simulator.server.gateway.director.do({"competing": {"seconds": 1.5}})
        bars = await until_bars(stack_settings, back_to_normal)
        Judge(simulator, bars).check()
        events = await everything(stack_settings, "market.subscriptions.v1")
        told = [event.problem for event in events if isinstance(event, Subscription)]
    assert any("10197" in problem and "waits until that one has ended" in problem for problem in told)


async def test_ticks_and_quotes_beyond_the_limit_come_with_the_market_data_and_their_gaps_are_told(
    stack_settings: Settings, tmp_path: Path
) -> None:
    """Sixty lines permit three feeds tick by tick: of four, one comes as market data."""
    wants = [a_want(bars=False, ticks=True, quotes=True), a_want(IBM, "IBM", bars=False, ticks=True, quotes=True)]
    async with a_live_market(stack_settings, tmp_path, *wants, ib_lines=60) as simulator:
        kinds = {(each, name) for each in (APPLE, IBM) for name in ("Tick", "Quote")}

        async def heard() -> set[tuple[int, str]]:
            found = await everything(stack_settings, "market.ticks.v1", "market.quotes.v1")
            return {(each.contract_id, type(each).__name__) for each in found if isinstance(each, Tick | Quote)}

        async with asyncio.timeout(30):
            while not await heard() >= kinds:
                await asyncio.sleep(0.1)
        simulator.server.gateway.director.do({"outage": {"seconds": 1.0, "restored": 1101}})
        expected = {(each, feed) for each in (APPLE, IBM) for feed in ("ticks", "quotes")}
        async with asyncio.timeout(30):
            while not (gaps := await gaps_of(stack_settings)) >= expected:
                await asyncio.sleep(0.1)
        ticks = [each for each in await everything(stack_settings, "market.ticks.v1") if isinstance(each, Tick)]
        requests = {line["request"] for line in simulator.lines("request")}
        # the market goes on: what is told is read after what was heard
        told = {(line["contract_id"], line["price"], line["size"]) for line in simulator.lines("tick")}
    assert requests >= {"reqTickByTickData", "reqMktData"}
    assert {(each.contract_id, each.price, each.size) for each in ticks} <= told
    assert gaps == expected


async def gaps_of(settings: Settings) -> set[tuple[int, str]]:
    """Of which contract, and of which feed, a gap was told."""
    findings = await everything(settings, "market.quarantine.v1")
    return {(each.contract_id, each.reason.split()[0]) for each in findings if isinstance(each, Quarantined)}
