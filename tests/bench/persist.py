"""Topic to table: the persister's own path, beside bare asyncpg paths that write the same rows into the same table.

All figures are rows per CPU second of this process, medians of interleaved rounds; each round has fresh keys.
"""

import asyncio
import contextlib
import gc
import json
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
from aiokafka import AIOKafkaConsumer
from pydantic import SecretStr

from consumers.persister import Persister
from infra import broker, migrate, topic_admin
from infra.clock import SystemClock
from infra.embedded.kafka import Folders, KafkaServer
from infra.embedded.postgres import PostgresServer
from infra.garbage import spare_the_collector
from infra.metrics import Metrics
from infra.publish import Publisher
from infra.service import Service
from infra.settings import Settings
from infra.store.database import Store
from infra.topics import Catalogue, load_catalogue
from schemas.market import HistoricalBar, Source

TOPIC = "market.history.v1"
POLL = 10_000
ROUNDS = 5
CONTRACTS = 20
FIRST = datetime(2013, 2, 28, 14, 30, tzinfo=UTC)

Row = tuple[Any, ...]
COLUMNS = (
    "contract_id", "bar_size_seconds", "start", "end_time", "ingest_time", "open", "high", "low", "close", "volume",
    "revision", "late", "source", "price_kind", "basis",
)  # fmt: skip
NAMES = ", ".join(COLUMNS)
TYPES = (
    "bigint", "int", "timestamptz", "timestamptz", "timestamptz", "float8", "float8", "float8", "float8", "float8",
    "int", "bool", "text", "text", "text",
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """What a round needs."""

    settings: Settings
    catalogue: Catalogue
    store: Store
    persister: Persister
    bare: asyncpg.Connection
    bars: int


def bars_of(round_number: int, count: int) -> Iterator[HistoricalBar]:
    """Random walks in cents of a few contracts, with keys that no other round has."""
    dice = np.random.default_rng(round_number)
    per_contract = count // CONTRACTS
    for contract in range(CONTRACTS):
        walk = np.round(400 + np.cumsum(dice.normal(0, 0.2, (per_contract, 2)), axis=0), 2)
        above, below = np.round(dice.uniform(0, 0.5, (2, per_contract)), 2)
        volume = dice.integers(1, 1_000_000, per_contract)
        for index in range(per_contract):
            opening, close = float(walk[index, 0]), float(walk[index, 1])
            start = FIRST + timedelta(seconds=5 * index)
            yield HistoricalBar(
                contract_id=1 + round_number * CONTRACTS + contract,
                symbol=f"SYM{contract}",
                bar_size=timedelta(seconds=5),
                start=start,
                event_time=start + timedelta(seconds=5),
                ingest_time=FIRST + timedelta(days=1, microseconds=index * 131),
                open=opening,
                high=round(max(opening, close) + float(above[index]), 2),
                low=round(min(opening, close) - float(below[index]), 2),
                close=close,
                volume=float(volume[index]),
                source=Source.SYNTHETIC,
            )


def row_of(bar: HistoricalBar) -> Row:
    return (
        bar.contract_id, int(bar.bar_size.total_seconds()), bar.start, bar.event_time, bar.ingest_time, bar.open,
        bar.high, bar.low, bar.close, bar.volume, bar.revision, bar.late, bar.source.value,
        bar.price_kind.value, bar.basis.value,
    )  # fmt: skip


async def cpu_seconds(work: Callable[[], Awaitable[Any]]) -> float:
    gc.collect()
    begun = time.process_time()
    await work()
    return time.process_time() - begun


async def persist(bench: Bench, round_number: int) -> float:
    """Rows per CPU second of getmany, decode, upsert and commit, as the service does it."""
    topic = bench.settings.topic_prefix + TOPIC
    publisher = Publisher("data_farmer", bench.settings, bench.catalogue, SystemClock(), Metrics("data_farmer"))
    await publisher.start()
    await publisher.publish_many(bars_of(round_number, bench.bars))
    await publisher.stop()
    group = {"group_id": f"{bench.settings.topic_prefix}bench", "enable_auto_commit": False}
    connection = broker.connection_options(bench.settings)
    consumer = AIOKafkaConsumer(
        topic, **connection, **group, auto_offset_reset="earliest", isolation_level="read_committed"
    )
    await consumer.start()
    stored = 0

    async def work() -> None:
        nonlocal stored
        while stored < bench.bars:
            polled = await consumer.getmany(timeout_ms=500, max_records=POLL)
            records = [record for part in polled.values() for record in part]
            if records:
                assert not await bench.persister.on_records(records)
                await consumer.commit({place: part[-1].offset + 1 for place, part in polled.items()})
                stored += len(records)

    try:
        seconds = await cpu_seconds(work)
    finally:
        await consumer.stop()
    return bench.bars / seconds


async def copy_then_merge(bench: Bench, round_number: int) -> float:
    rows = [row_of(bar) for bar in bars_of(round_number, bench.bars)]
    stage = f"CREATE TEMP TABLE IF NOT EXISTS bare ON COMMIT DELETE ROWS AS SELECT {NAMES} FROM bars WITH NO DATA"
    await bench.bare.execute(stage)

    async def work() -> None:
        for first in range(0, len(rows), POLL):
            async with bench.bare.transaction():
                await bench.bare.copy_records_to_table("bare", records=rows[first : first + POLL], columns=COLUMNS)
                await bench.bare.execute(f"INSERT INTO bars ({NAMES}) SELECT * FROM bare ON CONFLICT DO NOTHING")

    return len(rows) / await cpu_seconds(work)


async def unnest_upsert(bench: Bench, round_number: int) -> float:
    rows = [row_of(bar) for bar in bars_of(round_number, bench.bars)]
    arrays = ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(TYPES, 1))
    statement = await bench.bare.prepare(
        f"INSERT INTO bars ({NAMES}) SELECT * FROM unnest({arrays}) ON CONFLICT DO NOTHING"
    )

    async def work() -> None:
        for first in range(0, len(rows), POLL):
            async with bench.bare.transaction():
                await statement.fetch(*(list(column) for column in zip(*rows[first : first + POLL], strict=True)))

    return len(rows) / await cpu_seconds(work)


@contextlib.contextmanager
def servers(settings: Settings) -> Iterator[Settings]:
    """The servers of the settings, or a Kafka and a PostgreSQL of our own for as long as it takes."""
    with tempfile.TemporaryDirectory(prefix="scizor-bench-") as folder, contextlib.ExitStack() as stack:
        home = Path(folder)
        kafka, url = settings.kafka, settings.database_url.get_secret_value()
        if not kafka:
            server = KafkaServer(Folders(home / "kafka", home / "logs", settings.home / "jars"))
            stack.callback(server.stop)
            server.start()
            kafka = server.address
        if not url:
            database = PostgresServer(home / "postgres", home / "logs")
            stack.callback(database.stop)
            database.start()
            url = database.url
        prefix = f"bench{uuid.uuid4().hex[:8]}."
        yield settings.model_copy(update={"kafka": kafka, "database_url": SecretStr(url), "topic_prefix": prefix})


@contextlib.asynccontextmanager
async def prepared(settings: Settings, bars: int) -> AsyncIterator[Bench]:
    url = settings.database_url.get_secret_value()
    await migrate.upgrade_async(url)
    catalogue = load_catalogue()
    await topic_admin.apply(settings, catalogue)
    service = Service("persister", settings)
    store = Store(settings, "persister", pool_size=1)
    await store.start()
    bare = await asyncpg.connect(url)
    try:
        yield Bench(settings, catalogue, store, Persister(service, store), bare, bars)
    finally:
        await bare.close()
        await store.close()


async def _measure(settings: Settings, bars: int, rounds: int) -> dict[str, list[float]]:
    ways = (persist, copy_then_merge, unnest_upsert)
    figures: dict[str, list[float]] = {way.__name__: [] for way in ways}
    async with prepared(settings, bars) as bench:
        spare_the_collector()  # as the service does; the bare paths gain from it too
        number = 0
        for round_number in range(rounds + 1):
            for way in ways:
                number += 1
                rate = await way(bench, number)
                if round_number:  # the first round warms caches
                    figures[way.__name__].append(rate)
                await bench.bare.execute("TRUNCATE bars")
    return figures


def run(quick: bool) -> list[dict[str, Any]]:
    """`persist`: at least 0.6 of the faster bare path."""
    bars, rounds = (20_000, 3) if quick else (100_000, ROUNDS)
    with servers(Settings()) as settings:
        figures = asyncio.run(_measure(settings, bars, rounds))
    middle = {name: statistics.median(values) for name, values in figures.items()}
    raw = max(middle["copy_then_merge"], middle["unnest_upsert"])
    return [
        {
            "name": "persist",
            "value": round(middle["persist"]),
            "unit": "rows per CPU second",
            "raw": round(raw),
            "ratio": round(middle["persist"] / raw, 3),
            "detail": {
                "rows": bars,
                "rows_per_poll": POLL,
                "rounds": rounds,
                "copy_then_merge": round(middle["copy_then_merge"]),
                "unnest_upsert": round(middle["unnest_upsert"]),
            },
        }
    ]


if __name__ == "__main__":
    json.dump(run("--quick" in sys.argv), sys.stdout, indent=2)
    sys.stdout.write("\n")
