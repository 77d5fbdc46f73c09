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


@dataclass(frozen=True)
class Darkness:
    """Between two moments no order may be begun and reach the gateway."""

    begin_ns: int
    end_ns: int
    at: datetime
    """Wall time at the begin."""
    why: str
    of_decisions: bool = False
    """Nobody decides, but who sends is well: what was approved before may still go out."""


@dataclass
class Marks:
    """What the laboratory did, for the judge: moments by CLOCK_MONOTONIC, and ids."""

    dark: list[Darkness] = field(default_factory=list)
    forbidden: dict[str, str] = field(default_factory=dict)
    """Intents that must never reach the gateway, and why."""
    kills: list[Kill] = field(default_factory=list)
    poison: list[tuple[str, int, int]] = field(default_factory=list)
    """Topic, partition and offset of records that nobody can read."""
    strikes: int = 0
    """Faults of which it was seen that they took effect, beyond those that the gateway and the wires count."""
    bars: int = 0
    """How many bars were told, each once."""
    history: dict[int, int] = field(default_factory=dict)
    """How many bars of past days each contract has to have in the end."""
    deaths: list[int] = field(default_factory=list)
    """When the executor died while orders came, by CLOCK_MONOTONIC."""
    strategies: dict[str, tuple[str, int]] = field(default_factory=dict)
    """In which state a strategy has to end, and how many bars it has to have seen; 0: any number."""
    throttled: dict[str, int] = field(default_factory=dict)
    """How many orders a minute a strategy may have approved, which wants more of them."""
    found: list[str] = field(default_factory=list)
    """What contradicts the row's own expectation, as the ledger showed it while the fault was placed."""
