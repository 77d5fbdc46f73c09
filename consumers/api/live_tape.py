"""The last live events of each contract, in memory: one fold, from which any number of clients read."""

import asyncio
import re
from collections import OrderedDict, deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from infra.delivery import Failure, MalformedRecordError, Record, parse
from infra.topics import Catalogue, TopicSpec
from schemas.event import Event

EVENTS_KEPT = 256
"""Of one contract: who falls further behind is told how many it missed, and goes on with the newest."""
_CONTRACTS_MAX = 2_000
_SMALLEST = "PT5S"


class Kind(StrEnum):
    """What can be followed."""

    BAR = "bar"
    TICK = "tick"
    QUOTE = "quote"


TOPICS = {"market.bars.v1": Kind.BAR, "market.ticks.v1": Kind.TICK, "market.quotes.v1": Kind.QUOTE}
_LETTERS = {kind.value[0]: kind for kind in Kind}
_PLACE = re.compile(r"(?:[btq]\d{1,18}){0,3}")


class _Size(msgspec.Struct):
    bar_size: str


_size_of = msgspec.json.Decoder(_Size).decode

Offsets = dict[Kind, int]
"""Up to which offset of each topic a client has seen the events of a contract."""


def place_text(offsets: Offsets) -> str:
    """An event's id: with it a client that comes back is told what it missed."""
    return "".join(f"{kind.value[0]}{offset}" for kind, offset in sorted(offsets.items()))


def place_of(text: str) -> Offsets | None:
    """None when the text is no event's id."""
    if not _PLACE.fullmatch(text):
        return None
    return {_LETTERS[letter]: int(number) for letter, number in re.findall(r"([btq])(\d+)", text)}


@dataclass(slots=True, eq=False)
class Entry:
    """One event as it came; parsed when somebody looks at it."""

    kind: Kind
    name: str
    """The kind; of larger bars their size."""
    number: int
    """Counts the events of its contract."""
    offset: int
    topic: TopicSpec
    record: Record
    _event: Event | None = None

    @property
    def event(self) -> Event:
        """MalformedRecordError when it cannot be understood."""
        if self._event is None:
            self._event = parse(self.topic, self.record)
        return self._event


@dataclass(slots=True)
class _Reel:
    """The last events of one contract."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    newest: dict[str, Entry] = field(default_factory=dict)
    """By kind, of bars those of five seconds; larger ones under their size."""
    count: int = 0
    gone: Offsets = field(default_factory=dict)
    """The last offset of each topic that is kept no longer."""
    followers: set["Follower"] = field(default_factory=set)


@dataclass(slots=True, frozen=True)
class Missed:
    """Events that a client will not be told: it was away, or too slow."""

    count: int | None
    """None: nobody knows how many."""


@dataclass(slots=True, frozen=True)
class Told:
    """An event for a client, with the id that says how far the client is then."""

    entry: Entry
    place: str


class Follower:
    """One client of one contract. It holds nothing but its place."""

    def __init__(self, reel: _Reel, kinds: Collection[Kind], offsets: Offsets | None) -> None:
        self._reel = reel
        self._kinds = frozenset(kinds)
        self._offsets = dict(offsets or {})
        self._seen = 0
        self._woken = asyncio.Event()
        self._closed = False
        self._begun = False
        self._resumes = offsets is not None

    async def next(self, seconds: float) -> list[Told | Missed] | None:
        """What came since, in order; empty when nothing did within `seconds`; None when the service stops."""
        if self._begun and self._seen == self._reel.count and not self._closed:
            self._woken.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                return []
        return None if self._closed else list(self._news())

    def wake(self) -> None:
        self._woken.set()

    def close(self) -> None:
        self._closed = True
        self._woken.set()

    def _news(self) -> Iterator[Told | Missed]:
        reel, before = self._reel, self._seen
        self._seen = reel.count
        if not self._begun:
            self._begun = True
            yield from self._first()
            return
        oldest = reel.entries[0].number if reel.entries else reel.count
        if before < oldest:
            yield Missed(oldest - before)
            yield from self._tell(self._newest())
        else:
            yield from self._tell([entry for entry in reel.entries if entry.number >= before])

    def _first(self) -> Iterator[Told | Missed]:
        """The newest of each kind, or all that came since the client was here last."""
        reel = self._reel
        if not self._resumes:
            yield from self._tell(self._newest())
            return
        known = {kind: self._offsets.get(kind, -1) for kind in self._kinds}
        if any(reel.gone.get(kind, -1) > offset for kind, offset in known.items()):
            yield Missed(None)
        yield from self._tell([entry for entry in reel.entries if entry.offset > known.get(entry.kind, -1)])

    def _newest(self) -> list[Entry]:
        return sorted(self._reel.newest.values(), key=lambda entry: entry.number)

    def _tell(self, entries: Sequence[Entry]) -> Iterator[Told]:
        for entry in entries:
            self._offsets[entry.kind] = max(entry.offset, self._offsets.get(entry.kind, -1))
            if entry.kind in self._kinds:
                yield Told(entry, place_text(self._offsets))


class LiveTape:
    """Folds bars, ticks and quotes as they come."""

    def __init__(self, catalogue: Catalogue, prefix: str) -> None:
        self._topics = {prefix + name: (catalogue.topic(name), kind) for name, kind in TOPICS.items()}
        self._reels: OrderedDict[bytes, _Reel] = OrderedDict()
        self._before: dict[tuple[str, int], int] = {}
        """By topic and partition, the last offset that was there before this process began to listen."""

    async def on_records(self, records: Sequence[Record]) -> Sequence[Failure]:
        """For `Service.on_batch`."""
        touched: dict[bytes, _Reel] = {}
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

    def follow(self, contract_id: int, kinds: Collection[Kind], offsets: Offsets | None) -> Follower:
        """A client that begins with the newest, or goes on after `offsets`. Give it back with `leave`."""
        reel = self._reels.setdefault(str(contract_id).encode(), _Reel())
        follower = Follower(reel, kinds, offsets)
        reel.followers.add(follower)
        return follower

    def leave(self, contract_id: int, follower: Follower) -> None:
        self._reels[str(contract_id).encode()].followers.discard(follower)

    async def close(self) -> None:
        """End every stream: the service stops."""
        for reel in self._reels.values():
            for follower in reel.followers:
                follower.close()

    def _reel(self, key: bytes, record: Record) -> _Reel:
        kind = self._topics[record.topic][1]
        before = self._before.setdefault((record.topic, record.partition), record.offset - 1)
        reel = self._reels.setdefault(key, _Reel())
        self._reels.move_to_end(key)
        reel.gone.setdefault(kind, before)
        if len(self._reels) > _CONTRACTS_MAX:
            quiet = next((each for each, old in self._reels.items() if not old.followers and each != key), None)
            if quiet is not None:
                del self._reels[quiet]
        return reel

    @staticmethod
    def _take(reel: _Reel, entry: Entry) -> None:
        if len(reel.entries) == EVENTS_KEPT:
            oldest = reel.entries[0]
            reel.gone[oldest.kind] = oldest.offset
        reel.entries.append(entry)
        reel.count += 1


def _find_newest(reel: _Reel, name: str) -> list[Failure]:
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
    if kind is not Kind.BAR:
        return kind.value
    size = _size_of(record.value or b"").bar_size
    return kind.value if size == _SMALLEST else size
