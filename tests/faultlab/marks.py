"""What the laboratory did in a case, for the judge."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Kill:
    """A kill of everything that was acknowledged."""

    at_ns: int
    written: frozenset[str] = frozenset()
    """Intents of which the order had been written to the gateway by then: they may arrive later."""
    fenced: bool = True
    """Whether nobody was about to write one: else one may still come, and is cancelled."""


@dataclass
class Marks:
    """What the laboratory did, for the judge: moments by CLOCK_MONOTONIC, and ids."""

    dark: list[tuple[int, int, datetime, str]] = field(default_factory=list)
    """Between two moments no order may be decided upon and reach the gateway: begin, end, wall time at begin, why."""
    forbidden: dict[str, str] = field(default_factory=dict)
    """Intents that must never reach the gateway, and why."""
    kills: list[Kill] = field(default_factory=list)
    poison: list[tuple[str, int, int]] = field(default_factory=list)
    """Topic, partition and offset of records that nobody can read."""
    bars: int = 0
    """How many bars were told, each once."""
