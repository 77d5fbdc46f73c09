"""Cassettes about live data against market_data and data farmer: what the gateway made is published, once, in order."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from infra.gateway_simulator.faults import cassette
from infra.settings import Settings
from producers.market_data import watch
from schemas.market import Bar, Delivery, Quarantined, QuarantineRule, Subscription
from tests.a_ledger import Ledger
from tests.integration.a_cassette import Played
from tests.integration.a_judged_desk import HURRY, hurried, impatient  # noqa: F401 # a fixture
from tests.integration.a_live_feed import (
    APPLE,
    IBM,
    a_want,
    bars_when,
    everything,
    farming,
    know,
    publishing,
    ready,
    want,
)
from tests.integration.a_simulator import a_simulator

pytestmark = pytest.mark.usefixtures("impatient", "watchful")

MICROSOFT = 272093
LIVE_BAR = timedelta(seconds=5)
SPEED = 20.0
ENOUGH = 8
"""Bars of a contract after the fault."""
NOT_TO_BE_HAD = frozenset({Delivery.DELAYED, Delivery.REFUSED})


@pytest.fixture
def watchful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed as much sooner as it is shorter."""
    monkeypatch.setattr(watch, "MISSING_MAX", watch.MISSING_MAX / HURRY)


@contextlib.asynccontextmanager
async def a_feed(settings: Settings, folder: Path, name: str) -> AsyncIterator[tuple[Settings, Played]]:
    """Three shares are wanted; the cassette is armed since before anybody connected."""
    async with a_simulator(folder, speed=SPEED) as simulator:
        played = Played(simulator, cassette.load(name))
        simulator.server.gateway.director.load(hurried(played.cassette))
        await ready(settings)
        await know(settings, (MICROSOFT, "MSFT", "NASDAQ"))
        await want(settings, a_want(), a_want(IBM, "IBM"), a_want(MICROSOFT, "MSFT"))
        port = simulator.server.port
        async with farming(settings, port), publishing(settings, port):
            yield settings, played


def true_bars(ledger: Ledger) -> dict[tuple[int, datetime], tuple[float, ...]]:
    """Every bar of five seconds that the gateway made, told or not, or served as history."""
    names = ("open", "high", "low", "close", "volume")
    found = {
        (line["contract_id"], datetime.fromisoformat(line["start"])): tuple(float(line[name]) for name in names)
        for line in ledger.of("bar")
    }
    for line in ledger.of("bars"):
        if line["bar_size_seconds"] == LIVE_BAR.total_seconds():
            found |= {(line["contract_id"], datetime.fromisoformat(row[0])): tuple(row[1:6]) for row in line["bars"]}
    return found


def holes(bars: list[Bar]) -> list[tuple[datetime, datetime]]:
    """Where a contract's bars do not follow each other: the end of one and the beginning of the next."""
    return [
        (before.event_time, after.start)
        for before, after in itertools.pairwise(bars)
        if before.event_time != after.start
    ]


def lies(ledger: Ledger, bars: list[Bar]) -> list[Bar]:
    true = true_bars(ledger)
    return [
        bar
        for bar in bars
        if true.get((bar.contract_id, bar.start)) != (bar.open, bar.high, bar.low, bar.close, bar.volume)
    ]


async def bars_of(settings: Settings, contract_id: int, after: datetime, seconds: float = 40) -> list[Bar]:
    """All bars of a contract, once enough begin after a moment."""
    async with asyncio.timeout(seconds):
        while True:
            found = [bar for bar in await bars_when(settings, 1) if bar.contract_id == contract_id]
            if sum(bar.start >= after for bar in found) >= ENOUGH:
                return found
            await asyncio.sleep(0.2)


@pytest.mark.parametrize(
    "name",
    [
        "bars-busted",
        "bars-refused",
        "competing-session",
        "farm-blip-kills-subscriptions",
        "frozen-quotes",
        "lines-used-up",
        "market-data-in-part",
        "market-farm-broken",
    ],
)
async def test_every_bar_is_published_once_in_order_and_true(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_feed(stack_settings, tmp_path, name) as (settings, played):
        await played.fired()
        market_now = datetime.fromisoformat(played.ledger().lines[-1]["market_time"])
        for contract_id in (APPLE, IBM, MICROSOFT):
            bars = await bars_of(settings, contract_id, market_now)
            assert holes(bars) == []
            assert lies(played.ledger(), bars) == []


async def test_a_live_bar_that_lies_is_quarantined_and_the_others_go_on(
    stack_settings: Settings, tmp_path: Path
) -> None:
    async with a_feed(stack_settings, tmp_path, "lying-live-bars") as (settings, played):
        await played.fired()
        market_now = datetime.fromisoformat(played.ledger().lines[-1]["market_time"])
        published = [await bars_of(settings, contract_id, market_now) for contract_id in (APPLE, IBM, MICROSOFT)]
        findings = await everything(settings, "market.quarantine.v1")

    assert [lies(played.ledger(), bars) for bars in published] == [[], [], []]
    rules = [each.rule for each in findings if isinstance(each, Quarantined)]
    assert QuarantineRule.NOT_FINITE in rules
    assert set(rules) <= {
        QuarantineRule.NOT_FINITE,
        QuarantineRule.OHLC_RANGE,
        QuarantineRule.GAP,
    }  # a bar without height cannot lie so
    assert sum(len(holes(bars)) for bars in published) <= len(rules)


@pytest.mark.parametrize("name", ["delayed-data-only", "no-market-data"])
async def test_what_is_not_bought_is_not_published_and_holds_up_nobody(
    stack_settings: Settings, tmp_path: Path, name: str
) -> None:
    async with a_feed(stack_settings, tmp_path, name) as (settings, played):
        await played.fired()
        market_now = datetime.fromisoformat(played.ledger().lines[-1]["market_time"])
        bars = await bars_of(settings, MICROSOFT, market_now)
        assert holes(bars) == []
        assert lies(played.ledger(), bars) == []
        assert {bar.contract_id for bar in await bars_when(settings, 1)} == {MICROSOFT}
        told = await until_both_are_refused(settings)
    newest = {each.contract_id: each for each in told}
    assert newest[MICROSOFT].feeds == {"bars": Delivery.LIVE}
    for contract_id in (APPLE, IBM):
        assert set(newest[contract_id].feeds.values()) <= {*NOT_TO_BE_HAD, Delivery.WAITING}


async def until_both_are_refused(settings: Settings) -> list[Subscription]:
    """All that was told of subscriptions, once it was told of both that they are not to be had, and why."""
    async with asyncio.timeout(30):
        while True:
            events = await everything(settings, "market.subscriptions.v1")
            told = [each for each in events if isinstance(each, Subscription)]
            refused = [each for each in told if each.problem and NOT_TO_BE_HAD.issuperset(each.feeds.values())]
            if {each.contract_id for each in refused} >= {APPLE, IBM}:
                return told
            await asyncio.sleep(0.1)
