"""The parity proof: a strategy's journalled inputs through the same code again, held against what was published."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from engine.live.hosts import Inside, StoppedFromOutsideError
from engine.live.outputs import Output, id_of
from engine.live.running import RunningStrategy, never_begun
from infra.clock import SystemClock
from infra.delivery import Record
from infra.engine_code import code_hash
from infra.errors import UsageError
from infra.journal.digest import Digest, first_difference
from infra.journal.inputs import Inputs, InputsGoneError
from infra.journal.spans import HISTORY, Span, entries_of, span_of
from infra.journal.warm_up import past_bars
from infra.sandbox.errors import SandboxedError
from infra.sandbox.live import LazySandbox
from infra.session_close import session_close
from infra.settings import Settings
from infra.topics import load_catalogue
from producers.cli.parity_published import published_ids
from producers.cli.parity_words import DivergenceError, cause_of, without_ingest_time
from schemas.event import Event
from schemas.market import Bar, Tick
from schemas.orders import Fill, FillBusted, FillCorrected
from schemas.place import At, Place
from schemas.strategy import Allocate, Deploy, JournalEntry, Reconfigure


@dataclass(frozen=True)
class Window:
    """Wall time; an end that is not there is open."""

    since: datetime | None = None
    until: datetime | None = None

    def holds(self, entry: JournalEntry) -> bool:
        return self.since is None or entry.consumed_at >= self.since

    def is_past(self, entry: JournalEntry) -> bool:
        return self.until is not None and entry.consumed_at > self.until


@dataclass
class Replayed:
    """What a second pass over the inputs of a window gave."""

    entries: int = 0
    inputs: int = 0
    ranges: dict[Place, tuple[int, int]] = field(default_factory=dict)
    code: list[str] = field(default_factory=list)
    """As journalled, in the order in which it changed."""
    outputs: dict[str, Output] = field(default_factory=dict)
    """By id, in the order of the journal."""
    before: set[str] = field(default_factory=set)
    """Ids of what belongs to the time before the window."""
    after: set[str] = field(default_factory=set)
    input_stream: Any = field(default_factory=hashlib.sha256)
    config_stream: Any = field(default_factory=hashlib.sha256)


def in_sequence(entries: Sequence[JournalEntry]) -> list[JournalEntry]:
    """The journal without repeats. Raises DivergenceError where an entry is missing, or repeated with another text."""
    found: list[JournalEntry] = []
    for entry in entries:
        if entry.sequence <= len(found):
            before = found[entry.sequence - 1]
            if without_ingest_time(before) != without_ingest_time(entry):
                raise DivergenceError("journal", f"entry {entry.sequence} was written twice, not the same", entry)
        elif entry.sequence == len(found) + 1:
            found.append(entry)
        else:
            raise DivergenceError("journal", f"entry {len(found) + 1} is missing", entry)
    return found


class Parity:
    """One strategy, made again from its journal; every step is held against what the journal says of it."""

    def __init__(self, settings: Settings, inputs: Inputs, strategy_id: str, window: Window) -> None:
        self._settings = settings
        self._strategy_id = strategy_id
        self._inputs = inputs
        self._window = window
        self._strategy: RunningStrategy | None = None
        self._deployed: JournalEntry | None = None
        self._history: dict[Place, int] = {}
        self._recorded_code = ""
        self._code_now = code_hash()
        self._sandbox = LazySandbox(SystemClock())
        self._hosts = Inside(self._sandbox.live_child, SandboxedError)
        self.found = Replayed()

    async def run(self) -> Replayed:
        """All of the window. Raises DivergenceError at the first difference."""
        entries = in_sequence(await entries_of(self._settings, self._strategy_id))
        if not entries:
            raise UsageError(f"{self._strategy_id} has no journal: `scizor live status` lists what was deployed")
        start = self._start(entries)
        await self._inputs.begin([span_of(each) for each in entries if each.topic != HISTORY])
        fills: list[Event] = []
        for number, entry in enumerate(entries):
            if self._window.is_past(entry):
                self.found.after.update(entry.outputs)
            elif number < start:
                self._pass_over(entry)
                fills += await self._fills_of(entry)
            else:
                await self._step(entry, fills)
        if not self.found.entries:
            times = [each.consumed_at for each in entries]
            raise UsageError(
                f"{self._strategy_id} consumed nothing in that time, by this machine's clock, not the market's day; "
                f"it consumed from {min(times):%F %H:%M} to {max(times):%F %H:%M} UTC"
            )
        return self.found

    def _start(self, entries: Sequence[JournalEntry]) -> int:
        """The deployment that the window begins in, its warm-up included; the first one when it begins before all."""
        deployments = [number for number, entry in enumerate(entries) if entry.contracts is not None]
        begun = [number for number in deployments if not self._window.holds(entries[number])]
        if not deployments:
            raise UsageError("it was never deployed to the end: there is nothing to replay")
        start = begun[-1] if begun else deployments[0]
        while start and entries[start - 1].topic == HISTORY:
            start -= 1
        return start

    def _pass_over(self, entry: JournalEntry) -> None:
        self.found.before.update(entry.outputs)
        self._recorded_code = entry.code or self._recorded_code

    async def _fills_of(self, entry: JournalEntry) -> list[Event]:
        """What an earlier deployment held, this one goes on with."""
        found = (
            [event async for event, _ in self._inputs.events(span_of(entry))] if entry.topic == _topics(Fill)[0] else []
        )
        return [each for each in found if isinstance(each, Fill | FillCorrected | FillBusted)]

    async def _step(self, entry: JournalEntry, fills: list[Event]) -> None:
        try:
            if entry.topic == HISTORY:
                self._history[entry.topic, entry.partition] = entry.offset
                return
            self._recorded_code = entry.code or self._recorded_code
            if self._strategy is not None and _is_end_of(self._deployed, entry):
                self._strategy.fail(entry.fault)
            elif entry.contracts is not None:
                await self._deploy(entry, fills)
            else:
                await self._feed(entry)
        except InputsGoneError as error:
            raise DivergenceError("input", str(error), entry) from error
        if self._window.holds(entry):
            self._count(entry)
        else:
            self.found.before.update(entry.outputs)

    async def _deploy(self, entry: JournalEntry, fills: list[Event]) -> None:
        assert entry.contracts is not None, "only deployments are brought here"
        read = [(event, record) async for event, record in self._inputs.events(span_of(entry))]
        self._same_inputs(entry, [record for _, record in read], [event for event, _ in read])
        command = read[0][0]
        assert isinstance(command, Deploy), "a journal says that this record was a deployment"
        before = self._strategy.real_orders if self._strategy is not None else None
        self._deployed = entry
        if entry.fault:
            strategy = never_begun(command, entry.contracts, before, entry.fault)
        else:
            strategy = RunningStrategy(command, entry.contracts, before, self._hosts, session_close)
        self._strategy = strategy
        if before is None:
            strategy.adopt(fills)
        if self._history and not strategy.ended:
            past = await past_bars(self._settings, command, strategy.contracts, self._history)
            if past.digest != entry.warmed_by:
                raise DivergenceError("input", f"the past bars on {HISTORY} that warmed it up are others now", entry)
            strategy.warm_up(past.bars)
        self._history = {}
        self.found.config_stream.update(without_ingest_time(command))

    async def _feed(self, entry: JournalEntry) -> None:
        strategy = self._strategy
        assert strategy is not None, "a journal begins with a deployment"
        span = span_of(entry)
        taken: list[Record] = []
        events: list[Event] = []
        outputs: list[Output] = []
        async for event, record in self._inputs.events(span, _keys(strategy, span)):
            if not strategy.wants(event):
                continue
            taken.append(record)
            events.append(event)
            if span.fault and record.offset == span.last:
                strategy.stopped_at(event, span.fault)
            else:
                outputs += self._taken(strategy, event, At(*span.place, record.offset), entry)
            if isinstance(event, Reconfigure | Allocate) and self._window.holds(entry):
                self.found.config_stream.update(without_ingest_time(event))
        self._same_inputs(entry, taken, events)
        made = tuple(map(id_of, outputs))
        if made != entry.outputs:
            what = f"it caused {len(made)} outputs now and {len(entry.outputs)} then, or others"
            raise DivergenceError(await self._blame(made, entry.outputs), what, entry)
        if self._window.holds(entry):
            self.found.outputs |= {id_of(each): each for each in outputs}

    def _taken(self, strategy: RunningStrategy, event: Event, at: At, entry: JournalEntry) -> list[Output]:
        try:
            return strategy.take(event, at)
        except StoppedFromOutsideError as error:
            raise DivergenceError("chance", f"it got through this input then, and now: {error}", entry) from error

    def close(self) -> None:
        """Let go of whatever ran the strategy's code."""
        if self._strategy is not None:
            self._strategy.close()
        self._sandbox.close()

    async def _blame(self, made: Sequence[str], journalled: Sequence[str]) -> str:
        """The same inputs, another outcome than the journal says: who was it, going by what was published?"""
        published = await published_ids(self._settings, self._strategy_id)
        if made and published.issuperset(made) and not (journalled and published.issuperset(journalled)):
            return "journal"
        return "code" if self._recorded_code != self._code_now else "chance"

    def _same_inputs(self, entry: JournalEntry, records: Sequence[Record], events: Sequence[Event]) -> None:
        digest = Digest()
        for record in records:
            digest.put(record.offset, record.value or b"")
        if digest.hexdigest() == entry.digest:
            return
        number = first_difference(digest.marks, entry.marks)
        if number >= len(records):
            gone = f"an input between {entry.first_offset} and {entry.offset} of {entry.topic}/{entry.partition}"
            raise DivergenceError("input", f"{gone} is gone, or is none for it any more", entry)
        cause, what = cause_of(events[number])
        where = f"{entry.topic}/{entry.partition}/{records[number].offset}"
        raise DivergenceError(cause, f"{what} at {where} is not what was consumed", entry)

    def _count(self, entry: JournalEntry) -> None:
        found, place = self.found, (entry.topic, entry.partition)
        found.entries += 1
        found.inputs += len(entry.marks) // 8
        first, _ = found.ranges.get(place, (entry.first_offset, 0))
        found.ranges[place] = (first, entry.offset)
        found.input_stream.update(f"{place[0]}/{place[1]}:{entry.digest};{entry.warmed_by};".encode())
        if self._recorded_code and self._recorded_code not in found.code[-1:]:
            found.code.append(self._recorded_code)


def _is_end_of(deployed: JournalEntry | None, entry: JournalEntry) -> bool:
    """Whether it is that deployment once more: a process after it could not make its past again."""
    if deployed is None or entry.contracts is None:
        return False
    return (entry.topic, entry.partition, entry.offset) == (deployed.topic, deployed.partition, deployed.offset)


def _keys(strategy: RunningStrategy, span: Span) -> tuple[bytes, ...]:
    """Of market topics only the strategy's own contracts are parsed."""
    if span.place[0] not in _topics(Bar, Tick):
        return ()
    return tuple(str(contract_id).encode() for contract_id in strategy.contracts)


def _topics(*kinds: type[Event]) -> list[str]:
    return [load_catalogue().topic_of(kind).name for kind in kinds]
