"""What journals say, put together: each strategy's last deployment and the spans of inputs that it consumed since."""

from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

import msgspec

from infra.replay import fold, read_to_end
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.orders import Fill
from schemas.place import At, Place
from schemas.strategy import JournalEntry
from schemas.validation import Contract

HISTORY = "market.history.v1"
_JOURNAL = "strategy.journal.v1"


@dataclass(slots=True)
class Span:
    """Inputs from one place, consumed one after another; only the last of them caused outputs."""

    place: Place
    first: int
    last: int
    outputs: tuple[str, ...] = ()
    fault: str = ""
    """Why the strategy was stopped at the last of them, which it did not get through."""

    def continued(self, entry: JournalEntry) -> bool:
        """Whether the entry goes on where this span caused nothing: then both are one."""
        if self.outputs or self.fault or self.place != (entry.topic, entry.partition):
            return False
        self.last, self.outputs, self.fault = entry.offset, entry.outputs, entry.fault
        return True


def span_of(entry: JournalEntry) -> Span:
    """What one entry stands for."""
    return Span((entry.topic, entry.partition), entry.first_offset, entry.offset, entry.outputs, entry.fault)


def stamp_of(entry: JournalEntry) -> str:
    """What tells an entry from that of another world which bears the same number: who wrote it, when, of what."""
    return f"{entry.epoch} {entry.consumed_at.isoformat()} {entry.digest}"


@dataclass
class Past:
    """One strategy's journal: as small as what it caused, however much it consumed."""

    since: int = 0
    """Entries up to this one are known otherwise: their spans are left out."""
    since_stamp: str = ""
    """Of that entry, if there is one."""
    sequence: int = 0
    consumed: dict[Place, int] = field(default_factory=dict)
    """How far each place was consumed, by any deployment: ids derive from places, none may serve twice."""
    deployed: At | None = None
    contracts: tuple[Contract, ...] = ()
    fault: str = ""
    """Why the deployment did not get through its own start."""
    history: dict[Place, int] = field(default_factory=dict)
    """How far the history was read for the deployment."""
    spans: list[Span] = field(default_factory=list)
    """Since the deployment."""
    fills: list[Span] = field(default_factory=list)
    """Of earlier deployments."""
    gap: int = 0
    """The first sequence that is missing, and of which the journal does not say itself that it was lost."""
    _read: dict[Place, int] = field(default_factory=dict)

    @property
    def missing(self) -> str:
        """Why a strategy with a gap is lost. A deployment that was journalled with it ends it: from then on the
        strategy has the books that were left, and who deploys it again has seen that."""
        return f"entry {self.gap} of its journal is missing"

    def add(self, entry: JournalEntry, fills_topic: str) -> None:
        if entry.sequence <= self.sequence:
            return  # it was written twice
        if entry.sequence > self.sequence + 1 and not self.gap:
            self.gap = self.sequence + 1
        self.sequence = entry.sequence
        if entry.sequence == self.since:
            self.since_stamp = stamp_of(entry)
        place = (entry.topic, entry.partition)
        if entry.topic == HISTORY:
            self._read[place] = entry.offset
            return
        self.consumed[place] = max(entry.offset, self.consumed.get(place, -1))
        if entry.contracts is not None:
            if entry.sequence > self.since:
                self.since_stamp = ""  # what was known before is over
            self.fills += [span for span in self.spans if span.place[0] == fills_topic]
            self.deployed, self.contracts = At(*place, entry.offset), entry.contracts
            self.history, self._read, self.spans, self.fault = self._read, {}, [], entry.fault
            if self.gap and self.missing in entry.fault:
                self.gap = 0
        elif entry.sequence > self.since and not (self.spans and self.spans[-1].continued(entry)):
            self.spans.append(span_of(entry))


class Claims:
    """Which entries count: those of whoever held the lease when they were written."""

    def __init__(self) -> None:
        self._epoch = 0

    def allow(self, entry: JournalEntry) -> bool:
        """Whether it is an entry, and nobody had claimed the journals before it who came later."""
        if entry.epoch < self._epoch:
            return False
        self._epoch = entry.epoch
        return not entry.claim


async def pasts(settings: Settings, since: Mapping[str, int] | None = None) -> Mapping[str, Past]:
    """Every strategy's journal; with `since`, of some only what follows an entry."""
    fills_topic = load_catalogue().topic_of(Fill).name
    found: dict[str, Past] = {}
    async for entry in _valid(settings):
        name = entry.strategy_id
        found.setdefault(name, Past(since=(since or {}).get(name, 0))).add(entry, fills_topic)
    return found


async def _valid(settings: Settings) -> AsyncIterator[JournalEntry]:
    """Every entry, without those of a process that had lost its lease."""
    claims = Claims()
    async for event, _ in fold(settings, [_JOURNAL]):
        if isinstance(event, JournalEntry) and claims.allow(event):
            yield event


class _Written(msgspec.Struct):
    epoch: int = 0


async def highest_epoch(settings: Settings) -> int:
    """Of all that any process ever wrote into the journals: whoever claims them needs a higher one to be heard."""
    decode = msgspec.json.Decoder(_Written).decode
    highest = 0
    async for records in read_to_end(settings, [_JOURNAL]):
        for record in records:
            with suppress(msgspec.MsgspecError):  # as in a fold: it is no entry
                highest = max(highest, decode(record.value or b"").epoch)
    return highest


async def entries_of(settings: Settings, strategy_id: str) -> list[JournalEntry]:
    """One strategy's journal as it was written, repeats included."""
    return [entry async for entry in _valid(settings) if entry.strategy_id == strategy_id]
