"""Topics read again from the beginning, up to where they ended when the reading began."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra import broker
from infra.delivery import MalformedRecordError, Record, TransientError, parse
from infra.garbage import collecting_seldom
from infra.settings import Settings
from infra.topics import Catalogue, load_catalogue
from schemas.event import Event

_POLL_MS = 500
_POLL_RECORDS = 10_000
_PATIENCE_SECONDS = 30.0
_IDLE_POLLS_MAX = round(_PATIENCE_SECONDS * 1000 / _POLL_MS)

Start = Callable[[Mapping[TopicPartition, int]], Mapping[TopicPartition, int | range | None]]


class ReplayStalledError(TransientError):
    def __init__(self, places: Iterable[TopicPartition]) -> None:
        missing = ", ".join(f"{place.topic}-{place.partition}" for place in sorted(places))
        super().__init__(
            f"Kafka has brought nothing of {missing[:300]} for {_PATIENCE_SECONDS:.0f} s, though there is more: "
            "look whether it is up (`scizor status`), then try again"
        )


class Reader(Protocol):
    """What of a consumer is used here."""

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Record]]: ...

    async def position(self, partition: TopicPartition) -> int: ...

    def pause(self, *partitions: TopicPartition) -> None: ...


async def read_to_end(
    settings: Settings,
    topics: Sequence[str],
    *,
    start: Start = lambda begins: begins,
    on_extent: Callable[[int], None] = lambda _: None,
    catalogue: Catalogue | None = None,
) -> AsyncGenerator[list[Record], None]:
    """Polls of raw records of `topics` (logical names), from the beginning to the present end offsets.

    `start` may answer, from where each partition begins, where to begin instead, between which offsets to stay, or None
    to leave it out. `on_extent` gets how many records there are to come, at most.
    Order holds within a partition. A replay ends where the topic ended when it began, never at a timestamp.
    Raises ReplayStalledError when nothing comes for half a minute.
    """
    consumer: AIOKafkaConsumer = broker.reader(settings, max_partition_fetch_bytes=4 * 1024 * 1024)
    await consumer.start()
    try:
        specs = [(catalogue or load_catalogue()).topic(topic) for topic in topics]
        places = [TopicPartition(settings.topic_prefix + s.name, n) for s in specs for n in range(s.partitions)]
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
        wished = start(begins)
        spans = {
            place: _span(at, range(begins[place], ends[place]))
            for place in places
            if (at := wished.get(place, 0)) is not None
        }
        on_extent(sum(map(len, spans.values())))
        spans = {place: span for place, span in spans.items() if span}
        if spans:
            consumer.assign(list(spans))
        for place, span in spans.items():
            consumer.seek(place, span.start)
        with collecting_seldom():
            async with aclosing(polls_of(consumer, spans)) as polls:
                async for records in polls:
                    yield records
    finally:
        await consumer.stop()


def _span(wished: int | range, there: range) -> range:
    """What is there of what is wished."""
    if isinstance(wished, range):
        return range(max(wished.start, there.start), min(wished.stop, there.stop))
    return range(max(wished, there.start), there.stop)


async def polls_of(consumer: Reader, spans: Mapping[TopicPartition, range]) -> AsyncGenerator[list[Record], None]:
    """Records between these offsets, of a consumer that stands where they begin."""
    ends = {place: span.stop for place, span in spans.items()}
    at = {place: span.start for place, span in spans.items()}
    idle = 0
    while at:
        polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
        for place, records in polled.items():
            wanted = records if records[-1].offset < ends[place] else [r for r in records if r.offset < ends[place]]
            if wanted:
                yield wanted
        await asyncio.sleep(0)  # what was fetched ahead comes without a wait: heartbeats want their turn
        async with asyncio.timeout(_PATIENCE_SECONDS):
            now_at = {place: await consumer.position(place) for place in at}
        idle = idle + 1 if now_at == at else 0  # such a poll has waited for all of its time
        if idle >= _IDLE_POLLS_MAX:
            raise ReplayStalledError(at)
        at = {place: position for place, position in now_at.items() if position < ends[place]}
        for place in now_at.keys() - at.keys():
            consumer.pause(place)


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
