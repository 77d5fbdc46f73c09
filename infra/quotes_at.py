"""What was quoted at moments of the past, looked up on the topic of quotes: as far as it still holds them."""

import asyncio
from bisect import bisect_right
from collections.abc import Iterable
from datetime import datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra import broker
from infra.delivery import MalformedRecordError, parse
from infra.settings import Settings
from infra.topics import Catalogue, TopicSpec, load_catalogue
from schemas.market import Quote

AGE_MAX = timedelta(seconds=60)
"""An older quote says nothing about the moment."""
RECORDS_MAX = 500_000
"""Of the topic, that one look reads: a busy day's quotes of a few symbols."""
_POLL_MS = 500
_PATIENCE_SECONDS = 30.0

Place = tuple[int, datetime]
"""A contract, and a wall time."""


async def quotes_at(
    settings: Settings, places: Iterable[Place], *, catalogue: Catalogue | None = None
) -> dict[Place, Quote]:
    """The last quote of each contract before each moment; missing where it was older than a minute, or none at all."""
    asked = sorted(set(places), key=lambda place: place[1])
    if not asked:
        return {}
    spec = (catalogue or load_catalogue()).topic_of(Quote)
    wanted = {contract_id for contract_id, _ in asked}
    heard: dict[int, list[Quote]] = {contract_id: [] for contract_id in wanted}
    consumer: AIOKafkaConsumer = broker.reader(settings)
    await consumer.start()
    try:
        topic = settings.topic_prefix + spec.name
        parts = [TopicPartition(topic, number) for number in range(spec.partitions)]
        consumer.assign(parts)
        since = int((asked[0][1] - AGE_MAX).timestamp() * 1000)
        until = int(asked[-1][1].timestamp() * 1000)
        starts = await consumer.offsets_for_times(dict.fromkeys(parts, since))
        ends = await consumer.offsets_for_times(dict.fromkeys(parts, until + 1))
        last = await consumer.end_offsets(parts)
        open_parts = {}
        for part in parts:
            begin, end = starts.get(part), ends.get(part)
            stop = end.offset if end is not None else last[part]
            if begin is not None and begin.offset < stop:
                consumer.seek(part, begin.offset)
                open_parts[part] = stop
            else:
                consumer.pause(part)
        await _hear(consumer, open_parts, spec, heard)
    finally:
        await consumer.stop()
    return _found(asked, heard)


async def _hear(
    consumer: AIOKafkaConsumer, stops: dict[TopicPartition, int], spec: TopicSpec, heard: dict[int, list[Quote]]
) -> None:
    count = 0
    while stops and count < RECORDS_MAX:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            polled = await consumer.getmany(timeout_ms=_POLL_MS, max_records=10_000)
        for part, records in polled.items():
            for record in records:
                count += 1
                if record.offset >= stops.get(part, 0) or int(record.key or b"0") not in heard:
                    continue
                try:
                    quote = parse(spec, record)
                except MalformedRecordError:
                    continue  # who reads the topic has set it aside
                if isinstance(quote, Quote):
                    heard[quote.contract_id].append(quote)
        for part in list(stops):
            if await consumer.position(part) >= stops[part]:
                consumer.pause(part)
                del stops[part]


def _found(asked: list[Place], heard: dict[int, list[Quote]]) -> dict[Place, Quote]:
    found = {}
    for contract_id, moment in asked:
        quotes = heard[contract_id]
        place = bisect_right([each.ingest_time for each in quotes], moment) - 1
        if place >= 0 and moment - quotes[place].ingest_time <= AGE_MAX and 0 < quotes[place].bid <= quotes[place].ask:
            found[contract_id, moment] = quotes[place]
    return found
