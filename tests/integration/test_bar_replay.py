"""A replay of bars: one per natural key, the newest revision, sorted by time, filtered."""

import aiokafka
import pytest

from infra import broker, topic_admin
from infra.bar_replay import BarFilter, read_bars
from infra.settings import Settings
from schemas.event import Event
from schemas.market import Basis, PriceKind
from tests.builders import APPLE, NOON, a_bar, a_historical_bar


async def send(settings: Settings, topic: str, events: list[Event]) -> None:
    producer: aiokafka.AIOKafkaProducer = broker.producer(settings)
    await producer.start()
    for event in events:
        await producer.send(settings.topic_prefix + topic, event.to_json(), key=b"k")
    await producer.stop()


@pytest.mark.parametrize("twice", [False, True], ids=["once", "every record twice"])
async def test_history_and_live_bars_merge_by_time_with_the_newest_revision(
    stack_settings: Settings, twice: bool
) -> None:
    await topic_admin.apply(stack_settings)
    second = NOON.replace(minute=5)
    corrected = a_historical_bar(volume=7.0, revision=1)
    history: list[Event] = [a_historical_bar(start=second), corrected, a_historical_bar(volume=5.0)]
    history += [a_historical_bar(price_kind=PriceKind.BID), a_historical_bar(basis=Basis.TOTAL_RETURN)]
    live: list[Event] = [a_bar(start=NOON.replace(minute=1)), a_bar(contract_id=APPLE + 1)]
    await send(stack_settings, "market.history.v1", history * (2 if twice else 1))
    await send(stack_settings, "market.bars.v1", live * (2 if twice else 1))

    everything = await read_bars(stack_settings)
    filtered = await read_bars(stack_settings, wanted=BarFilter(contract_ids=[APPLE], bar_size_seconds=5))

    assert everything["volume"].to_list() == [7.0, 1200.0, 1200.0, 1200.0]
    assert everything["contract_id"].to_list() == [APPLE, APPLE + 1, APPLE, APPLE]
    assert everything["end_us"].is_sorted()
    assert filtered["contract_id"].to_list() == [APPLE] * 3
    assert len(await read_bars(stack_settings, wanted=BarFilter(price_kind=None, basis=None))) == 6
    assert len(await read_bars(stack_settings, wanted=BarFilter(price_kind="bid"))) == 1


async def test_nothing_matches_nothing_comes(stack_settings: Settings) -> None:
    await topic_admin.apply(stack_settings)
    assert (await read_bars(stack_settings, wanted=BarFilter(bar_size_seconds=60))).is_empty()
