"""Feeds that fall silent: by the exchange's calendar, the gateway's clock and ours."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from infra.clock import Clock
from infra.gateway.market_clock import MarketClock
from producers.market_data.findings import silent
from producers.market_data.larger import session_at
from schemas.market import LIVE_BAR, Quarantined
from schemas.validation import Contract

MISSING_MAX = 3
"""After so many bars that did not come, a feed is silent."""
_AGAIN_FIRST_SECONDS, _AGAIN_MAX_SECONDS = 60.0, 960.0
_QUIET_SECONDS = 10.0


class FeedState(StrEnum):
    """Of the bars of one contract."""

    LIVE = "live"
    SILENT = "silent"
    WAITING = "waiting"
    """They are not asked for, refused, or the gateway is away."""
    CLOSED = "closed"
    """Its exchange is."""


class Line(Protocol):
    """Where bars come from."""

    def flows(self, contract_id: int) -> bool: ...

    def refresh(self, contract_id: int) -> None: ...


@dataclass
class _Feed:
    last: datetime
    """Market time up to which nothing is missing."""
    heard_at: float
    """Wall time of the last bar, or of the first look."""
    state: FeedState = FeedState.WAITING
    again_at: float = 0.0
    delay: float = _AGAIN_FIRST_SECONDS
    troubled: bool = True
    """Bars may be missing after the last one."""


class FeedWatch:
    """Looks at every contract of which bars are wanted, now and then."""

    def __init__(self, clock: Clock, market: MarketClock, line: Line) -> None:
        self._clock = clock
        self._market = market
        self._line = line
        self._feeds: dict[int, _Feed] = {}
        self._silent: dict[int, str] = {}

    def heard(self, contract_id: int, end: datetime) -> None:
        """A live bar has come."""
        if (feed := self._feeds.get(contract_id)) is not None:
            feed.last, feed.heard_at = end, self._clock.monotonic()
            feed.delay, feed.troubled = _AGAIN_FIRST_SECONDS, False

    def look(self, contracts: Iterable[Contract]) -> list[Quarantined]:
        """Findings about feeds that have fallen silent since the last look; each is asked for again."""
        now, market_now = self._clock.monotonic(), self._market.now()
        if market_now is None:
            return []
        seen, found = set(), []
        for contract in contracts:
            seen.add(contract.contract_id)
            feed = self._feeds.setdefault(contract.contract_id, _Feed(market_now, now))
            before, feed.state = feed.state, self._state(contract, feed, market_now)
            feed.troubled |= feed.state in (FeedState.SILENT, FeedState.WAITING)
            if feed.state is FeedState.SILENT:
                if before is not FeedState.SILENT:
                    wall = self._clock.now()
                    found.append(silent(contract, feed.last, market_now, wall))
                    self._silent[contract.contract_id] = f"{contract.symbol}: no bar since {feed.last:%F %T}"
                if now >= feed.again_at:
                    feed.again_at, feed.delay = now + feed.delay, min(2 * feed.delay, _AGAIN_MAX_SECONDS)
                    self._line.refresh(contract.contract_id)
            else:
                self._silent.pop(contract.contract_id, None)
        for gone in set(self._feeds) - seen:
            del self._feeds[gone]
            self._silent.pop(gone, None)
        return found

    def _state(self, contract: Contract, feed: _Feed, market_now: datetime) -> FeedState:
        """Silent means: both clocks say that bars are missing. A fast simulator is ahead of what it could send yet."""
        session = session_at(contract, market_now)
        if session is None:
            return FeedState.CLOSED
        if not self._line.flows(contract.contract_id):
            feed.last, feed.heard_at = market_now, self._clock.monotonic()
            return FeedState.WAITING
        expected = max(feed.last, session[0]) + MISSING_MAX * LIVE_BAR
        patience = (MISSING_MAX * LIVE_BAR).total_seconds()
        if market_now > expected and self._clock.monotonic() - feed.heard_at > patience:
            return FeedState.SILENT
        return FeedState.LIVE

    def count(self, state: FeedState) -> float:
        """How many feeds are in a state, for a gauge."""
        return float(sum(feed.state is state for feed in self._feeds.values()))

    def is_over(self, contract_id: int) -> bool:
        """Whether the exchange has closed, and all that was to come has come."""
        feed = self._feeds.get(contract_id)
        if feed is None or feed.state is not FeedState.CLOSED or feed.troubled:
            return False
        return self._clock.monotonic() - feed.heard_at > _QUIET_SECONDS

    def why_not_ready(self) -> str | None:
        return "; ".join(list(self._silent.values())[:5]) or None
