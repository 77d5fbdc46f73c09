"""The last events of one contract, and the clients that read them: each holds nothing but its place."""

import asyncio
import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from consumers.api.backlog import Span
from infra.delivery import Record, parse
from infra.topics import TopicSpec
from schemas.event import Event

EVENTS_KEPT = 256
"""Of one contract: who falls further behind is told how many it missed, and goes on with the newest."""


class Kind(StrEnum):
    """What can be followed."""

    BAR = "bar"
    TICK = "tick"
    QUOTE = "quote"


_LETTERS = {kind.value[0]: kind for kind in Kind}
_PLACE = re.compile(r"(?:[btq]\d{1,18}){0,3}")


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
class Reel:
    """The last events of one contract."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    newest: dict[str, Entry] = field(default_factory=dict)
    """By kind, of bars those of five seconds; larger ones under their size."""
    count: int = 0
    gone: Offsets = field(default_factory=dict)
    """The last offset of each topic that is kept no longer."""
    key: bytes = b""
    places: dict[Kind, tuple[str, int]] = field(default_factory=dict)
    """Topic and partition where its events of each kind are."""
    followers: set["Follower"] = field(default_factory=set)


@dataclass(slots=True, frozen=True)
class Gap:
    """Events that a client will not be told: it was away, or too slow."""

    count: int | None
    """None: nobody knows how many."""
    reason: str


@dataclass(slots=True, frozen=True)
class Told:
    """An event for a client, with the id that says how far the client is then."""

    entry: Entry
    place: str


class Follower:
    """One client of one contract. It holds nothing but its place."""

    def __init__(self, reel: Reel, kinds: Collection[Kind], offsets: Offsets | None) -> None:
        self._reel = reel
        self._kinds = frozenset(kinds)
        self._offsets = dict(offsets or {})
        self._seen = 0
        self._woken = asyncio.Event()
        self._closed = False
        self._begun = False
        self._resumes = offsets is not None
        self._recalled: list[Entry] = []
        self._reaches: Offsets = {}
        self._why_gap = "it is kept no longer"
        self.lags = 0
        """How many times in a row it was too slow for what came."""

    @property
    def key(self) -> bytes:
        """Of the records of its contract."""
        return self._reel.key

    def unseen(self) -> list[Span]:
        """What came after its place and is in memory no longer, or never was."""
        if not self._resumes or self._begun:
            return []
        places = ((kind, self._reel.places[kind], self._offsets.get(kind, -1)) for kind in sorted(self._kinds))
        return [
            Span(topic, partition, after, self._reel.gone.get(kind))
            for kind, (topic, partition), after in places
            if after >= 0 and self._reel.gone.get(kind, after + 1) > after
        ]

    def recall(self, entries: Sequence[Entry], reaches: Offsets) -> None:
        """Events that were read back: up to where memory begins."""
        self._recalled, self._reaches = list(entries), reaches

    def cannot_recall(self, why: str) -> None:
        self._why_gap = why

    async def next(self, seconds: float) -> list[Told | Gap] | None:
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

    def _news(self) -> Iterator[Told | Gap]:
        reel, before = self._reel, self._seen
        self._seen = reel.count
        if not self._begun:
            self._begun = True
            yield from self._first()
            return
        oldest = reel.entries[0].number if reel.entries else reel.count
        if before < oldest:
            self.lags += 1
            yield Gap(oldest - before, "more came than was taken: here is the newest")
            yield from self._tell(self._newest())
        else:
            self.lags = 0
            yield from self._tell([entry for entry in reel.entries if entry.number >= before])

    def _first(self) -> Iterator[Told | Gap]:
        """The newest of each kind, or all that came since the client was here last."""
        reel = self._reel
        if not self._resumes:
            yield from self._tell(self._newest())
            return
        known = {kind: max(self._offsets.get(kind, -1), self._reaches.get(kind, -1)) for kind in self._kinds}
        if any(reel.gone.get(kind, -1) > offset for kind, offset in known.items()):
            yield Gap(None, self._why_gap)
        yield from self._tell(self._recalled)
        self._recalled = []
        yield from self._tell([entry for entry in reel.entries if entry.offset > known.get(entry.kind, -1)])

    def _newest(self) -> list[Entry]:
        return sorted(self._reel.newest.values(), key=lambda entry: entry.number)

    def _tell(self, entries: Sequence[Entry]) -> Iterator[Told]:
        for entry in entries:
            self._offsets[entry.kind] = max(entry.offset, self._offsets.get(entry.kind, -1))
            if entry.kind in self._kinds:
                yield Told(entry, place_text(self._offsets))
