"""What each strategy consumed, in which order: written so that it can be fed again in exactly that order."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from infra.clock import Clock
from schemas.event import Event
from schemas.strategy import JournalEntry
from schemas.validation import Contract

_RUN_MAX = 500
_POSTED_MAX = 1000

Post = Callable[[Event], Awaitable["asyncio.Future[object]"]]
"""Hands an event over, in order; what it returns is done when the broker has it."""

Place = tuple[str, int]
"""Topic (logical name) and partition."""


class At(NamedTuple):
    """Where an input stands: all that ids of its consequences derive from."""

    topic: str
    partition: int
    offset: int

    @property
    def place(self) -> Place:
        return self.topic, self.partition


@dataclass(slots=True)
class _Run:
    """Consecutive inputs from one place, not written yet."""

    place: Place
    first_offset: int
    offset: int
    event: Event
    count: int = 1


class Journal:
    """One strategy's journal. A run is written when its place changes, when it causes outputs, or when it is long.

    Whoever commits offsets or lets consequences be seen calls `settle` first. A failure to write is not survived:
    what was consumed cannot be consumed again, so the process has to end, and the next one recovers.
    """

    def __init__(self, strategy_id: str, post: Post, clock: Clock) -> None:
        self._strategy_id = strategy_id
        self._post = post
        self._clock = clock
        self._sequence = 0
        self._run: _Run | None = None
        self._consumed: dict[Place, int] = {}
        self._posted: list[asyncio.Future[object]] = []

    def resume(self, sequence: int, consumed: Mapping[Place, int]) -> None:
        """Go on after `sequence`, knowing how far each place was consumed."""
        self._sequence = sequence
        self._consumed = dict(consumed)

    def has(self, at: At) -> bool:
        """Whether this input, or a later one of its place, was consumed before: it came again."""
        return self._consumed.get((at.topic, at.partition), -1) >= at.offset

    async def note(self, event: Event, at: At, outputs: tuple[str, ...] = ()) -> None:
        """An input was consumed. When it caused `outputs`, returns once the broker has the entry."""
        place = at.place
        self._consumed[place] = at.offset
        run = self._run
        if run is not None and run.place != place:
            await self._close()
            run = None
        if run is None:
            run = self._run = _Run(place, at.offset, at.offset, event)
        else:
            run.offset, run.event = at.offset, event
            run.count += 1
        if outputs:
            await self._close(outputs)
            await self.settle()
        elif run.count >= _RUN_MAX:
            await self._close()

    async def deployed(
        self, command: Event, at: At, contracts: tuple[Contract, ...], history: Mapping[Place, int]
    ) -> None:
        """A deployment, by what it was warmed up and on which contracts. Its own entry comes last: it completes it."""
        await self._close()
        for (topic, partition), offset in sorted(history.items()):
            await self._write(_Run((topic, partition), 0, offset, command))
        self._consumed[at.place] = at.offset
        await self._write(_Run(at.place, at.offset, at.offset, command), contracts=contracts)
        await self.settle()

    async def settle(self) -> None:
        """Return when the broker has all that was consumed so far."""
        await self._close()
        posted, self._posted = self._posted, []
        if posted:
            await asyncio.gather(*posted)

    async def _close(self, outputs: tuple[str, ...] = ()) -> None:
        run, self._run = self._run, None
        if run is not None:
            await self._write(run, outputs)

    async def _write(
        self, run: _Run, outputs: tuple[str, ...] = (), contracts: tuple[Contract, ...] | None = None
    ) -> None:
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
            outputs=outputs,
            contracts=contracts,
            event_time=run.event.event_time,
            ingest_time=now,
        )
        self._posted.append(await self._post(entry))
        if len(self._posted) >= _POSTED_MAX:
            posted, self._posted = self._posted, []
            await asyncio.gather(*posted)
