"""The records that journals name, read once more, forwards."""

from collections import deque
from collections.abc import AsyncIterator, Collection, Iterable
from typing import Any

from aiokafka import TopicPartition

from infra import broker
from infra.delivery import MalformedRecordError, Record, parse
from infra.errors import ScizorError
from infra.journal.spans import Span
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.event import Event
from schemas.place import Place

_POLL_MS = 500
_POLL_RECORDS = 1_000
_PATIENCE_POLLS = 60


class InputsGoneError(ScizorError):
    def __init__(self, place: Place, offset: int) -> None:
        super().__init__(f"{place[0]}/{place[1]} no longer holds offset {offset}, which was consumed")
        self.place = place
        self.offset = offset


class Inputs:
    """Topics read once more, place by place; in memory is one poll of each."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.topic_prefix
        self._consumer = broker.reader(settings)
        self._buffers: dict[Place, deque[Record]] = {}
        self._begins: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> "Inputs":
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._consumer.stop()

    async def begin(self, spans: Iterable[Span]) -> None:
        """Read anew: each place from the first offset that `spans` have of it."""
        first: dict[Place, int] = {}
        for span in spans:
            first[span.place] = min(span.first, first.get(span.place, span.first))
        if not first:
            return
        places = {TopicPartition(self._prefix + topic, number): at for (topic, number), at in first.items()}
        self._buffers = {place: deque() for place in first}
        self._consumer.assign(list(places))
        self._begins = await self._consumer.beginning_offsets(list(places))
        self._ends = await self._consumer.end_offsets(list(places))
        for place, offset in places.items():
            self._consumer.seek(place, max(offset, self._begins[place]))

    async def of(self, span: Span) -> AsyncIterator[Record]:
        """The records of a span; spans of one place are asked for in their order."""
        topic, number = span.place
        source = TopicPartition(self._prefix + topic, number)
        if self._begins[source] > span.first:
            raise InputsGoneError(span.place, span.first)
        if self._ends[source] <= span.last:
            raise InputsGoneError(span.place, span.last)
        buffer = self._buffers[span.place]
        polls = 0
        while True:
            while buffer:
                if buffer[0].offset > span.last:
                    return
                record = buffer.popleft()
                if record.offset >= span.first:
                    yield record
                if record.offset == span.last:
                    return
            polled = await self._consumer.getmany(source, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
            buffer.extend(polled.get(source, ()))
            polls = 0 if polled else polls + 1
            if polls > _PATIENCE_POLLS:
                raise InputsGoneError(span.place, span.last)

    async def events(self, span: Span, keys: Collection[bytes] = ()) -> AsyncIterator[tuple[Event, Record]]:
        """The events of a span; with `keys`, only those of these keys."""
        topic = load_catalogue().topic(span.place[0])
        async for record in self.of(span):
            if keys and record.key not in keys:
                continue
            try:
                event = parse(topic, record)
            except MalformedRecordError:
                continue  # it was set aside
            yield event, record
