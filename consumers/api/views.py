"""What a service remembers of topics: the newest event of each key, or of the last keys that spoke."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar, cast

from infra.delivery import Failure, MalformedRecordError, Record, parse
from infra.publish import Origin
from infra.replay import fold
from infra.settings import Settings
from infra.topics import Catalogue, TopicSpec
from schemas.event import Event

E = TypeVar("E", bound=Event)


class Latest(Generic[E]):
    """The newest event of each key. Records that come again, after a restart or a fold, change nothing."""

    def __init__(self, key: Callable[[E], str], *, keys_max: int = 10_000) -> None:
        self._key = key
        self._keys_max = keys_max
        self._events: OrderedDict[str, tuple[E, int, int]] = OrderedDict()
        self._changed = asyncio.Condition()

    def get(self, key: str) -> E | None:
        known = self._events.get(key)
        return known[0] if known else None

    def all(self) -> Sequence[E]:
        return [event for event, _, _ in self._events.values()]

    def apply(self, event: E, partition: int, offset: int) -> None:
        """Take an event in; beyond `keys_max` the key that was silent longest is forgotten."""
        key = self._key(event)
        known = self._events.get(key)
        if known is not None and known[1] == partition and offset <= known[2]:
            return
        self._events[key] = (event, partition, offset)
        self._events.move_to_end(key)
        if len(self._events) > self._keys_max:
            self._events.popitem(last=False)

    def apply_newest(self, topic: TopicSpec, records: Sequence[Record]) -> list[Failure]:
        """Of a poll of one topic take in the last good record of each key; gives the bad ones that were looked at."""
        settled: set[bytes | None] = set()
        failures = []
        for record in reversed(records):
            if record.key in settled:
                continue
            try:
                event = parse(topic, record)
            except MalformedRecordError as error:
                failures.append(Failure(record, str(error)))
                continue
            settled.add(record.key)
            self.apply(cast(E, event), record.partition, record.offset)
        return failures

    async def on_event(self, event: E, origin: Origin) -> None:
        """The handler to register for the event's class."""
        self.apply(event, origin.partition, origin.offset)
        async with self._changed:
            self._changed.notify_all()

    async def wait_for(self, key: str, wanted: Callable[[E], bool], seconds: float) -> bool:
        """Whether the event of `key` became what is wanted, within `seconds`."""
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: (event := self.get(key)) is not None and wanted(event))
        except TimeoutError:
            return False
        return True


async def fold_into(settings: Settings, catalogue: Catalogue, views: dict[type[Event], Latest[Event]]) -> None:
    """Fill views from their topics, from the beginning to the present end."""
    if not views:
        return
    topics = sorted({catalogue.topic_of(event_class).name for event_class in views})
    async for event, record in fold(settings, topics, catalogue=catalogue):
        view = views.get(type(event))
        if view is not None:
            view.apply(event, record.partition, record.offset)
