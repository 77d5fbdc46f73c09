"""The last events of one contract, or of trading, and the clients that read them: each holds nothing but its place."""

import asyncio
import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from consumers.api.backlog import Span
from infra.delivery import Record, parse
from infra.topics import TopicSpec
from schemas.event import Event

EVENTS_KEPT = 256
"""Of one contract: who falls further behind is told how many it missed, and goes on with the newest."""


class Kind(StrEnum):
    """What can be followed; kinds of one tape begin with different letters."""


class MarketKind(Kind):
    """What can be followed of a contract."""

    BAR = "bar"
    TICK = "tick"
    QUOTE = "quote"


Offsets = dict[Kind, int]
"""Up to which offset of each topic a client has seen the events of a contract."""


def place_text(offsets: Offsets) -> str:
    """An event's id: with it a client that comes back is told what it missed. A kind without a number: nothing yet."""
    return "".join(f"{kind.value[0]}{offset if offset >= 0 else ''}" for kind, offset in sorted(offsets.items()))


def place_of(text: str, kinds: Iterable[Kind]) -> Offsets | None:
    """None when the text is no id of an event of these kinds."""
    letters = {kind.value[0]: kind for kind in kinds}
    one = rf"([{''.join(letters)}])(\d{{0,18}})"
    if not re.fullmatch(f"(?:{one}){{0,{len(letters)}}}", text):
        return None
    return {letters[letter]: int(number or -1) for letter, number in re.findall(one, text)}


@dataclass(frozen=True)
class Wish:
    """What a client wants to follow."""

    subject: int | str | None
    """A contract, or an account; None: all there are."""
    kinds: Collection[Kind]
    after: Offsets | None = None


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

    def told(self) -> dict[str, Any]:
        """As a client hears it; its type where its topic has several."""
        several = len(self.topic.classes) > 1
        return self.event.model_dump(mode="json", exclude=None if several else {"type"})


@dataclass(slots=True)
class Reel:
    """The last events of one contract, or of trading."""

    entries: deque[Entry] = field(default_factory=lambda: deque(maxlen=EVENTS_KEPT))
    newest: dict[str, Entry] = field(default_factory=dict)
    """By kind, of bars those of five seconds; larger ones under their size."""
    count: int = 0
    gone: Offsets = field(default_factory=dict)
    """The last offset of each topic that is kept no longer."""
    key: bytes | None = b""
    """Of its records; None: they have different ones."""
    places: dict[Kind, tuple[str, int]] = field(default_factory=dict)
    """Topic and partition where its events of each kind are."""
    followers: set["Follower"] = field(default_factory=set)
    reached: Offsets | None = None
    """The last offset of each topic, where a client begins with what comes and not with the newest."""


@dataclass(slots=True, frozen=True)
class Gap:
    """Events that a client will not be told: it was away, or too slow."""

    count: int | None
    """None: nobody knows how many."""
    reason: str


@dataclass(slots=True, frozen=True)
class Begun:
    """A client follows from here on."""

    place: str


@dataclass(slots=True, frozen=True)
class Told:
    """An event for a client, with the id that says how far the client is then."""

    entry: Entry
    place: str


News = Told | Gap | Begun
Wanted = Callable[[Entry], bool]


class Follower:
    """One client of one reel. It holds nothing but its place."""

    def __init__(
        self, reel: Reel, kinds: Collection[Kind], offsets: Offsets | None, wanted: Wanted | None = None
    ) -> None:
        reel.followers.add(self)
        self._reel = reel
        self._kinds = frozenset(kinds)
        self._wanted = wanted
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
    def key(self) -> bytes | None:
        """Of its records; None: whatever they have."""
        return self._reel.key

    def unseen(self) -> list[Span]:
        """What came after its place and is in memory no longer, or never was."""
        if not self._resumes or self._begun:
            return []
        kinds = sorted(self._kinds & self._offsets.keys())
        places = ((kind, self._reel.places[kind], self._offsets[kind]) for kind in kinds)
        return [
            Span(topic, partition, after, self._reel.gone.get(kind))
            for kind, (topic, partition), after in places
            if self._reel.gone.get(kind, after + 1) > after
        ]

    def recall(self, entries: Sequence[Entry], reaches: Offsets) -> None:
        """Events that were read back: up to where memory begins."""
        self._recalled, self._reaches = list(entries), reaches

    def cannot_recall(self, why: str) -> None:
        self._why_gap = why

    async def next(self, seconds: float) -> list[News] | None:
        """What came since, in order; empty when nothing did within `seconds`; None when the service stops."""
        if self._begun and self._seen == self._reel.count and not self._closed:
            self._woken.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._woken.wait()
            except TimeoutError:
                return []
        return None if self._closed else self.so_far()

    def so_far(self) -> list[News]:
        """What came since, without waiting."""
        return list(self._news())

    def wake(self) -> None:
        self._woken.set()

    def leave(self) -> None:
        """It follows no more."""
        self._reel.followers.discard(self)

    def close(self) -> None:
        self._closed = True
        self._woken.set()

    def _news(self) -> Iterator[News]:
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
            yield from self._tell(self._newest() or [*reel.entries])
        else:
            self.lags = 0
            yield from self._tell([entry for entry in reel.entries if entry.number >= before])

    def _first(self) -> Iterator[News]:
        """The newest of each kind, or all that came since the client was here last."""
        reel = self._reel
        if not self._resumes:
            if reel.reached is not None:
                self._offsets = dict(reel.reached)
                yield Begun(place_text(self._offsets))
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
            if entry.kind in self._kinds and (self._wanted is None or self._wanted(entry)):
                yield Told(entry, place_text(self._offsets))
