"""What was quoted at moments of the past, looked up on the topic of quotes: as far as it still holds them."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta

from aiokafka import TopicPartition

from infra import broker
from infra.delivery import MalformedRecordError, Record, parse
from infra.replay import read_to_end
from infra.settings import Settings
from infra.topics import Catalogue, TopicSpec, load_catalogue
from schemas.market import Quote

AGE_MAX = timedelta(seconds=60)
"""An older quote says nothing about the moment."""
RECORDS_MAX = 500_000
"""Of the topic, that one look reads: a busy day's quotes of a few symbols."""

Place = tuple[int, datetime]
"""A contract, and a wall time."""


async def quotes_at(
    settings: Settings, places: Iterable[Place], *, catalogue: Catalogue | None = None
) -> dict[Place, Quote]:
    """The last quote of each contract before each moment; missing where it was older than a minute, or none at all."""
    asked = sorted(set(places), key=lambda place: place[1])
    if not asked:
        return {}
    catalogue = catalogue or load_catalogue()
    spec = catalogue.topic_of(Quote)
    spans = await _spans(settings, spec, asked[0][1] - AGE_MAX, asked[-1][1])
    heard: dict[bytes, list[Quote]] = {_key(contract_id): [] for contract_id, _ in asked}
    count = 0
    async with aclosing(read_to_end(settings, [spec.name], start=lambda _: spans, catalogue=catalogue)) as polls:
        async for records in polls:
            take_in(spec, records, heard)
            count += len(records)
            if count >= RECORDS_MAX:
                break
    return newest_before(asked, {contract_id: heard[_key(contract_id)] for contract_id, _ in asked})


def _key(contract_id: int) -> bytes:
    """Of the contract's records. Others are not read at all: anybody may have written anything there."""
    return str(contract_id).encode()


def take_in(spec: TopicSpec, records: Iterable[Record], heard: Mapping[bytes, list[Quote]]) -> None:
    """Add what is quoted to what was heard by key, as far as the key is asked for."""
    for record in records:
        if (quotes := heard.get(record.key or b"")) is None:
            continue
        try:
            quote = parse(spec, record)
        except MalformedRecordError:
            continue  # who reads the topic has set it aside
        if isinstance(quote, Quote):
            quotes.append(quote)


async def _spans(
    settings: Settings, spec: TopicSpec, since: datetime, until: datetime
) -> Mapping[TopicPartition, range]:
    """Between which offsets lie the records of a time."""
    parts = [TopicPartition(settings.topic_prefix + spec.name, number) for number in range(spec.partitions)]
    consumer = broker.reader(settings)
    await consumer.start()
    try:
        firsts = await consumer.offsets_for_times(dict.fromkeys(parts, _milliseconds(since)))
        nexts = await consumer.offsets_for_times(dict.fromkeys(parts, _milliseconds(until) + 1))
        ends = await consumer.end_offsets(parts)
    finally:
        await consumer.stop()
    starts, stops = (
        {part: known.offset if (known := found.get(part)) else ends[part] for part in parts}
        for found in (firsts, nexts)
    )
    return {part: range(starts[part], stops[part]) for part in parts}


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)


def newest_before(asked: Sequence[Place], heard: Mapping[int, Sequence[Quote]]) -> dict[Place, Quote]:
    """Of each contract's quotes, in the order in which they came, the last before each moment that says something."""
    answers = {}
    for contract_id, moment in asked:
        quotes = heard[contract_id]
        place = bisect_right(quotes, moment, key=lambda quote: quote.ingest_time) - 1
        if place >= 0 and moment - quotes[place].ingest_time <= AGE_MAX and 0 < quotes[place].bid <= quotes[place].ask:
            answers[contract_id, moment] = quotes[place]
    return answers
