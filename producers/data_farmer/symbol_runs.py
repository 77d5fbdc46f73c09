"""A run about symbols: what was asked, how far it is, and what it tells about itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from schemas.collection import CollectionRun, RunKind, RunState, ValidateSymbols
from schemas.registry import ChangeSymbol, PopulateSymbols, RemoveSymbol

SymbolRequest = ValidateSymbols | PopulateSymbols | ChangeSymbol | RemoveSymbol

KINDS: dict[type[SymbolRequest], RunKind] = {
    ValidateSymbols: "validate",
    PopulateSymbols: "populate",
    ChangeSymbol: "change",
    RemoveSymbol: "remove",
}
GATEWAY = "gateway"
"""Key in `failures` under which a run says that it waits for the gateway, or gave up waiting."""
_REASON_MAX = 500
_FOLLOW_UP = ".validation"


def symbols_of(request: SymbolRequest) -> tuple[str, ...]:
    match request:
        case ValidateSymbols():
            return request.symbols
        case PopulateSymbols():
            return tuple(entry.symbol for entry in request.entries)
        case _:
            return (request.symbol,)


def follow_up(request: PopulateSymbols) -> ValidateSymbols:
    """The validation that a forced population leaves to be done: the same one, whenever it is made."""
    return ValidateSymbols(
        event_time=request.event_time,
        ingest_time=request.ingest_time,
        run_id=request.run_id + _FOLLOW_UP,
        symbols=symbols_of(request),
        requested_by=request.requested_by,
    )


def is_follow_up(request: SymbolRequest) -> bool:
    return request.run_id.endswith(_FOLLOW_UP)


@dataclass
class SymbolRun:
    """The tallies of a run while it is worked on."""

    request: SymbolRequest
    done: int = 0
    gateway_requests: int = 0
    requests_saved: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    gave_up: bool = False
    """The gateway was away for too long."""
    told_at: float | None = None
    """When it last said how far it is, on the monotonic clock."""

    def fail(self, symbol: str, reason: str) -> None:
        self.failures[symbol] = reason[:_REASON_MAX]

    @property
    def outcome(self) -> RunState:
        """DONE when at least one symbol was dealt with."""
        return RunState.FAILED if len(self.failures) >= len(symbols_of(self.request)) else RunState.DONE

    def told(self, state: RunState, now: Callable[[], datetime]) -> CollectionRun:
        moment = now()
        return CollectionRun(
            event_time=moment,
            ingest_time=moment,
            run_id=self.request.run_id,
            kind=KINDS[type(self.request)],
            state=state,
            symbols=len(symbols_of(self.request)),
            symbols_done=self.done,
            gateway_requests=self.gateway_requests,
            requests_saved=self.requests_saved,
            failures=dict(self.failures),
        )
