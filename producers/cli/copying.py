"""Copies of a topic, to try things on: byte for byte, into a topic that no service knows."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from infra import broker
from infra.delivery import Record
from infra.errors import EnvironmentUnhealthyError, RefusedError
from infra.replay import read_to_end
from infra.settings import Settings
from infra.topics import TopicSpec, load_catalogue
from producers.cli.records import has_key, require_on_broker, with_dead_letters

_IN_FLIGHT_MAX = 1_000


class TopicOwnedError(RefusedError):
    def __init__(self, name: str) -> None:
        super().__init__(f"{name} belongs to SCIZOR, only its declared writers write it: name a topic of your own")


class TopicPresentError(RefusedError):
    def __init__(self, name: str) -> None:
        super().__init__(f"topic {name} exists already: a copy goes to a new topic")


async def copy(settings: Settings, source: TopicSpec, target: str, key: str | None) -> int:
    """Copy all present records of `source`, partition by partition, to the new topic `target`; returns how many."""
    catalogue = with_dead_letters(load_catalogue())
    if target in catalogue.topics or (settings.topic_prefix and target.startswith(settings.topic_prefix)):
        raise TopicOwnedError(target)
    await require_on_broker(settings, [source])
    await _create(settings, target, source.partitions)
    producer = broker.producer(settings, bulk=True)
    await producer.start()
    count = 0
    try:
        async for records in read_to_end(settings, [source.name], catalogue=catalogue):
            wanted = [record for record in records if has_key(record, key)]
            for start in range(0, len(wanted), _IN_FLIGHT_MAX):
                await _send(producer, target, wanted[start : start + _IN_FLIGHT_MAX])
            count += len(wanted)
    finally:
        await producer.stop()
    return count


async def _create(settings: Settings, target: str, partitions: int) -> None:
    client = broker.admin(settings)
    await client.start()
    try:
        config = {"retention.ms": "-1", "max.message.bytes": "16777216"}  # old records are no reason to expire a copy
        response = await client.create_topics([NewTopic(target, partitions, 1, topic_configs=config)])
    finally:
        await client.close()
    for _, code, *_ in response.topic_errors:
        if for_code(code) is TopicAlreadyExistsError:
            raise TopicPresentError(target)
        if code:
            raise EnvironmentUnhealthyError(f"Kafka refused to create topic {target}: {for_code(code).__name__}")


async def _send(producer: AIOKafkaProducer, target: str, records: Sequence[Record]) -> None:
    """Hand over in order, then wait until the broker has them all."""
    waiting = [
        await producer.send(
            target,
            record.value,
            key=record.key,
            partition=record.partition,
            timestamp_ms=record.timestamp,
            headers=list(record.headers),
        )
        for record in records
    ]
    await asyncio.gather(*waiting)
