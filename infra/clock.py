"""The only place that reads the wall clock, makes random numbers or draws ids.

Market time never comes from here: it arrives on events.
"""

import random
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time: approvals, staleness, back-off, `ingest_time`."""

    def now(self) -> datetime:
        """The present moment, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never step back, for durations."""


class SystemClock:
    """The machine's own clocks."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class ManualClock:
    """A clock that stands still until it is told to advance."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def advance(self, seconds: float) -> None:
        assert seconds >= 0, "time does not run backwards"
        self._now = datetime.fromtimestamp(self._now.timestamp() + seconds, UTC)
        self._monotonic += seconds


class Entropy(Protocol):
    """Ids that must be unique but not reproducible, and jitter."""

    def new_id(self) -> str:
        """A fresh id, unique in time and space."""

    def jitter(self, seconds: float) -> float:
        """A duration between half of `seconds` and all of it."""


class SystemEntropy:
    """The operating system's randomness."""

    def new_id(self) -> str:
        return str(uuid.uuid4())

    def jitter(self, seconds: float) -> float:
        return seconds * random.uniform(0.5, 1.0)


class SeededEntropy:
    """The same ids and jitter for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def new_id(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def jitter(self, seconds: float) -> float:
        return seconds * self._random.uniform(0.5, 1.0)
