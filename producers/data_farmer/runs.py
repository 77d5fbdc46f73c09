"""A collection run: what was asked, how far it is, how long it will take, and what it tells about itself."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice

from infra.clock import Clock
from infra.gateway import Priority, Series
from schemas.collection import (
    ChunkCollected,
    CollectDaily,
    CollectHistory,
    CollectionRun,
    RunState,
    SymbolCollected,
)

Request = CollectHistory | CollectDaily

GATEWAY = "gateway"
"""Key in `failures` under which a run says that it waits for the gateway, or gave up waiting."""
_NEVER = datetime.min.replace(tzinfo=UTC)
_REASON_MAX = 500
_FAILURES_TOLD_MAX = 1000
_TOLD_EVERY_SECONDS = 0.5


def series_of(request: Request) -> Series:
    """UsageError when IB serves no such bars."""
    if isinstance(request, CollectDaily):
        return Series()
    return Series(request.bar_size, request.price_kind, request.basis)


def priority_of(request: Request) -> Priority:
    if isinstance(request, CollectDaily):
        return Priority.DAILY
    return Priority.LIVE if request.urgency == "live" else Priority.BACKFILL


@dataclass
class Run:
    """The tallies of a run; those of chunks that a former process finished are counted in."""

    request: Request
    clock: Clock
    symbols: int = 0
    symbols_done: int = 0
    symbols_planned: int = 0
    bars_received: int = 0
    bars_published: int = 0
    quarantined: int = 0
    gateway_requests: int = 0
    requests_saved: int = 0
    chunks: int = 0
    chunks_done: int = 0
    retries: int = 0
    sessions: int = 0
    sessions_complete: int = 0
    gaps: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    now: datetime = _NEVER
    """Market time when the run was taken up."""
    gave_up: bool = False
    """The gateway was away for too long."""
    earlier: list[ChunkCollected] = field(default_factory=list)
    """What a former process had finished."""
    _began: float = field(init=False)
    _chunks_before: int = field(init=False, default=0)
    _told_at: float = field(init=False, default=float("-inf"))

    def __post_init__(self) -> None:
        self._began = self.clock.monotonic()
        if isinstance(self.request, CollectHistory):
            self.symbols = len(self.request.symbols)

    @property
    def run_id(self) -> str:
        return self.request.run_id

    def fail(self, symbol: str, reason: str) -> None:
        self.failures[symbol] = reason[:_REASON_MAX]

    def go_on_after(self, chunks: Iterable[ChunkCollected]) -> None:
        """Count what a former process had finished."""
        for chunk in chunks:
            self.earlier.append(chunk)
            self.count(chunk)
            self.chunks += 1
        self._chunks_before = self.chunks_done

    @property
    def refresh(self) -> bool:
        return isinstance(self.request, CollectHistory) and self.request.refresh

    def count(self, chunk: ChunkCollected) -> None:
        self.chunks_done += 1
        self.bars_received += chunk.bars_received
        self.bars_published += chunk.bars_published
        self.quarantined += chunk.quarantined

    def saved(self) -> None:
        """A chunk that somebody else has asked for meanwhile."""
        self.chunks_done += 1
        self.requests_saved += 1

    def count_symbol(self, told: SymbolCollected) -> None:
        self.symbols_done += 1
        self.sessions += told.sessions
        self.sessions_complete += told.sessions_complete
        self.gaps += len(told.gaps)

    @property
    def outcome(self) -> RunState:
        """DONE when at least one symbol was dealt with, or there was none."""
        return RunState.FAILED if 0 < self.symbols <= len(self.failures) or self.gave_up else RunState.DONE

    @property
    def wants_telling(self) -> bool:
        """Now and then is enough."""
        return self.clock.monotonic() - self._told_at >= _TOLD_EVERY_SECONDS

    @property
    def chunks_per_minute(self) -> float:
        seconds = self.clock.monotonic() - self._began
        return 60 * (self.chunks_done - self._chunks_before) / seconds if seconds > 0 else 0.0

    @property
    def eta_seconds(self) -> float | None:
        """At the present rate, symbols that were not looked at yet needing as much as the others."""
        rate = self.chunks_per_minute / 60
        if not rate or not self.symbols_planned:
            return None
        expected = self.chunks * self.symbols / self.symbols_planned
        return max(0.0, expected - self.chunks_done) / rate

    def told(self, state: RunState) -> CollectionRun:
        now, request = self.clock.now(), self.request
        self._told_at = self.clock.monotonic()
        series = series_of(request)
        is_daily = isinstance(request, CollectDaily)
        basis = "" if series.what_to_show != "ADJUSTED_LAST" else ", total return"
        return CollectionRun(
            event_time=now,
            ingest_time=now,
            run_id=self.run_id,
            kind="daily" if is_daily else "history",
            state=state,
            symbols=self.symbols,
            symbols_done=self.symbols_done,
            bars_received=self.bars_received,
            bars_published=self.bars_published,
            quarantined=self.quarantined,
            gateway_requests=self.gateway_requests,
            requests_saved=self.requests_saved,
            failures=dict(islice(self.failures.items(), _FAILURES_TOLD_MAX)),
            what=f"{series.size.words} {series.price_kind.value}{basis}",
            exchange=(request.exchange or "") if isinstance(request, CollectDaily) else "",
            session=request.session if isinstance(request, CollectDaily) else None,
            chunks=self.chunks,
            chunks_done=self.chunks_done,
            retries=self.retries,
            sessions=self.sessions,
            sessions_complete=self.sessions_complete,
            gaps=self.gaps,
            chunks_per_minute=round(self.chunks_per_minute, 2),
            eta_seconds=None if state in (RunState.DONE, RunState.FAILED) else self.eta_seconds,
        )
