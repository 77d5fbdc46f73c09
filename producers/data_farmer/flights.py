"""What is being asked for now, by whichever run: who wants it too waits for it instead of asking again."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from infra.gateway import Priority, Series, Span

About = tuple[int, Series]
"""A contract, and the kind of bars."""


@dataclass(eq=False)
class Flight:
    """A request that is under way, until what it brought has been published."""

    span: Span
    priority: Priority
    brought: bool = False
    """Whether it was answered, and the answer is kept."""
    over: asyncio.Event = field(default_factory=asyncio.Event)


class Flights:
    """Those of one process: no two of the same bars, unless the later one is in more of a hurry."""

    def __init__(self) -> None:
        self._under_way: dict[About, list[Flight]] = defaultdict(list)

    async def landed(self, about: About, span: Span, priority: Priority) -> list[Span]:
        """Waits until nothing of the span is under way; which stretches were brought meanwhile.

        What has its turn later than one's own would have it is not waited for.
        """
        brought = []
        while others := self._over(about, span, priority):
            for flight in others:
                await flight.over.wait()
                if flight.brought:
                    brought.append(flight.span)
        return brought

    def _over(self, about: About, span: Span, priority: Priority) -> list[Flight]:
        under_way = (each for each in self._under_way.get(about, ()) if each.priority <= priority)
        return [each for each in under_way if each.span.start < span.end and span.start < each.span.end]

    @contextmanager
    def flying(self, about: About, flight: Flight) -> Iterator[Flight]:
        """Right after `landed`, with nothing awaited between."""
        self._under_way[about].append(flight)
        try:
            yield flight
        finally:
            flight.over.set()
            self._under_way[about].remove(flight)
            if not self._under_way[about]:
                del self._under_way[about]
