"""Replays through the cache find what replays without it find, read the log once, and notice another log."""

import asyncio
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import polars as pl
import pytest

from infra import bar_runs, broker, replay, replay_cache, series_replay, topic_admin
from infra.bar_replay import BarFilter, read_bars
from infra.series_replay import Runs, read_series, read_series_or_runs
from infra.settings import Settings
from schemas.event import Event
from schemas.market import PriceKind
from tests.builders import APPLE, NOON, SEEN, a_bar, a_historical_bar

WANTED = BarFilter(contract_ids=[APPLE, APPLE + 1, APPLE + 2], bar_size_seconds=5)
STEP = timedelta(seconds=5)


@pytest.fixture(autouse=True)
def _keeping_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_cache, "_RECORDS_MIN", 10)
    monkeypatch.setattr(bar_runs, "_BLOCK", 7)


async def send(settings: Settings, topic: str, events: Sequence[Event]) -> None:
    producer = broker.producer(settings, bulk=True)
    await producer.start()
    for event in events:
        key = str(getattr(event, "contract_id", 0)).encode()
        await producer.send(settings.topic_prefix + topic, event.to_json(), key=key)
    await producer.stop()


def some_history(dice: random.Random, count: int) -> list[Event]:
    """Bars of three contracts in any order, some of them twice, some corrected, some of other kinds."""
    return [
        a_historical_bar(
            contract_id=APPLE + dice.randrange(3),
            start=NOON + dice.randrange(60) * STEP,
            volume=float(dice.randrange(1000)),
            revision=dice.choice([0, 0, 0, 1, 2]),
            ingest_time=SEEN + timedelta(seconds=dice.randrange(100_000)),
            price_kind=dice.choice([PriceKind.TRADES, PriceKind.TRADES, PriceKind.BID]),
        )
        for _ in range(count)
    ]


async def both(settings: Settings, wanted: BarFilter) -> pl.DataFrame:
    """The bars by the cache, which are those without it."""
    arrays, sources = await read_series(settings, wanted)
    plain = await read_bars(settings, wanted=wanted)
    found = pl.DataFrame(arrays)
    assert found.equals(plain.select(found.columns))
    runs = await read_series_or_runs(settings, wanted, 0)
    if isinstance(runs, Runs):
        parts = [pl.DataFrame(part) for part in runs.portions(wanted.contract_ids or ())]
        assert pl.concat(parts).select(found.columns).equals(found)
        assert len(parts) > 1 or len(found) < 8
    assert sources == tuple(sorted(plain["source"].unique()))
    return found


def _us(moment: datetime) -> int:
    return int(moment.timestamp()) * 1_000_000


async def test_what_the_cache_gives_is_what_the_topics_give_while_they_grow(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    dice = random.Random(7)
    for round_ in range(4):
        await send(stack_settings, "market.history.v1", some_history(dice, 90))
        live = [a_bar(contract_id=APPLE + 1, start=NOON + (100 * round_ + n) * STEP) for n in range(20)]
        await send(stack_settings, "market.bars.v1", live)
        for wanted in (
            WANTED,
            replace(WANTED, contract_ids=[APPLE + 1], start_us=_us(NOON + 9 * STEP), end_us=_us(NOON + 40 * STEP)),
            replace(WANTED, known_by_us=_us(SEEN + timedelta(seconds=50_000))),
            replace(WANTED, price_kind="bid"),
            replace(WANTED, contract_ids=[4711]),
        ):
            await both(stack_settings, wanted)


async def read_again(settings: Settings) -> int:
    """How many records a replay takes from the broker."""
    counts = [0]
    await read_series(settings, WANTED, on_progress=counts.append)
    return counts[-1]


def segments(settings: Settings) -> int:
    return len(list((settings.home / "replay-cache").glob("*/*/*/segment.json")))


async def test_the_log_is_read_once_and_then_its_tail(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    await send(stack_settings, "market.history.v1", some_history(random.Random(1), 300))
    assert await read_again(stack_settings) == 300
    assert await read_again(stack_settings) == segments(stack_settings)  # of each the last record, to see that it is it
    await send(stack_settings, "market.history.v1", some_history(random.Random(2), 5))
    assert await read_again(stack_settings) == segments(stack_settings) + 5
    await send(stack_settings, "market.history.v1", some_history(random.Random(3), 200))
    await read_again(stack_settings)
    assert await read_again(stack_settings) <= segments(stack_settings)


async def test_another_log_under_the_same_name_is_noticed(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    await send(stack_settings, "market.history.v1", some_history(random.Random(1), 200))
    first = await both(stack_settings, WANTED)
    admin = broker.admin(stack_settings)
    await admin.start()
    name = stack_settings.topic_prefix + "market.history.v1"
    await admin.delete_topics([name])
    while name in await admin.list_topics():
        await asyncio.sleep(0.05)
    await admin.close()
    await topic_admin.apply(stack_settings)
    await send(stack_settings, "market.history.v1", some_history(random.Random(9), 250))

    second = await both(stack_settings, WANTED)

    assert not second.equals(first)


async def test_a_long_log_becomes_several_segments_in_one_reading(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_replay, "_AT_ONCE", 20)
    monkeypatch.setattr(replay, "_POLL_RECORDS", 15)
    await topic_admin.apply(stack_settings)
    await send(stack_settings, "market.history.v1", some_history(random.Random(5), 300))
    await asyncio.wait_for(both(stack_settings, WANTED), 30)
    assert segments(stack_settings) > 3
    await both(stack_settings, WANTED)


async def test_a_file_that_a_crash_has_cut_off_is_read_from_the_log_again(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    await send(stack_settings, "market.history.v1", some_history(random.Random(1), 200))
    whole = await both(stack_settings, WANTED)
    for file in (stack_settings.home / "replay-cache").rglob("*.arrow"):
        os.truncate(file, 100)
    assert (await both(stack_settings, WANTED)).equals(whole)


async def test_the_cache_stays_below_its_bound_or_is_not_there(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    await send(stack_settings, "market.history.v1", some_history(random.Random(1), 200))
    nothing = stack_settings.model_copy(update={"replay_cache_mb": 0})
    await both(nothing, WANTED)
    assert not (stack_settings.home / "replay-cache").exists()
    await both(stack_settings, WANTED)
    kept = replay_cache.ReplayCache(stack_settings)
    kept._bytes_max = 1
    (folder,) = (stack_settings.home / "replay-cache").iterdir()
    assert not kept._make_room(1, list(folder.iterdir())), "what is being read stays"
    assert kept._make_room(1, ())
    assert list(folder.iterdir()) == []
    await both(stack_settings, WANTED)


async def test_a_log_that_outgrows_the_cache_is_read_whole_all_the_same(
    stack_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(series_replay, "_AT_ONCE", 20)
    monkeypatch.setattr(replay, "_POLL_RECORDS", 15)
    monkeypatch.setattr(replay_cache.ReplayCache, "_make_room", lambda *_: segments(stack_settings) < 2)
    await topic_admin.apply(stack_settings)
    await send(stack_settings, "market.history.v1", some_history(random.Random(5), 300))
    for _ in range(2):
        await both(stack_settings, WANTED)
    assert 0 < segments(stack_settings) <= 2
