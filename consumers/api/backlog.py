"""What a client missed for longer than memory reaches, read back from the topics: so much and no more."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra import broker
from infra.delivery import Record
from infra.settings import Settings

RECORDS_MAX = 20_000
"""Of all contracts of a partition: who was away for longer is told that there is a gap."""
_SECONDS_MAX = 5.0
_READERS_MAX = 4
_POLL_MS = 200


@dataclass(frozen=True)
class Span:
    """Offsets of a partition after one and up to another; up to the present end where none is said."""

    topic: str
    partition: int
    after: int
    upto: int | None

    @property
    def place(self) -> TopicPartition:
        return TopicPartition(self.topic, self.partition)


class TooMuchError(Exception):
    """The span is longer than what is read back, kept no longer, or cannot be read in time."""


class Backlog:
    """Reads for a few clients at a time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._turns = asyncio.Semaphore(_READERS_MAX)

    async def read(self, spans: Sequence[Span], key: bytes | None) -> tuple[list[Record], dict[TopicPartition, int]]:
        """Records of a key, or of all when it is None, oldest first; up to which offset of each partition they reach.

        Raises TooMuchError.
        """
        try:
            async with asyncio.timeout(_SECONDS_MAX), self._turns:
                consumer = broker.reader(self._settings)
                try:
                    await consumer.start()
                    return await self._read(consumer, spans, key)
                finally:
                    await consumer.stop()
        except (KafkaError, OSError) as error:  # a time-out is an OSError
            raise TooMuchError(f"it could not be read back ({type(error).__name__})") from error

    async def _read(
        self, consumer: AIOKafkaConsumer, spans: Sequence[Span], key: bytes | None
    ) -> tuple[list[Record], dict[TopicPartition, int]]:
        places = [span.place for span in spans]
        consumer.assign(places)
        begins, ends = await consumer.beginning_offsets(places), await consumer.end_offsets(places)
        upto = {s.place: min(ends[s.place] - 1, ends[s.place] if s.upto is None else s.upto) for s in spans}
        if any(begins[span.place] > span.after + 1 for span in spans):
            raise TooMuchError("it is kept no longer")
        if sum(upto[span.place] - span.after for span in spans) > RECORDS_MAX:
            raise TooMuchError(f"more than {RECORDS_MAX} events of all contracts have come since")
        for span in spans:
            consumer.seek(span.place, span.after + 1)
        found: list[Record] = []
        left = {span.place for span in spans if upto[span.place] > span.after}
        while left:
            for place, records in (await consumer.getmany(timeout_ms=_POLL_MS)).items():
                found += [each for each in records if key in (None, each.key) and each.offset <= upto[place]]
            left = {place for place in left if await consumer.position(place) <= upto[place]}
        found.sort(key=lambda record: record.timestamp)
        return found, upto
