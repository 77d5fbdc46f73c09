"""Reading a topic beside the queue of work, from its beginning and for ever."""

import asyncio
from collections.abc import Callable

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra import broker
from infra.delivery import MalformedRecordError, Record, parse
from infra.settings import Settings
from infra.topics import TopicSpec
from schemas.event import Event

_POLL_MS = 500


async def follow(settings: Settings, topic: TopicSpec, note: Callable[[Event], None], caught_up: asyncio.Event) -> None:
    """Call `note` with every event; `caught_up` is set once what was in the topic at the start has been read."""
    consumer: AIOKafkaConsumer = broker.reader(settings)
    await consumer.start()
    try:
        name = settings.topic_prefix + topic.name
        places = [TopicPartition(name, number) for number in range(topic.partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while True:
            if not caught_up.is_set():
                reached = [await consumer.position(place) >= ends[place] for place in places]
                if all(reached):
                    caught_up.set()
            for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                for record in records:
                    _tell(topic, record, note)
    finally:
        await consumer.stop()


def _tell(topic: TopicSpec, record: Record, note: Callable[[Event], None]) -> None:
    try:
        note(parse(topic, record))
    except MalformedRecordError:
        return  # the group that does the work sets it aside
