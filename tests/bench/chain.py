"""The raw limit of latency: a bare aiokafka chain of three hops, each consumed, committed and sent on.

The first two hops write what they got into PostgreSQL before they send it on: one statement, one commit each.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic

from infra import broker
from infra.settings import Settings
from tests.bench.a_system import connect

_HOPS = 3
_TABLE = "CREATE TABLE IF NOT EXISTS bench_hops (number bigserial PRIMARY KEY, hop int NOT NULL, body bytea NOT NULL)"
_WRITE = "INSERT INTO bench_hops (hop, body) VALUES ($1, $2)"


class BareChain:
    """producer -> topic 0 -> row, topic 1 -> row, topic 2 -> the end; `round_trip` times one record."""

    def __init__(self, settings: Settings) -> None:
        run = uuid.uuid4().hex[:8]
        self._settings = settings
        self._topics = [f"{settings.topic_prefix}bench.{run}.hop{n}" for n in range(_HOPS)]
        self._producers: list[AIOKafkaProducer] = []
        self._consumers: list[AIOKafkaConsumer] = []
        self._databases: list[asyncpg.Connection[asyncpg.Record]] = []
        self._hops: list[asyncio.Task[None]] = []
        self._arrived: asyncio.Queue[int] = asyncio.Queue()

    async def start(self) -> None:
        admin = broker.admin(self._settings)
        await admin.start()
        await admin.create_topics([NewTopic(topic, 1, 1) for topic in self._topics])
        await admin.close()
        self._databases = [await connect(self._settings) for _ in range(_HOPS - 1)]
        await self._databases[0].execute(_TABLE)
        for topic in self._topics:
            consumer = AIOKafkaConsumer(
                topic,
                **broker.connection_options(self._settings),
                group_id=topic,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
            )
            await consumer.start()
            self._consumers.append(consumer)
            producer = broker.producer(self._settings)
            await producer.start()
            self._producers.append(producer)
        self._hops = [asyncio.create_task(self._hop(n)) for n in range(_HOPS)]

    async def _hop(self, number: int) -> None:
        consumer = self._consumers[number]
        while True:
            record = await consumer.getone()
            if number + 1 < _HOPS:
                await self._databases[number].execute(_WRITE, number, record.value)
                await self._producers[number + 1].send_and_wait(self._topics[number + 1], record.value)
            else:
                self._arrived.put_nowait(time.perf_counter_ns())
            await consumer.commit({TopicPartition(record.topic, record.partition): record.offset + 1})

    async def round_trip(self, value: bytes) -> float:
        """Milliseconds from handing a record to the first producer to its arrival behind the third hop."""
        begun = time.perf_counter_ns()
        await self._producers[0].send_and_wait(self._topics[0], value)
        return (await self._arrived.get() - begun) / 1e6

    async def stop(self) -> None:
        for task in self._hops:
            task.cancel()
        await asyncio.gather(*self._hops, return_exceptions=True)
        for client in (*self._consumers, *self._producers):
            await client.stop()
        for database in self._databases:
            await database.close()


@contextlib.asynccontextmanager
async def bare_chain(settings: Settings) -> AsyncIterator[BareChain]:
    chain = BareChain(settings)
    await chain.start()
    try:
        yield chain
    finally:
        await chain.stop()
