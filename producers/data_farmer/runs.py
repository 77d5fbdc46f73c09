"""A collection run: what was asked, how far it is, and what it tells about itself."""

from dataclasses import dataclass, field
from datetime import datetime

from schemas.collection import CollectHistory, CollectionRun, RunState, ValidateSymbols

Request = ValidateSymbols | CollectHistory

GATEWAY = "gateway"
"""Key in `failures` under which a run says that it waits for the gateway, or gave up waiting."""
_REASON_MAX = 500


@dataclass
class Run:
    """The tallies of a run while it is worked on."""

    request: Request
    symbols_done: int = 0
    bars_received: int = 0
    bars_published: int = 0
    quarantined: int = 0
    gateway_requests: int = 0
    requests_saved: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def fail(self, symbol: str, reason: str) -> None:
        self.failures[symbol] = reason[:_REASON_MAX]

    @property
    def outcome(self) -> RunState:
        """DONE when at least one symbol was dealt with."""
        return RunState.FAILED if len(self.failures) >= len(self.request.symbols) else RunState.DONE

    def told(self, state: RunState, now: datetime) -> CollectionRun:
        return CollectionRun(
            event_time=now,
            ingest_time=now,
            run_id=self.request.run_id,
            kind="history" if isinstance(self.request, CollectHistory) else "validate",
            state=state,
            symbols=len(self.request.symbols),
            symbols_done=self.symbols_done,
            bars_received=self.bars_received,
            bars_published=self.bars_published,
            quarantined=self.quarantined,
            gateway_requests=self.gateway_requests,
            requests_saved=self.requests_saved,
            failures=dict(self.failures),
        )
