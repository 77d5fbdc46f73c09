"""What the laboratory did in a case, for the judge."""

from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class Marks:
    """What the laboratory did, for the judge: moments by CLOCK_MONOTONIC, and ids."""

    dark: list[tuple[int, int, datetime, str]] = field(default_factory=list)
    """Between two moments no order may be decided upon and reach the gateway: begin, end, wall time at begin, why."""
    forbidden: dict[str, str] = field(default_factory=dict)
    """Intents that must never reach the gateway, and why."""
    kills: list[int] = field(default_factory=list)
    """When a kill of everything was acknowledged."""
    poison: list[tuple[str, int, int]] = field(default_factory=list)
    """Topic, partition and offset of records that nobody can read."""
    bars: int = 0
    """How many bars were told, each once."""
    notes: list[str] = field(default_factory=list)
