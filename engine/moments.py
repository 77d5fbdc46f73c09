"""What a strategy is told between two bars, and the timers that it asks for: the same words in a backtest and live."""

import msgspec

from engine.facts import DataGap, Session

_REPEATS_US_MIN = 1_000_000


class Rung(msgspec.Struct, frozen=True, tag=True):
    """A timer has rung: all bars that end by `time_us` are done."""

    name: str
    time_us: int


class Opened(msgspec.Struct, frozen=True, tag=True):
    """A session begins."""

    session: Session


class Closed(msgspec.Struct, frozen=True, tag=True):
    """A session's last bar is done."""

    session: Session


class Missed(msgspec.Struct, frozen=True, tag=True):
    """Bars are missing before the one that comes."""

    gap: DataGap


Moment = Rung | Opened | Closed | Missed


class Alarm(msgspec.Struct, frozen=True):
    """A timer that was asked for: once at `at_us`, or, with `every_us`, again and again from there.

    Raises ValueError for one that repeats too quickly.
    """

    name: str
    at_us: int
    every_us: int = 0

    def __post_init__(self) -> None:
        if self.every_us and self.every_us < _REPEATS_US_MIN:
            raise ValueError("a timer repeats after a second at least")

    def rings_us(self, until_us: int) -> int:
        """Its moment before a bar that ends at `until_us`: of one that repeats the last, which stands for all."""
        if not self.every_us:
            return self.at_us
        return self.at_us + max((until_us - 1 - self.at_us) // self.every_us, 0) * self.every_us
