"""Which stretches of time the gateway has answered for: they are not asked for again."""

import bisect
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from infra.gateway import Series, Span
from infra.removals import Removals
from producers.data_farmer.flights import About
from schemas.collection import ChunkCollected


class Stretches:
    """A set of moments, as stretches that neither overlap nor touch."""

    def __init__(self) -> None:
        self._starts: list[datetime] = []
        self._ends: list[datetime] = []

    def add(self, start: datetime, end: datetime) -> None:
        if start >= end:
            return
        first = bisect.bisect_left(self._ends, start)
        last = bisect.bisect_right(self._starts, end)
        if first < last:
            start, end = min(start, self._starts[first]), max(end, self._ends[last - 1])
        self._starts[first:last] = [start]
        self._ends[first:last] = [end]

    def without(self, start: datetime, end: datetime) -> Iterator[Span]:
        """The parts of start..end that are not in the set."""
        place = bisect.bisect_right(self._ends, start)
        while start < end:
            if place == len(self._starts) or self._starts[place] >= end:
                yield Span(start, end)
                return
            if start < self._starts[place]:
                yield Span(start, self._starts[place])
            start = self._ends[place]
            place += 1


class Coverage:
    """What was answered, by contract and series; what a run was answered stays so for that run, however lately."""

    def __init__(self, removed: Removals) -> None:
        self._removed = removed
        self._known: dict[int, dict[Series, Stretches]] = defaultdict(lambda: defaultdict(Stretches))
        self._of_runs: dict[str, dict[About, Stretches]] = defaultdict(lambda: defaultdict(Stretches))
        self._removed_at: dict[int, datetime] = {}

    def add(self, chunk: ChunkCollected) -> None:
        removal = self._removed.get(chunk.contract_id)
        if removal is not None and chunk.ingest_time <= removal.event_time:
            return
        series = Series(chunk.bar_size, chunk.price_kind, chunk.basis)
        self._forget_removed(chunk.contract_id)
        self._known[chunk.contract_id][series].add(chunk.start, chunk.known_until)
        self.heard(chunk.run_id, (chunk.contract_id, series), Span(chunk.start, chunk.end))

    def heard(self, run_id: str, about: About, span: Span) -> None:
        """For this run the gateway has answered, whoever asked."""
        self._of_runs[run_id][about].add(*span)

    def finished(self, run_id: str) -> None:
        """Nothing more will be asked for this run."""
        self._of_runs.pop(run_id, None)

    def missing(
        self, contract_id: int, series: Series, span: Span, *, run_id: str, refresh: bool = False
    ) -> list[Span]:
        """The parts of the span that have to be asked for; to refresh means to believe only what this run was told."""
        self._forget_removed(contract_id)
        answered = [] if refresh else [self._known[contract_id][series]]
        if run_id in self._of_runs:
            answered.append(self._of_runs[run_id][contract_id, series])
        left = [span]
        for stretches in answered:
            left = [part for each in left for part in stretches.without(*each)]
        return left

    def _forget_removed(self, contract_id: int) -> None:
        """What was answered before a symbol's data were cleared away counts no longer."""
        removal = self._removed.get(contract_id)
        if removal is not None and self._removed_at.get(contract_id) != removal.event_time:
            self._removed_at[contract_id] = removal.event_time
            self._known.pop(contract_id, None)
