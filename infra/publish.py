"""Events out: each to the one topic of its type, with the headers that topics.yaml says."""

import asyncio
import functools
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaTimeoutError
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.producer.message_accumulator import BatchBuilder

from infra import broker
from infra.clock import Clock
from infra.errors import ScizorError
from infra.metrics import Metrics
from infra.settings import Settings
from infra.topics import Catalogue, TopicSpec
from schemas.event import Event
from schemas.ids import named

Headers = list[tuple[str, bytes]]
_Row = tuple[bytes, bytes, int, Headers]
"""Key, value, timestamp_ms, headers."""
_IN_FLIGHT_MAX = 64
_FLUSH_SECONDS = 3.0
_EVENTS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:events")


class NotAWriterError(ScizorError):
    def __init__(self, service: str, topic: str) -> None:
        super().__init__(f"service {service} does not write {topic}: declare it under `writes` in topics.yaml")


@dataclass(frozen=True)
class Origin:
    """Where an event came from: what its consequences carry as their cause."""

    topic: str
    """Logical name, without prefix."""
    partition: int
    offset: int
    key: bytes | None
    timestamp_ms: int
    received_at: datetime
    """Wall time."""
    event_id: str = ""
    correlation_id: str = ""
    headers: tuple[tuple[str, bytes | None], ...] = field(default=(), repr=False)


class Outgoing(NamedTuple):
    """A record about to be published. `topic` is the logical name."""

    topic: str
    key: bytes
    value: bytes
    headers: Headers
    timestamp_ms: int


def outgoing(topic: TopicSpec, event: Event, cause: Origin | None, source: str) -> Outgoing:
    """The record of an event; its ids are functions of its content, so that a repeat is recognisable."""
    value = event.to_json()
    timestamp_ms = int(event.ingest_time.timestamp() * 1000)
    key = topic.key_of(event)
    if topic.headers == "none":
        return Outgoing(topic.name, key, value, [], timestamp_ms)
    event_id = named(_EVENTS, b"%s\0%s" % (topic.name.encode(), value))
    correlation, trace = _followed(cause.correlation_id if cause and cause.correlation_id else event_id)
    version, kind, origin, content = _alike(topic.event_type_of(type(event)), source)
    headers = [
        version,
        ("ce_id", event_id.encode()),
        kind,
        origin,
        ("ce_time", event.event_time.isoformat().encode()),
        content,
        correlation,
        ("traceparent", f"{trace}{event_id[:8]}{event_id[9:13]}{event_id[14:18]}-01".encode()),
    ]
    if cause is not None and cause.event_id:
        headers.append(("causation_id", cause.event_id.encode()))
    return Outgoing(topic.name, key, value, headers, timestamp_ms)


@functools.lru_cache(maxsize=1024)
def _alike(kind: str, source: str) -> tuple[tuple[str, bytes], ...]:
    """Headers that all records of a kind have alike."""
    return (
        ("ce_specversion", b"1.0"),
        ("ce_type", kind.encode()),
        ("ce_source", source.encode()),
        ("content-type", b"application/json"),
    )


@functools.lru_cache(maxsize=1024)  # what follows from one cause is told in one go
def _followed(correlation: str) -> tuple[tuple[str, bytes], str]:
    """The header that names it, and how the trace of all that follows from it begins."""
    trace = named(_EVENTS, correlation).replace("-", "")
    return ("correlation_id", correlation.encode()), f"00-{trace}-"


class Publisher:
    """Publishes for one service: acks of all replicas, idempotent, only to topics it declared."""

    def __init__(self, service: str, settings: Settings, catalogue: Catalogue, clock: Clock, metrics: Metrics) -> None:
        self._service = service
        self._settings = settings
        self._catalogue = catalogue
        self._clock = clock
        self._metrics = metrics
        self._writes = frozenset(catalogue.services[service].writes)
        self._producer: AIOKafkaProducer | None = None
        self._bulk: AIOKafkaProducer | None = None
        self._bulk_lock = asyncio.Lock()
        self._partitioner = DefaultPartitioner()

    async def start(self) -> None:
        self._producer = broker.producer(self._settings)
        await self._producer.start()

    async def stop(self) -> None:
        """What the broker does not take within seconds is given up: nobody was told that it was published."""
        for producer in (self._producer, self._bulk):
            if producer is None:
                continue
            try:
                async with asyncio.timeout(_FLUSH_SECONDS):
                    await producer.stop()
            except TimeoutError:  # it tries as long as the broker is away
                await producer.client.close()
                await producer._sender.close()

    def prepare(self, event: Event, cause: Origin | None = None) -> Outgoing:
        """The record of `event`; refuses a topic that this service does not declare."""
        topic = self._catalogue.topic_of(type(event))
        if topic.name not in self._writes:
            raise NotAWriterError(self._service, topic.name)
        return outgoing(topic, event, cause, f"scizor/{self._service}")

    async def publish(self, event: Event, cause: Origin | None = None) -> None:
        """Publish and wait until the broker has it."""
        await self.send(self.prepare(event, cause))

    async def send(self, record: Outgoing) -> None:
        """Publish a prepared record and wait until the broker has it."""
        await (await self.post(record))

    async def post(self, record: Outgoing) -> "asyncio.Future[object]":
        """Hand a record to the producer, in order; the future is done when the broker has it."""
        assert self._producer is not None, "the publisher was not started"
        begun = self._clock.monotonic()
        future: asyncio.Future[object] = await self._producer.send(
            self._settings.topic_prefix + record.topic,
            record.value,
            key=record.key,
            timestamp_ms=record.timestamp_ms,
            headers=record.headers or None,
        )
        self._count_when_done(future, record.topic, 1, begun)
        return future

    async def post_all(self, records: Sequence[Outgoing]) -> "asyncio.Future[Any]":
        """Hand records to the producer, in order for each key; the future is done when the broker has all of them."""
        producer = self._producer
        assert producer is not None, "the publisher was not started"
        begun = self._clock.monotonic()
        alike: dict[str, list[Outgoing]] = {}
        for record in records:
            alike.setdefault(record.topic, []).append(record)
        sent: list[asyncio.Future[object]] = []
        for topic, told in alike.items():
            physical = self._settings.topic_prefix + topic
            partitions = sorted(await producer.partitions_for(physical))
            rows = ((each.key, each.value, each.timestamp_ms, each.headers) for each in told)
            for partition, batch in self._filled(producer, partitions, rows):
                future = await _queued(producer, batch, physical, partition)
                self._count_when_done(future, topic, batch.record_count(), begun)
                sent.append(future)
        if len(sent) == 1:
            return sent[0]
        together = asyncio.gather(*sent)
        together.add_done_callback(_look_at)
        return together

    def _count_when_done(self, future: "asyncio.Future[object]", topic: str, count: int, begun: float) -> None:
        counters = self._metrics.published(topic)

        def told(done: "asyncio.Future[object]") -> None:
            if done.cancelled() or done.exception() is not None:
                counters.failed.inc(count)
                return
            counters.succeeded.inc(count)
            seconds = self._clock.monotonic() - begun
            for _ in range(count):
                counters.duration.observe(seconds)

        future.add_done_callback(told)

    async def send_raw(self, topic: str, record: Outgoing) -> None:
        """Publish to a physical topic name: dead letters and their replay."""
        assert self._producer is not None, "the publisher was not started"
        await self._producer.send_and_wait(
            topic, record.value, key=record.key, timestamp_ms=record.timestamp_ms, headers=record.headers
        )

    async def publish_many(self, events: Iterable[Event]) -> int:
        """Bulk path: publish events in large compressed batches; returns how many the broker took."""
        by_topic: dict[str, list[Outgoing]] = {}
        for event in events:
            record = self.prepare(event)
            by_topic.setdefault(record.topic, []).append(record)
        return sum([await self.send_batches(topic, records) for topic, records in by_topic.items()])

    async def send_batches(self, topic: str, records: Sequence[Outgoing]) -> int:
        """Bulk path of one topic, order kept per key."""
        return await self.send_columns(topic, [(r.key, r.value, r.timestamp_ms, r.headers) for r in records])

    async def send_columns(self, topic: str, records: Iterable[_Row]) -> int:
        """Bulk path for records that are bytes already: (key, value, timestamp_ms, headers) each."""
        producer = await self._bulk_producer()
        physical = self._settings.topic_prefix + topic
        partitions = sorted(await producer.partitions_for(physical))
        in_flight: set[asyncio.Future[object]] = set()
        count = 0
        for partition, batch in self._filled(producer, partitions, records):
            in_flight.add(await producer.send_batch(batch, physical, partition=partition))
            count += batch.record_count()
            if len(in_flight) >= _IN_FLIGHT_MAX:
                done, _ = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                in_flight.difference_update(done)
                for future in done:
                    future.result()
        await asyncio.gather(*in_flight)
        self._metrics.published(topic).succeeded.inc(count)
        return count

    def _filled(
        self, producer: AIOKafkaProducer, partitions: list[int], rows: Iterable[_Row]
    ) -> Iterator[tuple[int, BatchBuilder]]:
        """Batches as they fill, and what is left of them at the end; each is closed: nobody else adds to it."""
        filling: dict[int, BatchBuilder] = {}
        places: dict[bytes, int] = {}
        for key, value, timestamp_ms, headers in rows:
            place = places.get(key)
            if place is None:
                place = places[key] = self._partitioner(key, partitions, partitions)
            batch = filling.get(place)
            if batch is not None and batch.append(key=key, value=value, timestamp=timestamp_ms, headers=headers):
                continue
            if batch is not None:
                yield place, batch
            batch = filling[place] = producer.create_batch()
            appended = batch.append(key=key, value=value, timestamp=timestamp_ms, headers=headers)
            assert appended is not None, "one record is larger than a whole batch"
        for place, batch in filling.items():
            batch.close()
            yield place, batch

    async def _bulk_producer(self) -> AIOKafkaProducer:
        async with self._bulk_lock:
            if self._bulk is None:
                self._bulk = broker.producer(self._settings, bulk=True)
                await self._bulk.start()
            return self._bulk


async def _queued(
    producer: AIOKafkaProducer, batch: BatchBuilder, topic: str, partition: int
) -> "asyncio.Future[object]":
    """Hand a batch over as soon as the one before it has left. That one is never given up while the broker is away:
    whoever gave this one up would publish both again."""
    while True:
        try:
            future: asyncio.Future[object] = await producer.send_batch(batch, topic, partition=partition)
            return future
        except KafkaTimeoutError:
            continue


def _look_at(done: "asyncio.Future[Any]") -> None:
    """A failure is counted for each batch; that nobody waits for all of them any more is no news for the log."""
    if not done.cancelled():
        done.exception()
