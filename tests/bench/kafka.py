"""Bars through Kafka in bulk: publishing frames and replaying topics, beside bare aiokafka in the same process.

Rates are bars per CPU second of this process, medians of interleaved runs: the broker's work is not ours to spend.
"""

import asyncio
import statistics
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner

from infra import broker, topic_admin
from infra.bar_records import encode_bars, publish_bars
from infra.bar_replay import BarFilter, read_bars
from infra.clock import SystemClock
from infra.columns import BAR_SCHEMA
from infra.embedded.kafka import Folders, KafkaServer
from infra.metrics import Metrics
from infra.publish import Publisher
from infra.series_replay import read_series
from infra.settings import Settings
from infra.topics import TopicSpec, load_catalogue
from schemas.market import HistoricalBar

_TOPIC = "market.history.v1"
_SYMBOLS = {1000 + number: f"SYM{number}" for number in range(20)}
_FIVE_SECONDS_US = 5_000_000
_FIRST_US = 1_362_061_800_000_000
_INGEST_US = 1_760_000_000_123_456
_RUNS = 5


def run(quick: bool) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="scizor-bench-") as home:
        server = KafkaServer(Folders(Path(home) / "kafka", Path(home) / "logs", Settings().home / "jars"))
        server.start()
        try:
            return asyncio.run(_measure(server.address, count=100_000 if quick else 400_000))
        finally:
            server.stop()


def a_frame(count: int) -> pl.DataFrame:
    """Bars of 20 contracts at prices in cents, as collection brings them: one contract after another."""
    dice = np.random.default_rng(1)
    each = count // len(_SYMBOLS)
    number = np.tile(np.arange(each, dtype=np.int64), len(_SYMBOLS))
    rows = len(number)
    close = 440 + dice.integers(-4000, 4000, rows) / 100
    opening = close + dice.integers(-50, 50, rows) / 100
    start = _FIRST_US + number * _FIVE_SECONDS_US
    return pl.DataFrame(
        {
            "contract_id": np.repeat(np.array(list(_SYMBOLS), dtype=np.int64), each),
            "bar_size_seconds": np.full(rows, 5, dtype=np.int64),
            "start_us": start,
            "end_us": start + _FIVE_SECONDS_US,
            "ingest_us": np.full(rows, _INGEST_US, dtype=np.int64),
            "open": np.round(opening, 2),
            "high": np.round(np.maximum(opening, close) + 0.25, 2),
            "low": np.round(np.minimum(opening, close) - 0.25, 2),
            "close": np.round(close, 2),
            "volume": dice.integers(0, 100_000, rows).astype(np.float64),
            "source": ["derived"] * rows,
            "price_kind": ["trades"] * rows,
            "basis": ["split_adjusted"] * rows,
            "revision": np.zeros(rows, dtype=np.int64),
            "late": np.zeros(rows, dtype=np.bool_),
        },
        schema=BAR_SCHEMA,
    )


async def _measure(address: str, count: int) -> list[dict[str, Any]]:
    settings, publisher = await _fresh(address)
    frame = a_frame(count)
    bare = broker.producer(settings, bulk=True)
    await bare.start()
    try:
        published = await _publish(settings, frame, publisher, bare, load_catalogue().topic(_TOPIC))
    finally:
        await publisher.stop()
        await bare.stop()
    return [published, *await _replay(address, frame)]


async def _fresh(address: str) -> tuple[Settings, Publisher]:
    """Empty topics, and a publisher to them."""
    settings = Settings().model_copy(update={"kafka": address, "topic_prefix": f"bench{uuid.uuid4().hex[:8]}."})
    await topic_admin.apply(settings)
    publisher = Publisher("data_farmer", settings, load_catalogue(), SystemClock(), Metrics("data_farmer"))
    await publisher.start()
    return settings, publisher


async def _publish(
    settings: Settings, frame: pl.DataFrame, publisher: Publisher, bare: AIOKafkaProducer, topic: TopicSpec
) -> dict[str, Any]:
    values: list[bytes] = encode_bars(HistoricalBar, frame, _SYMBOLS).to_list()
    keys = [str(contract_id).encode() for contract_id in frame["contract_id"].to_list()]

    async def ours() -> int:
        return await publish_bars(publisher, topic, frame, _SYMBOLS)

    async def raw() -> int:
        await _bare_batches(bare, settings.topic_prefix + _TOPIC, keys, values)
        return len(values)

    detail = f"{len(values)} bars from columns to acknowledged records, against ready-made bytes in hand-built batches"
    return await _compare("kafka.publish", ours, raw, detail)


async def _bare_batches(producer: AIOKafkaProducer, topic: str, keys: list[bytes], values: list[bytes]) -> None:
    """The least that aiokafka asks for: append to a batch per partition, send it when it is full, wait for all."""
    partitions = sorted(await producer.partitions_for(topic))
    choose = DefaultPartitioner()
    place_of = {key: choose(key, partitions, partitions) for key in set(keys)}
    batches = {partition: producer.create_batch() for partition in partitions}
    sent = []
    timestamp = _INGEST_US // 1000
    for key, value in zip(keys, values, strict=True):
        partition = place_of[key]
        if batches[partition].append(key=key, value=value, timestamp=timestamp, headers=[]) is None:
            batches[partition].close()
            sent.append(await producer.send_batch(batches[partition], topic, partition=partition))
            batches[partition] = producer.create_batch()
            batches[partition].append(key=key, value=value, timestamp=timestamp, headers=[])
    for partition, batch in batches.items():
        batch.close()
        sent.append(await producer.send_batch(batch, topic, partition=partition))
    await asyncio.gather(*sent)


async def _replay(address: str, frame: pl.DataFrame) -> list[dict[str, Any]]:
    settings, publisher = await _fresh(address)
    home = tempfile.TemporaryDirectory(prefix="scizor-bench-cache-")
    settings = settings.model_copy(update={"home": Path(home.name)})
    await publish_bars(publisher, load_catalogue().topic(_TOPIC), frame, _SYMBOLS)
    await publisher.stop()

    async def ours() -> int:
        found = await read_bars(settings, [_TOPIC])
        assert len(found) == len(frame), "every bar once"
        return len(found)

    async def raw() -> int:
        return await _bare_getmany(settings)

    async def cached() -> int:
        arrays, _ = await read_series(settings, BarFilter(contract_ids=list(_SYMBOLS), bar_size_seconds=5))
        assert len(arrays["start_us"]) == len(frame), "every bar once"
        return len(frame)

    detail = (
        f"{len(frame)} records decoded, checked, one per natural key and sorted, against getmany that looks at nothing "
        "with the collector as Python sets it; the replay lets the collector rest"
    )
    replayed = await _compare("kafka.replay", ours, raw, detail)
    await cached()
    detail = f"the same {len(frame)} bars from files and the ends of the topics, against the replay that is not cached"
    again = await _compare("kafka.replay.cached", cached, ours, detail)
    home.cleanup()
    return [replayed, again]


async def _bare_getmany(settings: Settings) -> int:
    consumer = broker.reader(settings, max_partition_fetch_bytes=4 * 1024 * 1024)
    await consumer.start()
    try:
        partitions = range(load_catalogue().topic(_TOPIC).partitions)
        places = [TopicPartition(settings.topic_prefix + _TOPIC, number) for number in partitions]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        count, wanted = 0, sum(ends.values())
        while count < wanted:
            polled = await consumer.getmany(timeout_ms=500, max_records=10_000)
            count += sum(map(len, polled.values()))
        return count
    finally:
        await consumer.stop()


async def _compare(
    name: str, ours: Callable[[], Awaitable[int]], raw: Callable[[], Awaitable[int]], detail: str
) -> dict[str, Any]:
    rates: dict[str, list[float]] = {"ours": [], "raw": []}
    for number in range(_RUNS + 1):
        for which, work in (("ours", ours), ("raw", raw)):
            begun = time.process_time()
            count = await work()
            if number:  # the first pair only warms up
                rates[which].append(count / (time.process_time() - begun))
    value, limit = (statistics.median(rates[which]) for which in ("ours", "raw"))
    return {"name": name, "value": value, "unit": "bars/CPU s", "raw": limit, "ratio": value / limit, "detail": detail}
