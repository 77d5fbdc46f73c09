"""How fast stored market data grow, and how long the disk lasts at that pace."""

from dataclasses import dataclass
from pathlib import Path

from aiokafka import TopicPartition

from infra import broker
from infra.clock import SystemClock
from infra.settings import Settings
from infra.store.bar_years import sizes
from infra.store.database import Store
from infra.topics import load_catalogue
from schemas.market import Bar, HistoricalBar

_DAYS = 7
_DAY_MS = 86_400_000
_BYTES_PER_BAR = 400
"""On the disk, in tables and topics together, before there are any that could be measured."""


@dataclass(frozen=True)
class Growth:
    """Bars of the last days, and what one of them takes."""

    bars_per_day: float
    bytes_per_bar: float
    tables_bytes: int
    topics_bytes: int
    """0 when the broker's files are not on this machine."""

    def days_until_full(self, free_bytes: int) -> float:
        """Infinity when nothing comes."""
        per_day = self.bars_per_day * self.bytes_per_bar
        return free_bytes / per_day if per_day > 0 else float("inf")


async def growth_of(settings: Settings) -> Growth:
    """Record timestamps are when something was first seen: so offsets by time tell how much came lately."""
    now_ms = int(SystemClock().now().timestamp() * 1000)
    catalogue = load_catalogue()
    places = [
        TopicPartition(settings.topic_prefix + topic.name, number)
        for topic in map(catalogue.topic_of, (Bar, HistoricalBar))  # kept for ever; ticks and quotes have a retention
        for number in range(topic.partitions)
    ]
    async with broker.reader(settings) as reader:
        reader.assign(places)
        ends = await reader.end_offsets(places)
        since = await reader.offsets_for_times(dict.fromkeys(places, now_ms - _DAYS * _DAY_MS))
    records = sum(ends.values())
    lately = sum(ends[place] - found.offset for place, found in since.items() if found is not None)
    store = Store(settings, "cli", pool_size=1)
    try:
        async with store.reading() as connection:
            partitions = await sizes(connection)
    finally:
        await store.close()
    tables = sum(row["bytes"] for row in partitions if row["rows"])
    rows = sum(row["rows"] for row in partitions)
    topics = _bytes_under(settings.home / "kafka")
    per_bar = (tables / rows if rows else 0.0) + (topics / records if records else 0.0)
    return Growth(lately / _DAYS, per_bar or _BYTES_PER_BAR, tables, topics)


def _bytes_under(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
