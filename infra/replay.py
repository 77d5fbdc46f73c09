"""Topics read again from the beginning, up to where they ended when the reading began."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra import broker
from infra.delivery import MalformedRecordError, Record, parse
from infra.garbage import collecting_seldom
from infra.settings import Settings
from infra.topics import Catalogue, load_catalogue
from schemas.event import Event

_POLL_MS = 500
_POLL_RECORDS = 10_000
_PATIENCE_SECONDS = 30.0


async def read_to_end(
    settings: Settings,
    topics: Sequence[str],
    *,
    start: Callable[[Mapping[TopicPartition, int]], Mapping[TopicPartition, int | None]] = lambda begins: begins,
    on_extent: Callable[[int], None] = lambda _: None,
    catalogue: Catalogue | None = None,
) -> AsyncGenerator[list[Record], None]:
    """Polls of raw records of `topics` (logical names), from the beginning to the present end offsets.

    `start` may answer, from where each partition begins, where to begin instead, or None to leave it out. `on_extent`
    gets how many records there are to come, at most.
    Order holds within a partition. A replay ends where the topic ended when it began, never at a timestamp.
    """
    consumer: AIOKafkaConsumer = broker.reader(settings, max_partition_fetch_bytes=4 * 1024 * 1024)
    await consumer.start()
    try:
        specs = [(catalogue or load_catalogue()).topic(topic) for topic in topics]
        places = [TopicPartition(settings.topic_prefix + s.name, n) for s in specs for n in range(s.partitions)]
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        wished = start(begins)
        starts = {place: max(at, begins[place]) for place in places if (at := wished.get(place, 0)) is not None}
        consumer.assign(list(starts))
        for place, at in starts.items():
            consumer.seek(place, at)
        on_extent(sum(max(0, ends[place] - at) for place, at in starts.items()))
        remaining = {place for place, at in starts.items() if ends[place] > at}
        with collecting_seldom():
            while remaining:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
                for place, records in polled.items():
                    wanted = (
                        records if records[-1].offset < ends[place] else [r for r in records if r.offset < ends[place]]
                    )
                    if wanted:
                        yield wanted
                await asyncio.sleep(0)  # what was fetched ahead comes without a wait: heartbeats want their turn
                for place in list(remaining):
                    if await consumer.position(place) >= ends[place]:
                        remaining.discard(place)
                        consumer.pause(place)
    finally:
        await consumer.stop()


async def with_records(settings: Settings, topics: Sequence[str], *, catalogue: Catalogue | None = None) -> list[str]:
    """Those of `topics` that hold anything now, in their order: one look, however many there are."""
    consumer: AIOKafkaConsumer = broker.reader(settings)
    await consumer.start()
    try:
        specs = [(catalogue or load_catalogue()).topic(topic) for topic in topics]
        places = [TopicPartition(settings.topic_prefix + s.name, n) for s in specs for n in range(s.partitions)]
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    filled = {place.topic.removeprefix(settings.topic_prefix) for place in places if ends[place] > begins[place]}
    return [topic for topic in topics if topic in filled]


async def fold(
    settings: Settings, topics: Sequence[str], *, catalogue: Catalogue | None = None
) -> AsyncIterator[tuple[Event, Record]]:
    """Every event of `topics` from the beginning to the present end; what cannot be parsed is passed over.

    A malformed record was, or will be, set aside by the group that reads the topic.
    """
    catalogue = catalogue or load_catalogue()
    async for records in read_to_end(settings, topics, catalogue=catalogue):
        for record in records:
            topic = catalogue.topic(record.topic.removeprefix(settings.topic_prefix))
            try:
                event = parse(topic, record)
            except MalformedRecordError:
                continue
            yield event, record
