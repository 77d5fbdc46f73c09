"""How IB serves the past: bar sizes, kinds of prices, and how much of each one request may ask for."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from infra.errors import UsageError
from infra.gateway import hours
from schemas.market import Basis, PriceKind
from schemas.validation import Contract

DAY = timedelta(days=1)
_WEEK, _MONTH, _YEAR = timedelta(days=7), timedelta(days=28), timedelta(days=365)


@dataclass(frozen=True)
class BarSize:
    """A bar size that IB serves, and how much of it one request may ask for."""

    size: timedelta
    words: str
    step: timedelta
    """Less than a day: pieces of a session; a day: one session; else the weeks, months or years of the calendar."""


def _sizes(step: timedelta, *named: tuple[str, timedelta]) -> Iterator[tuple[timedelta, BarSize]]:
    for words, size in named:
        yield size, BarSize(size, words, step)


_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
BAR_SIZES = dict(
    [
        *_sizes(timedelta(minutes=30), ("1 secs", timedelta(seconds=1))),
        *_sizes(_HOUR, ("5 secs", timedelta(seconds=5))),
        *_sizes(4 * _HOUR, ("10 secs", timedelta(seconds=10)), ("15 secs", timedelta(seconds=15))),
        *_sizes(8 * _HOUR, ("30 secs", timedelta(seconds=30))),
        *_sizes(DAY, ("1 min", _MINUTE), ("2 mins", 2 * _MINUTE)),
        *_sizes(_WEEK, *((f"{count} mins", count * _MINUTE) for count in (3, 5, 10, 15, 20))),
        *_sizes(_MONTH, ("30 mins", 30 * _MINUTE), ("1 hour", _HOUR)),
        *_sizes(_MONTH, *((f"{count} hours", count * _HOUR) for count in (2, 3, 4, 8))),
        *_sizes(_YEAR, ("1 day", DAY)),
    ]
)
"""https://interactivebrokers.github.io/tws-api/historical_bars.html: durations and bar sizes that go together."""


class BarSizeUnknownError(UsageError):
    def __init__(self, size: timedelta) -> None:
        known = ", ".join(bar.words for bar in BAR_SIZES.values())
        super().__init__(f"IB serves no bars of {size}: choose one of {known}")


class PricesUnknownError(UsageError):
    def __init__(self, kind: PriceKind, basis: Basis) -> None:
        super().__init__(
            f"IB serves no {kind.value} prices in the basis {basis.value}: quotes and trades come split_adjusted, "
            "trades total_return too"
        )


_WORDS = {
    (PriceKind.TRADES, Basis.SPLIT_ADJUSTED): "TRADES",
    (PriceKind.TRADES, Basis.TOTAL_RETURN): "ADJUSTED_LAST",
    (PriceKind.MIDPOINT, Basis.SPLIT_ADJUSTED): "MIDPOINT",
    (PriceKind.BID, Basis.SPLIT_ADJUSTED): "BID",
    (PriceKind.ASK, Basis.SPLIT_ADJUSTED): "ASK",
    (PriceKind.BID_ASK, Basis.SPLIT_ADJUSTED): "BID_ASK",
}


@dataclass(frozen=True)
class Series:
    """Which bars of a contract are meant."""

    bar_size: timedelta = DAY
    price_kind: PriceKind = PriceKind.TRADES
    basis: Basis = Basis.SPLIT_ADJUSTED

    def __post_init__(self) -> None:
        if self.bar_size not in BAR_SIZES:
            raise BarSizeUnknownError(self.bar_size)
        if (self.price_kind, self.basis) not in _WORDS:
            raise PricesUnknownError(self.price_kind, self.basis)

    @property
    def size(self) -> BarSize:
        return BAR_SIZES[self.bar_size]

    @property
    def what_to_show(self) -> str:
        return _WORDS[self.price_kind, self.basis]

    @property
    def ends_now(self) -> bool:
        """IB serves these up to now only, whatever end is asked for."""
        return self.basis is Basis.TOTAL_RETURN


class Span(NamedTuple):
    """From `start` to just before `end`."""

    start: datetime
    end: datetime


class PastBar(NamedTuple):
    """A bar of the past that can be true: when it began and ended, prices, volume."""

    start: datetime
    end: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float


def duration_of(size: BarSize, span: Span) -> str:
    """The least legal duration that covers the span."""
    length = span.end - span.start
    days = (span.end.astimezone(UTC).date() - span.start.astimezone(UTC).date()).days + 1
    if size.step < DAY:
        return f"{math.ceil(length.total_seconds())} S"
    if size.step == DAY:
        return "1 D"
    if days <= 5:
        return f"{days} D"
    if length <= _WEEK:
        return "1 W"
    if length <= _MONTH or size.step == _MONTH:
        return "1 M"
    return f"{math.ceil(length / (_YEAR + DAY))} Y"


def spans_of(contract: Contract, size: BarSize, start: datetime, end: datetime) -> Iterator[Span]:
    """The pieces that a range is asked in; small bars are asked for only inside sessions."""
    if size.step > DAY:
        while start < end:
            until = min(start + size.step, end)
            yield Span(start, until)
            start = until
        return
    for opening, closing in hours.sessions(contract, start, end):
        begin = opening
        while begin < closing:
            until = min(begin + size.step, closing)
            yield Span(begin, until)
            begin = until
