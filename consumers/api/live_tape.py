"""The last live events of each contract, in memory: one fold, from which any number of clients read."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress

import msgspec
from aiokafka.partitioner import DefaultPartitioner

from consumers.api.reels import EVENTS_KEPT, Entry, Follower, Kind, MarketKind, Reel, Wish
from infra.delivery import Failure, MalformedRecordError, Record
from infra.topics import Catalogue
from schemas.event import Event

_CONTRACTS_MAX = 2_000
_SMALLEST = "PT5S"

TOPICS = {"market.bars.v1": MarketKind.BAR, "market.ticks.v1": MarketKind.TICK, "market.quotes.v1": MarketKind.QUOTE}


class _Size(msgspec.Struct):
    bar_size: str


_size_of = msgspec.json.Decoder(_Size).decode


class LiveTape:
    """Folds bars, ticks and quotes as they come."""

    def __init__(self, catalogue: Catalogue, prefix: str) -> None:
        self._topics = {prefix + name: (catalogue.topic(name), kind) for name, kind in TOPICS.items()}
        self._reels: OrderedDict[bytes, Reel] = OrderedDict()
        self._partitioner = DefaultPartitioner()
        self._before: dict[tuple[str, int], int] = {}
        """By topic and partition, the last offset that was there before this process began to listen."""

    async def on_records(self, records: Sequence[Record]) -> Sequence[Failure]:
        """For `Service.on_batch`."""
        touched: dict[bytes, Reel] = {}
        names: set[tuple[bytes, str]] = set()
        failures: list[Failure] = []
        for record in records:
            topic, kind = self._topics[record.topic]
            key = record.key or b""
            try:
                name = _name(kind, record)
            except msgspec.MsgspecError as error:
                failures.append(Failure(record, str(error)))
                continue
            reel = touched[key] = self._reel(key, record)
            self._take(reel, Entry(kind, name, reel.count, record.offset, topic, record))
            names.add((key, name))
        for key, name in names:
            failures += _find_newest(touched[key], name)
        for reel in touched.values():
            for follower in reel.followers:
                follower.wake()
        return failures

    def newest(self, contract_id: int, name: str) -> Event | None:
        """The newest event: `bar`, `tick`, `quote`; a larger bar by its size, `PT1M`."""
        reel = self._reels.get(str(contract_id).encode())
        entry = reel.newest.get(name) if reel is not None else None
        return entry.event if entry is not None else None

    def follow(self, wish: Wish) -> Follower:
        """A client of a contract that begins with the newest, or goes on after its place; it leaves by itself."""
        return Follower(self._reel_of(str(wish.subject).encode()), wish.kinds, wish.after)

    async def close(self) -> None:
        """End every stream: the service stops."""
        for reel in self._reels.values():
            for follower in reel.followers:
                follower.close()

    def recalled(self, records: Sequence[Record]) -> list[Entry]:
        """Records that were read back, as entries; those that cannot be understood were set aside already."""
        found = []
        for record in records:
            topic, kind = self._topics[record.topic]
            with suppress(msgspec.MsgspecError):
                found.append(Entry(kind, _name(kind, record), -1, record.offset, topic, record))
        return found

    def kind_of(self, topic: str) -> Kind:
        return self._topics[topic][1]

    def _reel_of(self, key: bytes) -> Reel:
        reel = self._reels.get(key)
        if reel is None:
            reel = self._reels[key] = Reel(key=key)
            for name, (topic, kind) in self._topics.items():
                numbers = list(range(topic.partitions))
                reel.places[kind] = name, self._partitioner(key, numbers, numbers)
        return reel

    def _reel(self, key: bytes, record: Record) -> Reel:
        kind = self._topics[record.topic][1]
        before = self._before.setdefault((record.topic, record.partition), record.offset - 1)
        reel = self._reel_of(key)
        self._reels.move_to_end(key)
        reel.gone.setdefault(kind, before)
        if len(self._reels) > _CONTRACTS_MAX:
            quiet = next((each for each, old in self._reels.items() if not old.followers and each != key), None)
            if quiet is not None:
                del self._reels[quiet]
        return reel

    @staticmethod
    def _take(reel: Reel, entry: Entry) -> None:
        if len(reel.entries) == EVENTS_KEPT:
            oldest = reel.entries[0]
            reel.gone[oldest.kind] = oldest.offset
        reel.entries.append(entry)
        reel.count += 1


def _find_newest(reel: Reel, name: str) -> list[Failure]:
    """Let the last good event of the name be its newest; those that are no good are to be set aside."""
    failures = []
    for entry in reversed(reel.entries):
        if entry.name != name:
            continue
        if entry is reel.newest.get(name):
            break
        try:
            _ = entry.event
        except MalformedRecordError as error:
            failures.append(Failure(entry.record, str(error)))
            continue
        reel.newest[name] = entry
        break
    return failures


def _name(kind: Kind, record: Record) -> str:
    if kind is not MarketKind.BAR:
        return kind.value
    size = _size_of(record.value or b"").bar_size
    return kind.value if size == _SMALLEST else size
