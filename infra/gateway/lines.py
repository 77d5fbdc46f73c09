"""Who gets the gateway's market data lines when there are not enough for all."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

_BY_TICK_PART, _BY_TICK_MIN = 20, 3
"""Tick by tick is permitted for one line in twenty, at least for three:
https://interactivebrokers.github.io/tws-api/tick_data.html"""

Rank = tuple[object, ...]
"""Who comes first: the lowest. All ranks of one set of wishes can be compared."""


class Feed(StrEnum):
    """A kind of live data."""

    BARS = "bars"
    TICKS = "ticks"
    QUOTES = "quotes"


class Channel(StrEnum):
    """A way in which the gateway sends live data: each takes a line."""

    BARS = "bars"
    TICKS = "ticks"
    """Every trade, tick by tick."""
    QUOTES = "quotes"
    """Every change of bid or ask, tick by tick."""
    TOP = "top of book"
    """Market data: quotes and trades, of which the gateway leaves some out when there are many."""


_BY_TICK = {Feed.TICKS: Channel.TICKS, Feed.QUOTES: Channel.QUOTES}
Key = tuple[int, Feed]
"""A feed of a contract."""


@dataclass(frozen=True)
class Wish:
    """The feeds of one contract that are wanted."""

    contract_id: int
    feeds: frozenset[Feed]
    rank: Rank = ()


@dataclass
class Allotment:
    """Which lines are to be held, and who goes without."""

    lines: dict[int, set[Channel]] = field(default_factory=dict)
    without: dict[Key, str] = field(default_factory=dict)
    used: int = 0
    by_tick: int = 0


def by_tick_max(lines: int) -> int:
    return max(_BY_TICK_MIN, lines // _BY_TICK_PART)


def allot(wishes: Iterable[Wish], lines: int, not_by_tick: Collection[Key] = frozenset()) -> Allotment:
    """Lines by rank, bars before trades and quotes.

    Those come tick by tick as long as that is permitted and was not refused (`not_by_tick`); else both of a contract
    come by one line of market data.
    """
    found = Allotment()
    for wish in sorted(wishes, key=lambda wish: (wish.rank, wish.contract_id)):
        held = found.lines.setdefault(wish.contract_id, set())
        for feed in sorted(wish.feeds, key=list(Feed).index):
            channel = _channel(found, wish.contract_id, feed, lines, not_by_tick)
            if channel in held:
                continue
            if found.used >= lines:
                found.without[wish.contract_id, feed] = (
                    f"no line is left, all {lines} are in use: it waits for one (SCIZOR_IB_LINES)"
                )
                continue
            held.add(channel)
            found.used += 1
            found.by_tick += channel in _BY_TICK.values()
    return found


def _channel(found: Allotment, contract_id: int, feed: Feed, lines: int, not_by_tick: Collection[Key]) -> Channel:
    if feed is Feed.BARS:
        return Channel.BARS
    if Channel.TOP in found.lines[contract_id] or (contract_id, feed) in not_by_tick:
        return Channel.TOP
    return _BY_TICK[feed] if found.by_tick < by_tick_max(lines) else Channel.TOP


def feeds_of(channel: Channel, lines: Collection[Channel], wanted: Collection[Feed]) -> frozenset[Feed]:
    """What a line brings beside the contract's others."""
    if channel is not Channel.TOP:
        return frozenset({Feed(channel.value)})
    others = {Feed(each.value) for each in lines if each is not Channel.TOP}
    return frozenset(wanted) - others
