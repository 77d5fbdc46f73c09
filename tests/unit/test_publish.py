"""What a publisher hands to its producer while the broker is away: by hand, with nobody who sends."""

import asyncio
import gc
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import TopicAuthorizationFailedError
from aiokafka.producer.message_accumulator import MessageBatch

from infra import broker
from infra.clock import ManualClock
from infra.metrics import Metrics
from infra.publish import Outgoing, Publisher
from infra.settings import Settings
from infra.topics import load_catalogue
from tests.builders import SEEN

DECISIONS, BREACHES = "trading.decisions.v1", "risk.events.v1"
PATIENCE_SECONDS = 0.02


def a_record(topic: str = DECISIONS) -> Outgoing:
    return Outgoing(topic, b"DU1", b"{}", [], 0)


class ByHand:
    """A publisher whose broker takes what it has when it is told to."""

    def __init__(self) -> None:
        settings = Settings()
        self.publisher = Publisher("risk", settings, load_catalogue(), ManualClock(SEEN), Metrics("test"))
        self.producer: AIOKafkaProducer = broker.producer(settings)
        self.producer._txn_manager.set_pid_and_epoch(1, 0)
        topics = [(0, settings.topic_prefix + name, False, [(0, 0, 0, [0], [0])]) for name in (DECISIONS, BREACHES)]
        told = SimpleNamespace(API_VERSION=1, brokers=[(0, "127.0.0.1", 9, None)], controller_id=0, topics=topics)
        self.producer.client.cluster.update_metadata(told)
        self.publisher._producer = self.producer

    def taken(self) -> list[MessageBatch]:
        """Batches that are on their way, at most one of each partition."""
        nodes, _ = self.producer._message_accumulator.drain_by_nodes(set())
        return [batch for batches in nodes.values() for batch in batches.values()]


@pytest.fixture
async def hand(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ByHand]:
    monkeypatch.setattr(broker, "REQUEST_TIMEOUT_MS", int(PATIENCE_SECONDS * 1000))
    by_hand = ByHand()
    yield by_hand
    await by_hand.producer.stop()


@pytest.fixture
async def complaints() -> list[str]:
    """What the loop is told of that nobody has looked at."""
    told: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))
    return told


async def test_what_comes_after_records_that_wait_for_a_broker_waits_with_them(hand: ByHand) -> None:
    first = await hand.publisher.post_all([a_record()])
    handing_over = asyncio.create_task(hand.publisher.post_all([a_record(), a_record()]))
    await asyncio.wait([handing_over], timeout=5 * PATIENCE_SECONDS)
    assert not handing_over.done(), "given up, both would be published again although the first one is on its way"

    (batch,) = hand.taken()
    batch.done(0)
    second: asyncio.Future[Any] = await handing_over
    (rest,) = hand.taken()
    rest.done(1)

    await asyncio.gather(first, second)
    assert (batch.record_count, rest.record_count, hand.taken()) == (1, 2, [])


@pytest.mark.parametrize("given_up", [False, True])
async def test_a_failure_that_nobody_waits_for_any_more_is_no_news(
    hand: ByHand, complaints: list[str], given_up: bool
) -> None:
    future = await hand.publisher.post_all([a_record(), a_record(BREACHES)])
    if given_up:
        future.cancel()
    for batch in hand.taken():
        batch.failure(TopicAuthorizationFailedError())
    await asyncio.wait([future])
    await asyncio.sleep(0)

    del future, batch
    gc.collect()
    assert complaints == []
