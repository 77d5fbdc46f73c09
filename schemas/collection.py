"""Work for the data farmer and what became of it."""

from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.event import Event, Name, UtcTime


class ValidateSymbols(Event):
    """Ask the gateway about these symbols and bring the registry up to date."""

    type: Literal["ValidateSymbols"] = "ValidateSymbols"
    run_id: Name
    symbols: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
    force: bool = False
    """Ask again even when the registry verified the symbol lately."""
    requested_by: Name


class CollectHistory(Event):
    """Bring the bars of these symbols from `start` to `end` (market time; none: all there is, until now)."""

    type: Literal["CollectHistory"] = "CollectHistory"
    run_id: Name
    symbols: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
    bar_size: Annotated[timedelta, Field(gt=timedelta(0))] = timedelta(days=1)
    start: UtcTime | None = None
    end: UtcTime | None = None
    requested_by: Name


class RunState(StrEnum):
    """Where a collection run stands."""

    STARTED = "started"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class CollectionRun(Event):
    """Progress of a run; the newest one per `run_id` holds."""

    type: Literal["CollectionRun"] = "CollectionRun"
    run_id: Name
    kind: Literal["validate", "history"]
    state: RunState
    symbols: int
    symbols_done: int
    bars_received: int = 0
    bars_published: int = 0
    """Received bars that were new or had changed."""
    quarantined: int = 0
    gateway_requests: int = 0
    requests_saved: int = 0
    failures: dict[str, str] = Field(default_factory=dict)
    """What went wrong, by symbol."""


CollectionRequest = Annotated[ValidateSymbols | CollectHistory, Field(discriminator="type")]
