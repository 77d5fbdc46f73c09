"""The last orders, fills, positions and risk events, in memory: one reel, in which any number of clients read."""

import asyncio
from collections import deque
from collections.abc import Sequence

from aiokafka import TopicPartition

from consumers.api.reels import Entry, Follower, Kind, News, Offsets, Reel, Told, Wish, place_text
from infra import broker
from infra.delivery import Failure, MalformedRecordError, Record
from infra.settings import Settings
from infra.topics import Catalogue

EVENTS_KEPT = 1_000
"""Of all accounts: who falls further behind is told how many it missed."""
_BEGIN_SECONDS_MAX = 30.0


class TradeKind(Kind):
    """What can be followed of trading."""

    ORDER = "order"
    FILL = "fill"
    POSITION = "position"
    RISK = "risk"


TOPICS = {
    "trading.orders.v1": TradeKind.ORDER,
    "trading.fills.v1": TradeKind.FILL,
    "trading.positions.v1": TradeKind.POSITION,
    "risk.events.v1": TradeKind.RISK,
}


class TradeTape:
    """Holds records as they come; what nobody looks at is not even parsed."""

    def __init__(self, catalogue: Catalogue, settings: Settings) -> None:
        self._settings = settings
        self._topics = {settings.topic_prefix + name: (catalogue.topic(name), kind) for name, kind in TOPICS.items()}
        manifold = [spec.name for spec, _ in self._topics.values() if spec.partitions != 1]
        assert not manifold, f"a client's place is one offset of each topic, and {manifold} have several partitions"
        places: dict[Kind, tuple[str, int]] = {kind: (name, 0) for name, (_, kind) in self._topics.items()}
        self._reel = Reel(entries=deque(maxlen=EVENTS_KEPT), key=None, places=places, reached={})

    async def begin(self) -> None:
        """What is there already is in memory never: a client that was here before is told it from the topics."""
        consumer = broker.reader(self._settings)
        async with asyncio.timeout(_BEGIN_SECONDS_MAX):
            try:
                await consumer.start()
                ends = await consumer.end_offsets([TopicPartition(name, 0) for name in self._topics])
            finally:
                await consumer.stop()
        self.begin_after({self.kind_of(place.topic): end - 1 for place, end in ends.items()})

    def begin_after(self, offsets: Offsets) -> None:
        """Leave out what comes up to these."""
        self._reel.gone, self._reel.reached = dict(offsets), dict(offsets)

    async def on_records(self, records: Sequence[Record]) -> Sequence[Failure]:
        """For `Service.on_batch`. What cannot be understood, the services that act on it set aside."""
        reel = self._reel
        assert reel.reached is not None, "made so when it was made"
        for record in records:
            topic, kind = self._topics[record.topic]
            if record.offset <= reel.reached.get(kind, -1):
                continue
            if len(reel.entries) == EVENTS_KEPT:
                reel.gone[reel.entries[0].kind] = reel.entries[0].offset
            reel.entries.append(Entry(kind, kind.value, reel.count, record.offset, topic, record))
            reel.count += 1
            reel.reached[kind] = record.offset
        for follower in reel.followers:
            follower.wake()
        return []

    def follow(self, wish: Wish) -> Follower:
        """A client that begins with what comes now, or goes on after its place."""
        return Follower(self._reel, wish.kinds, wish.after, lambda entry: _is_of(entry, wish.subject))

    def lately(self, wish: Wish) -> tuple[str, list[News]]:
        """Where a client would be now, and what of memory it would have been told since its place."""
        reel, seen = self._reel, wish.after or {}
        assert reel.reached is not None, "made so when it was made"
        after = {kind: max(offset, seen.get(kind, -1)) for kind, offset in reel.gone.items()}
        follower = self.follow(Wish(wish.subject, wish.kinds, after))
        follower.leave()
        return place_text(reel.reached), [each for each in follower.so_far() if isinstance(each, Told)]

    async def close(self) -> None:
        """End every stream: the service stops."""
        for follower in self._reel.followers:
            follower.close()

    def recalled(self, records: Sequence[Record]) -> list[Entry]:
        found = []
        for record in records:
            topic, kind = self._topics[record.topic]
            found.append(Entry(kind, kind.value, -1, record.offset, topic, record))
        return found

    def kind_of(self, topic: str) -> Kind:
        return self._topics[topic][1]


def _is_of(entry: Entry, account_id: int | str | None) -> bool:
    try:
        return account_id is None or getattr(entry.event, "account_id", None) == account_id
    except MalformedRecordError:
        return False
