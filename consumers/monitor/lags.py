"""How far each group is behind, as Kafka knows it: also of a service that does not run."""

import asyncio
from collections.abc import AsyncIterator

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from infra import broker
from infra.settings import Settings
from infra.topics import Catalogue


async def lags_of(
    settings: Settings, catalogue: Catalogue, pause_seconds: float
) -> AsyncIterator[tuple[str, str, int]]:
    """Service, topic and records not taken, of every group again and again, until nobody asks for more."""
    log = structlog.get_logger()
    admin, reader = broker.admin(settings), broker.reader(settings)
    await admin.start()
    await reader.start()
    try:
        while True:
            for name, service in catalogue.services.items():
                if not service.reads:
                    continue
                try:
                    found = await _lags(admin, reader, settings.topic_prefix, f"{settings.topic_prefix}{name}")
                except (KafkaError, TimeoutError) as error:
                    log.warning("lag not seen", group=name, reason=repr(error))
                    continue
                for topic, behind in found.items():
                    yield name, topic, behind
            await asyncio.sleep(pause_seconds)
    finally:
        await reader.stop()
        await admin.close()


async def _lags(admin: AIOKafkaAdminClient, reader: AIOKafkaConsumer, prefix: str, group: str) -> dict[str, int]:
    """Of topics that the group has committed to; one that has never begun is not behind, it is away."""
    done: dict[TopicPartition, int] = {
        place: found.offset for place, found in (await admin.list_consumer_group_offsets(group)).items()
    }
    ends = await reader.end_offsets(list(done))
    lags: dict[str, int] = {}
    for place, offset in done.items():
        topic = place.topic.removeprefix(prefix)
        lags[topic] = lags.get(topic, 0) + max(0, ends[place] - offset)
    return lags
