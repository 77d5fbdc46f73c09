"""What each strategy consumed, in which order: written so that it can be fed again in exactly that order."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from infra.clock import Clock
from infra.journal.digest import Digest
from infra.journal.spans import stamp_of
from infra.journal.warm_up import PastBars
from infra.topics import load_catalogue
from schemas.event import Event
from schemas.place import At, Place
from schemas.strategy import JournalEntry
from schemas.validation import Contract

_RUN_MAX = 500
_POSTED_MAX = 1000

Post = Callable[[Event], Awaitable["asyncio.Future[object]"]]
"""Hands an event over, in order; what it returns is done when the broker has it."""


@dataclass(slots=True)
class _Run:
    """Consecutive inputs from one place, not written yet."""

    place: Place
    first_offset: int
    offset: int
    event: Event
    digest: Digest = field(default_factory=Digest)


@dataclass(frozen=True)
class _Marks:
    """What only some entries say."""

    outputs: tuple[str, ...] = ()
    contracts: tuple[Contract, ...] | None = None
    warmed_by: str = ""
    fault: str = ""


_NOTHING = _Marks()


class Input(NamedTuple):
    """One input as it came."""

    event: Event
    at: At
    value: bytes


class Reached(NamedTuple):
    """The last entry, its stamp if this process wrote it, and where the deployment stands."""

    sequence: int
    stamp: str
    deployed: At | None


class Journal:
    """One strategy's journal. A run is written when its place changes, when it causes outputs, or when it is long.

    Whoever commits offsets or lets consequences be seen calls `settle` first. A failure to write is not survived:
    what was consumed cannot be consumed again, so the process has to end, and the next one recovers.
    """

    def __init__(self, strategy_id: str, post: Post, clock: Clock, code: str, epoch: int = 0) -> None:
        self._strategy_id = strategy_id
        self._epoch = epoch
        self._code = code
        self._untold_code = code
        self._post = post
        self._clock = clock
        self._sequence = 0
        self._stamp = ""
        self._deployed: At | None = None
        self._inputs = 0
        self._run: _Run | None = None
        self._consumed: dict[Place, int] = {}
        self._posted: list[asyncio.Future[object]] = []

    @property
    def reached(self) -> Reached:
        """What it has, once it is settled."""
        return Reached(self._sequence, self._stamp, self._deployed)

    def inputs_since(self) -> int:
        """How many inputs came since this was asked and answered by `counted`."""
        return self._inputs

    def counted(self) -> None:
        self._inputs = 0

    def resume(self, sequence: int, consumed: Mapping[Place, int], deployed: At | None) -> None:
        """Go on after `sequence`, knowing how far each place was consumed and where the deployment stands."""
        self._sequence, self._deployed = sequence, deployed
        self._consumed = dict(consumed)

    def has(self, at: At) -> bool:
        """Whether this input, or a later one of its place, was consumed before: it came again."""
        return self._consumed.get((at.topic, at.partition), -1) >= at.offset

    async def note(self, input_: Input, outputs: tuple[str, ...] = (), fault: str = "") -> None:
        """An input was consumed. When it caused `outputs` or a fault, returns once the broker has the entry."""
        event, at = input_.event, input_.at
        place = at.place
        self._consumed[place] = at.offset
        self._inputs += 1
        run = self._run
        if run is not None and run.place != place:
            await self._close()
            run = None
        if run is None:
            run = self._run = _Run(place, at.offset, at.offset, event)
        else:
            run.offset, run.event = at.offset, event
        run.digest.put(at.offset, input_.value)
        if outputs or fault:
            await self._close(_Marks(outputs, fault=fault))
            await self.settle()
        elif len(run.digest) >= _RUN_MAX:
            await self._close()

    async def deployed(
        self, input_: Input, contracts: tuple[Contract, ...], past: PastBars | None = None, fault: str = ""
    ) -> None:
        """A deployment, by what it was warmed up and on which contracts. Its own entry comes last: it completes it.

        One that was journalled before, and now with a fault, ends what had begun there.
        """
        command, at = input_.event, input_.at
        await self._close()
        for (topic, partition), offset in sorted(past.reached.items() if past else ()):
            await self._write(_Run((topic, partition), 0, offset, command))
        self._consumed[at.place] = max(at.offset, self._consumed.get(at.place, -1))
        self._untold_code = self._code
        self._deployed = at
        run = _Run(at.place, at.offset, at.offset, command)
        run.digest.put(at.offset, input_.value)
        await self._write(run, _Marks((), contracts, past.digest if past else "", fault))
        await self.settle()

    async def settle(self) -> None:
        """Return when the broker has all that was consumed so far."""
        await self._close()
        posted, self._posted = self._posted, []
        if posted:
            await asyncio.gather(*posted)

    async def _close(self, marks: _Marks = _NOTHING) -> None:
        run, self._run = self._run, None
        if run is not None:
            await self._write(run, marks)

    async def _write(self, run: _Run, marks: _Marks = _NOTHING) -> None:
        self._sequence += 1
        now = self._clock.now()
        entry = JournalEntry(
            strategy_id=self._strategy_id,
            sequence=self._sequence,
            topic=run.place[0],
            partition=run.place[1],
            first_offset=run.first_offset,
            offset=run.offset,
            consumed_at=now,
            outputs=marks.outputs,
            contracts=marks.contracts,
            digest=run.digest.hexdigest() if len(run.digest) else "",
            marks=run.digest.marks,
            warmed_by=marks.warmed_by,
            code=self._untold_code if len(run.digest) else "",
            fault=marks.fault,
            epoch=self._epoch,
            event_time=run.event.event_time,
            ingest_time=now,
        )
        self._stamp = stamp_of(entry)
        if len(run.digest):
            self._untold_code = ""
        self._posted.append(await self._post(entry))
        if len(self._posted) >= _POSTED_MAX:
            posted, self._posted = self._posted, []
            await asyncio.gather(*posted)


def claim(epoch: int, now: datetime) -> JournalEntry:
    """Told by whoever got the lease, before it reads the journals."""
    topic = load_catalogue().topic_of(JournalEntry).name
    return JournalEntry(
        strategy_id="strategist",
        sequence=1,
        topic=topic,
        partition=0,
        first_offset=0,
        offset=0,
        consumed_at=now,
        epoch=epoch,
        claim=True,
        event_time=now,
        ingest_time=now,
    )
