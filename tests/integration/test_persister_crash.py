"""A real persister, killed again and again while bars, repeats and poison come in: nothing is lost, nothing twice."""

import asyncio
import random
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaProducer, TopicPartition

from infra import broker, topic_admin
from infra.columns import bar_digest, frame_of
from infra.embedded.fostering import Foster, Nursery
from infra.settings import Settings
from infra.store.bars import read_bars
from infra.store.database import Store
from schemas.market import Bar
from tests.builders import NOON, a_bar
from tests.integration.a_forked_service import a_forked_service, ended

Persister = Callable[[], AbstractContextManager[Foster]]
KILLS = 20
SLICE = 25
CONTRACTS = 7
_TRIES = 10
"""A machine that is busy may make most of them wait."""
POISON = (
    b"{not json",
    b"",
    b'{"type":"Bar"}',
    b"\xff\xfe" * 40,
    a_bar().to_json().replace(b'"low":439.25', b'"low":999.0'),
)


def _bar(number: int) -> Bar:
    """A bar every second, for each of a few contracts in turn; no two are alike."""
    return a_bar(
        contract_id=1 + number % CONTRACTS,
        bar_size=timedelta(seconds=1),
        start=NOON + timedelta(seconds=number),
        open=440.0 + number % 3,
        high=450.0 + number / 7,
        low=430.0 - number / 7,
        volume=float(number),
    )


class Feed:
    """Sends bars without pause, each twice, with a poison record now and then; remembers all of it."""

    def __init__(self, producer: AIOKafkaProducer, settings: Settings) -> None:
        self._producer = producer
        self._topic = settings.topic_prefix + "market.bars.v1"
        self._dice = random.Random(1)
        self._ended = False
        self.bars: list[Bar] = []
        self.poison: set[tuple[int, int]] = set()

    async def run(self) -> None:
        while not self._ended:
            await self._send([_bar(len(self.bars) + index) for index in range(SLICE)])
            await asyncio.sleep(self._dice.uniform(0, 0.02))

    def end(self) -> None:
        self._ended = True

    async def say(self, value: bytes) -> None:
        """One more record."""
        await self._producer.send_and_wait(self._topic, value, key=b"1")

    async def _send(self, bars: list[Bar]) -> None:
        sent = []
        for bar in bars:
            for _ in range(2):
                key = str(bar.contract_id).encode()
                sent.append(await self._producer.send(self._topic, bar.to_json(), key=key))
        poison = await self._producer.send(self._topic, self._dice.choice(POISON), key=b"1")
        await asyncio.gather(*sent)
        place = await poison
        self.bars += bars
        self.poison.add((place.partition, place.offset))


async def _rows(database: asyncpg.Connection) -> int:
    return int(await database.fetchval("SELECT count(*) FROM bars"))


async def _until_rows(database: asyncpg.Connection, count: int, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        while await _rows(database) < count:
            await asyncio.sleep(0.005)


async def _dead_letters(settings: Settings) -> list[tuple[int, int]]:
    """Partition and offset of all that was set aside, repeats included."""
    consumer = broker.reader(settings)
    await consumer.start()
    try:
        places = [TopicPartition(settings.topic_prefix + "market.bars.v1.dlq", number) for number in range(4)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        found: list[tuple[int, int]] = []
        for place in places:
            while await consumer.position(place) < ends[place]:
                for record in (await consumer.getmany(place, timeout_ms=200)).get(place, []):
                    headers = dict(record.headers)
                    found.append((int(headers["scizor_dlq_partition"]), int(headers["scizor_dlq_offset"])))
        return found
    finally:
        await consumer.stop()


async def _one_life(persister: Persister, database: asyncpg.Connection, dice: random.Random) -> None:
    """A persister that stores something and dies at once, or while it goes on."""
    before = await _rows(database)
    with persister():
        await _until_rows(database, before + 1, 60)
        await asyncio.sleep(dice.choice([0, dice.uniform(0, 0.3)]))


async def _last_life(persister: Persister, database: asyncpg.Connection, feed: Feed) -> float:
    """A persister that catches up; the fewest seconds that a good bar took right after poison."""
    seconds = [float("inf")]
    with persister() as process:
        await _until_rows(database, len(feed.bars), 60)
        while min(seconds) >= 1 and len(seconds) < _TRIES:
            for poison in POISON:
                await feed.say(poison)
            begun = time.monotonic()
            good = _bar(len(feed.bars))
            await feed.say(good.to_json())
            feed.bars.append(good)
            await _until_rows(database, len(feed.bars), 30)
            seconds.append(time.monotonic() - begun)
        process.send(signal.SIGTERM)
        assert await ended(process) == 0
        return min(seconds)


async def test_no_bar_is_lost_or_doubled_by_kills_repeats_and_poison(
    stack_settings: Settings, nursery: Nursery, tmp_path: Path
) -> None:
    persister = partial(a_forked_service, nursery, "consumers.persister", stack_settings, tmp_path / "persister.log")
    await topic_admin.apply(stack_settings)
    database = await asyncpg.connect(stack_settings.database_url.get_secret_value())
    producer = broker.producer(stack_settings)
    await producer.start()
    feed = Feed(producer, stack_settings)
    feeding = asyncio.create_task(feed.run())
    try:
        for number in range(KILLS):
            await _one_life(persister, database, random.Random(number))
        feed.end()
        await feeding
        seconds_to_next_good = await _last_life(persister, database, feed)
        stored = await _rows(database)
    finally:
        feeding.cancel()
        await producer.stop()
        await database.close()

    store = Store(stack_settings, "persister")
    async with store.reading() as connection:
        table = await read_bars(connection)
    await store.close()
    assert stored == len(feed.bars)
    assert bar_digest(table) == bar_digest(frame_of(feed.bars))
    assert set(await _dead_letters(stack_settings)) >= feed.poison
    assert seconds_to_next_good < 1
