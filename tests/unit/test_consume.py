"""What is committed when a record cannot be dealt with, or the broker is away."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from infra.consume import Membership, RecordConsumer
from infra.delivery import Delivery
from infra.topics import TopicSpec, load_catalogue
from tests.integration.conftest import settings_of_this_run

TOPIC = "trading.decisions.v1"
PLACE = TopicPartition(TOPIC, 0)


@dataclass
class Deliverer:
    """Deals with all records but one."""

    cannot: int = -1
    dealt_with: list[int] = field(default_factory=list)

    async def deliver(self, record: Any, attempts: object) -> None:
        if record.offset == self.cannot:
            raise ValueError("nowhere to put it")
        self.dealt_with.append(record.offset)

    def topic_of(self, record: Any) -> TopicSpec:
        return load_catalogue().topic(record.topic)


@dataclass
class Broker:
    """Takes commits, but for the first so many."""

    away_for: int = 0
    committed: list[int] = field(default_factory=list)

    async def commit(self, offsets: Mapping[TopicPartition, tuple[int, str]]) -> None:
        if self.away_for:
            self.away_for -= 1
            raise KafkaConnectionError
        self.committed.append(offsets[PLACE][0])


@dataclass(frozen=True)
class Polled:
    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Message:
    raw_message: Polled
    consumer: Broker


class Consumer(RecordConsumer):
    """Of one partition, which is its own."""

    def __init__(self, home: Path, deliverer: Deliverer, broker: Broker) -> None:
        settings = settings_of_this_run(home).model_copy(update={"kafka": "127.0.0.1:9"})
        member = Membership(settings, "executor", static=True)
        super().__init__([TOPIC], member, settings, cast(Delivery, deliverer))
        self.drain.owned = frozenset({PLACE})
        self.broker = broker
        self._subscriber.consumer = cast(Any, broker)

    async def take(self, offset: int) -> None:
        await self._handle(cast(Any, Message(Polled(TOPIC, 0, offset), self.broker)))


async def test_what_comes_after_a_record_that_failed_is_not_dealt_with_and_the_process_hears_of_it(
    tmp_path: Path,
) -> None:
    deliverer, broker = Deliverer(cannot=7), Broker()
    consumer = Consumer(tmp_path, deliverer, broker)
    running = asyncio.create_task(consumer.run())

    await consumer.take(6)
    with pytest.raises(ValueError, match="nowhere to put it"):
        await consumer.take(7)
    await consumer.take(8)

    with pytest.raises(ValueError, match="nowhere to put it"):
        await running
    assert (deliverer.dealt_with, broker.committed) == ([6], [7])


async def test_a_commit_that_the_broker_could_not_take_is_made_up_for(tmp_path: Path) -> None:
    broker = Broker(away_for=1)
    consumer = Consumer(tmp_path, Deliverer(), broker)

    await consumer.take(6)
    assert broker.committed == []
    running = asyncio.create_task(consumer.run())
    async with asyncio.timeout(30):
        while not broker.committed:
            await asyncio.sleep(0.01)
    running.cancel()

    assert broker.committed == [7]
