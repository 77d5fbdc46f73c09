"""Where the published events of each contract ended, and the bars of the last day: what a restart goes on from."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

import msgspec
from aiokafka import TopicPartition

from infra import broker
from infra.delivery import MalformedRecordError, parse
from infra.replay import read_to_end
from infra.service import Service
from schemas.market import Bar

_BARS = "market.bars.v1"
_TAIL_RECORDS = 5_000
_SMALLEST = "PT5S"
_DAY = timedelta(days=1)


class _Stamp(msgspec.Struct):
    """What of a published event tells where its contract's events ended."""

    contract_id: int
    event_time: datetime
    ingest_time: datetime
    bar_size: str = _SMALLEST


async def ends_of(service: Service, topic: str) -> dict[int, tuple[datetime, datetime]]:
    """When the last event of each contract was true, and when it was received; of bars, those of five seconds."""
    settings = service.settings
    consumer = broker.reader(settings)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(_places(service, topic))
    finally:
        await consumer.stop()
    start = {place: max(0, end - _TAIL_RECORDS) for place, end in ends.items()}
    decode = msgspec.json.Decoder(_Stamp).decode
    last: dict[int, tuple[datetime, datetime]] = {}
    async for records in read_to_end(settings, [topic], start=lambda _: start, catalogue=service.catalogue):
        for record in records:
            try:
                stamp = decode(record.value or b"")
            except msgspec.MsgspecError:
                continue  # not ours: whoever reads the topic in a group sets it aside
            if stamp.bar_size == _SMALLEST:
                last[stamp.contract_id] = stamp.event_time, stamp.ingest_time
    return last


async def bars_of_a_day(service: Service) -> AsyncIterator[Bar]:
    """Live bars that were received in the last 24 hours, oldest first within a contract."""
    places = _places(service, _BARS)
    since = int((service.clock.now() - _DAY).timestamp() * 1000)
    consumer = broker.reader(service.settings)
    await consumer.start()
    try:
        found = await consumer.offsets_for_times(dict.fromkeys(places, since))
        ends = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    start = {place: known.offset if (known := found.get(place)) else ends[place] for place in places}
    topic = service.catalogue.topic(_BARS)
    async for records in read_to_end(service.settings, [_BARS], start=lambda _: start, catalogue=service.catalogue):
        for record in records:
            try:
                event = parse(topic, record)
            except MalformedRecordError:
                continue
            assert isinstance(event, Bar), "the topic of bars"
            yield event


def _places(service: Service, topic: str) -> Sequence[TopicPartition]:
    partitions = range(service.catalogue.topic(topic).partitions)
    return [TopicPartition(service.settings.topic_prefix + topic, number) for number in partitions]
