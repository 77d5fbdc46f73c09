"""The table of faults: what is done to a running stage, and at which moment.

`place` is called while orders come. What it arms strikes by itself, at a message; what it stops it lets go on.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.faultlab.stage import Stage

Place = Callable[[Stage, Random], Awaitable[None]]


@dataclass(frozen=True)
class Fault:
    """One row: its name, the row of the matrix, what happens in words, and how it is placed."""

    name: str
    matrix: str
    meaning: str
    place: Place
    halts: bool = False
    """Whether it may end in an account that stays halted until a person has looked."""
    work: str = "orders"
    """What goes on while it strikes, when it is placed alone."""
    pairs: bool = True
    """Whether it may strike together with another one."""
    wired: bool = False
    """Whether services reach Kafka over a wire that can be cut."""
    on_a_disk: bool = False
    """Whether it fills a disk of the laboratory, on one of which are the logs of services."""


FAULTS: dict[str, Fault] = {}


def fault(name: str, matrix: str, meaning: str, **traits: Any) -> Callable[[Place], Place]:
    def enter(place: Place) -> Place:
        FAULTS[name] = Fault(name, matrix, meaning, place, **traits)
        return place

    return enter


def at(name: str, matrix: str, meaning: str, event: str, **do: Any) -> None:
    """A fault that the gateway places at one of the next messages of a kind."""

    async def place(stage: Stage, rng: Random) -> None:
        stage.arm(event, rng.randint(1, 3), **do)

    FAULTS[name] = Fault(name, matrix, meaning, place)
