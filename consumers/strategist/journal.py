"""What each strategy consumed, in which order: written so that it can be fed again in exactly that order."""

from dataclasses import dataclass

from infra.clock import Clock
from infra.publish import Origin, Publisher
from schemas.event import Event
from schemas.strategy import JournalEntry

_RUN_MAX = 500

Place = tuple[str, int]
"""Topic (logical name) and partition."""


@dataclass
class _Run:
    """Consecutive inputs from one place, not written yet."""

    place: Place
    first_offset: int
    offset: int
    event: Event
    count: int = 1


class Journal:
    """One strategy's journal. A run is written when its place changes, when it causes outputs, or when it is long."""

    def __init__(self, strategy_id: str, publisher: Publisher, clock: Clock) -> None:
        self._strategy_id = strategy_id
        self._publisher = publisher
        self._clock = clock
        self._sequence = 0
        self._run: _Run | None = None
        self._consumed: dict[Place, int] = {}

    def resume(self, sequence: int, consumed: dict[Place, int]) -> None:
        """Go on after `sequence`, knowing how far each place was consumed."""
        self._sequence = sequence
        self._consumed = dict(consumed)

    def has(self, origin: Origin) -> bool:
        """Whether this input, or a later one of its place, was consumed before."""
        return self._consumed.get((origin.topic, origin.partition), -1) >= origin.offset

    async def before(self, origin: Origin) -> None:
        """Make sure that what was consumed from another place is written before this input is."""
        if self._run is not None and self._run.place != (origin.topic, origin.partition):
            await self.write(())

    async def note(self, event: Event, origin: Origin, outputs: tuple[str, ...]) -> None:
        """An input was consumed and caused `outputs`; returns when the journal knows, if it has to know now."""
        place = (origin.topic, origin.partition)
        self._consumed[place] = origin.offset
        if self._run is None:
            self._run = _Run(place, origin.offset, origin.offset, event)
        else:
            self._run.offset, self._run.event = origin.offset, event
            self._run.count += 1
        if outputs or self._run.count >= _RUN_MAX or not origin.topic.startswith("market."):
            await self.write(outputs)

    async def write(self, outputs: tuple[str, ...]) -> None:
        """Write the run in hand and wait until the broker has it."""
        run, self._run = self._run, None
        if run is None:
            return
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
            event_time=run.event.event_time,
            ingest_time=now,
        )
        await self._publisher.publish(entry)
