"""A symbol's part of a run: what is wanted of its past, what was brought, and what is missing in the end."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np

from infra.calendars.calendar import Session
from infra.gateway import History, Series, Span
from producers.data_farmer.coverage import Coverage
from producers.data_farmer.gaps import chunks_of, gaps_of, lacks
from producers.data_farmer.runs import Run
from schemas.collection import ChunkCollected, SymbolCollected, SymbolOutcome
from schemas.moments import to_microseconds
from schemas.validation import Contract

SETTLES_AFTER = timedelta(days=3)
"""What the gateway had no bars for so lately is asked for again by a later run: they may come late."""
_REASON_MAX = 500


@dataclass
class Field:
    """Sessions of a series, with how many bars there are of each."""

    run: Run
    symbol: str
    contract: Contract
    series: Series
    sessions: list[Session] = field(default_factory=list)
    stored: dict[date, int] = field(default_factory=dict)
    chunks: int = 0
    bars_received: int = 0
    bars_published: int = 0
    quarantined: int = 0
    failed: list[tuple[Span, str]] = field(default_factory=list)
    archived: Sequence[tuple[datetime, datetime]] = ()
    """Times of which bars are in archives."""
    brought_by_others: bool = False
    """Bars came that other runs have asked for."""
    refused: str = ""
    """Why the gateway gives no such data at all."""
    under_way: set[asyncio.Task[None]] = field(default_factory=set)
    _set_aside: set[date] = field(default_factory=set)

    def go_on_after(self, chunks: Iterable[ChunkCollected]) -> None:
        """Count what a former process had finished."""
        for chunk in chunks:
            if chunk.contract_id == self.contract.contract_id:
                self._count(chunk)

    def chunks_missing(self, coverage: Coverage, *, refresh: bool) -> list[Span]:
        """The requests that bring what is not there; to refresh means that nothing is there."""
        contract_id, run_id = self.contract.contract_id, self.run.run_id

        def missing(span: Span) -> list[Span]:
            return coverage.missing(contract_id, self.series, span, run_id=run_id, refresh=refresh)

        return chunks_of(lacks(self.sessions, self.series, {} if refresh else self.stored, missing), self.series)

    def refuse(self, why: str) -> None:
        """What would be answered alike is not asked any more."""
        if self.refused:
            return
        self.refused = why
        self.failed.append((Span(self.sessions[0].open, self.sessions[-1].close), why))
        for each in self.under_way:
            if each is not asyncio.current_task():
                each.cancel()

    def knows_nothing_of(self, span: Span) -> bool:
        """Not one bar of these sessions has been seen: whatever comes is new."""
        if self.run.refresh:
            return False
        within = (each.day for each in self.sessions if each.open < span.end and span.start < each.close)
        return not any(self.stored.get(day, 0) for day in within)

    def brought(self, span: Span, part: History, published: int) -> ChunkCollected:
        """Take an answer in, and say what it was."""
        opens = [to_microseconds(session.open) for session in self.sessions]
        places, counts = np.unique(
            np.searchsorted(opens, part.bars["start_us"].to_numpy(), "right"), return_counts=True
        )
        seen = {self.sessions[place - 1].day: int(count) for place, count in zip(places, counts, strict=True) if place}
        for day, count in seen.items():
            self.stored[day] = max(self.stored.get(day, 0), count)
        for finding in part.quarantined:
            self._set_aside.update(s.day for s in self.sessions if s.open < finding.event_time <= s.close)
        chunk = self._told(span, part, published)
        self._count(chunk)
        return chunk

    def _told(self, span: Span, part: History, published: int) -> ChunkCollected:
        is_settled = span.end <= self.run.now - SETTLES_AFTER
        last = max((bar.end for bar in part.past_bars(last=1)), default=span.start)
        return ChunkCollected(
            event_time=self.run.now,
            ingest_time=self.run.clock.now(),
            run_id=self.run.run_id,
            contract_id=self.contract.contract_id,
            symbol=self.contract.symbol,
            bar_size=self.series.bar_size,
            price_kind=self.series.price_kind,
            basis=self.series.basis,
            start=span.start,
            end=span.end,
            known_until=span.end if is_settled else last,
            bars_received=len(part.bars) + len(part.quarantined),
            bars_published=published,
            quarantined=len(part.quarantined),
        )

    def _count(self, chunk: ChunkCollected) -> None:
        self.chunks += 1
        self.bars_received += chunk.bars_received
        self.bars_published += chunk.bars_published
        self.quarantined += chunk.quarantined

    # the end

    def told(self, coverage: Coverage) -> SymbolCollected:
        def reason_of(session: Session, count: int) -> str | None:
            return self._reason(session, count, coverage)

        complete, gaps = gaps_of(self.sessions, self.series, self.stored, reason_of)
        return SymbolCollected(
            event_time=self.run.clock.now(),
            ingest_time=self.run.clock.now(),
            run_id=self.run.run_id,
            symbol=self.symbol,
            contract_id=self.contract.contract_id,
            outcome=self._outcome,
            reason=self.trouble or self._why_nothing,
            chunks=self.chunks,
            bars_received=self.bars_received,
            bars_published=self.bars_published,
            quarantined=self.quarantined,
            sessions=len(self.sessions),
            sessions_complete=complete,
            gaps=tuple(gaps),
        )

    def _reason(self, session: Session, count: int, coverage: Coverage) -> str | None:
        """Why bars of a session are missing; None when there are no more."""
        for span, why in self.failed:
            if span.start < session.close and session.open < span.end:
                return f"not collected: {why}"[:_REASON_MAX]
        if session.day in self._set_aside:
            return "set aside: `market.quarantine.v1` tells the rule"
        span = Span(session.open, session.close)
        if coverage.missing(self.contract.contract_id, self.series, span, run_id=""):
            return "the gateway does not have them yet: a later run asks again"
        if count:
            return None
        if any(first < session.close and session.open < last for first, last in self.archived):
            return "archived: `scizor data restore` brings it back"
        return "the gateway has no bars"

    @property
    def lacks_sessions(self) -> bool:
        return not all(self.stored.get(session.day) for session in self.sessions)

    @property
    def _outcome(self) -> SymbolOutcome:
        if self.failed and not self.chunks:
            return SymbolOutcome.FAILED
        if not self.chunks:
            return SymbolOutcome.UP_TO_DATE
        return SymbolOutcome.COLLECTED if self.bars_received else SymbolOutcome.NO_DATA

    @property
    def _why_nothing(self) -> str:
        if self.sessions:
            return ""
        return f"no session was over in that time: at the gateway it is {self.run.now:%Y-%m-%d %H:%M} UTC"

    @property
    def trouble(self) -> str:
        """What went wrong, in a line; empty when nothing did."""
        if not self.failed:
            return ""
        reasons: Sequence[str] = list(dict.fromkeys(why for _, why in self.failed))
        return f"{len(self.failed)} of {len(self.failed) + self.chunks} requests failed: {reasons[0]}"[:_REASON_MAX]


def failure(run: Run, symbol: str, reason: str, now: datetime) -> SymbolCollected:
    """Of a symbol that nothing could be asked about."""
    return SymbolCollected(
        event_time=now,
        ingest_time=now,
        run_id=run.run_id,
        symbol=symbol,
        outcome=SymbolOutcome.FAILED,
        reason=reason[:_REASON_MAX],
    )
