"""All that a judge may look at: the gateway's ledger, the tables and topics, read without code of the product."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from tests.a_ledger import Ledger

TABLES = {
    "orders": "SELECT order_id, status, decision_id, created_at FROM orders",
    "decisions": "SELECT decision_id, decided_at FROM decisions",
    "fills": "SELECT execution_id, revision, type, last_quantity, last_price FROM fills",
    "commissions": "SELECT execution_id, revision, amount FROM commissions",
    "positions": "SELECT contract_id, quantity FROM positions",
    "book_positions": "SELECT contract_id, quantity FROM book_positions",
    "reservations": "SELECT order_id, remaining FROM reservations WHERE remaining > 0 AND strategy_id <> 'external'",
    "trading_state": "SELECT scope, mode FROM trading_state",
    "bars": "SELECT contract_id, start, close, volume FROM bars",
}


@dataclass(frozen=True)
class Said:
    """One record of a topic; `body` is None when it is no JSON object."""

    partition: int
    offset: int
    body: dict[str, Any] | None
    headers: dict[str, bytes]


@dataclass(frozen=True)
class Place:
    """Where to look."""

    kafka: str
    prefix: str
    database: str
    ledger: Path


@dataclass
class Evidence:
    """One look at everything."""

    ledger: Ledger
    tables: dict[str, list[Any]] = field(default_factory=dict)
    topics: dict[str, list[Said]] = field(default_factory=dict)
    behind: dict[str, int] = field(default_factory=dict)
    """Records that a group has not committed, by `group topic`."""

    def bodies(self, topic: str, *types: str) -> list[dict[str, Any]]:
        found = [each.body for each in self.topics.get(topic, ()) if each.body is not None]
        return [each for each in found if not types or each.get("type") in types]


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def exact(text: Any) -> Decimal:
    return Decimal(str(text))


async def gathered(place: Place, groups: dict[str, list[str]]) -> Evidence:
    """Everything as it is now; `groups` are the topics that each service reads."""
    seen = Evidence(Ledger.read(place.ledger))
    ends = await _read_topics(place, seen)
    await _read_groups(place, groups, ends, seen)  # before the tables: these hold at least what was committed
    connection = await asyncpg.connect(place.database, timeout=10)
    try:
        for table, statement in TABLES.items():
            seen.tables[table] = await connection.fetch(statement, timeout=10)
    finally:
        await connection.close()
    return seen


async def _partitions(place: Place) -> list[TopicPartition]:
    admin = AIOKafkaAdminClient(bootstrap_servers=place.kafka)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(place.prefix)]
        described = await admin.describe_topics(names)
    finally:
        await admin.close()
    return [TopicPartition(each["topic"], part["partition"]) for each in described for part in each["partitions"]]


async def _read_topics(place: Place, seen: Evidence) -> dict[TopicPartition, int]:
    parts = await _partitions(place)
    consumer = AIOKafkaConsumer(
        bootstrap_servers=place.kafka, group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        ends: dict[TopicPartition, int] = await consumer.end_offsets(parts)
        left = {part for part in parts if ends[part] > 0}
        consumer.assign(sorted(left))
        while left:
            for part, records in (await consumer.getmany(timeout_ms=100)).items():
                topic = part.topic.removeprefix(place.prefix)
                seen.topics.setdefault(topic, []).extend(_said(each) for each in records if each.offset < ends[part])
            left = {part for part in left if await consumer.position(part) < ends[part]}
    finally:
        await consumer.stop()
    return ends


def _said(record: Any) -> Said:
    try:
        body = json.loads(record.value)
    except (ValueError, TypeError, RecursionError):
        body = None
    held = body if isinstance(body, dict) else None
    return Said(record.partition, record.offset, held, dict(record.headers))


async def _read_groups(
    place: Place, groups: dict[str, list[str]], ends: dict[TopicPartition, int], seen: Evidence
) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=place.kafka)
    await admin.start()
    try:
        for group, topics in groups.items():
            done = await admin.list_consumer_group_offsets(place.prefix + group)
            for part in _parts(ends, {place.prefix + topic for topic in topics}):
                committed = done[part].offset if part in done else 0
                if behind := ends[part] - max(0, committed):
                    seen.behind[f"{group} {part.topic.removeprefix(place.prefix)}"] = behind
    finally:
        await admin.close()


def _parts(ends: dict[TopicPartition, int], names: set[str]) -> Iterable[TopicPartition]:
    return (part for part, end in ends.items() if part.topic in names and end > 0)
