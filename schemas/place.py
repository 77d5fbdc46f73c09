"""Where a record stands on the topics."""

from typing import NamedTuple

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
