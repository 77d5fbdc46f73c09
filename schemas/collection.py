"""Work for the data farmer and what became of it."""

from datetime import date, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.event import ContractId, Event, Name, UtcTime
from schemas.market import Basis, PriceKind


class ValidateSymbols(Event):
    """Ask the gateway about these symbols and bring the registry up to date."""

    type: Literal["ValidateSymbols"] = "ValidateSymbols"
    run_id: Name
    symbols: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
    force: bool = False
    """Ask again even when the registry verified the symbol lately."""
    retry: bool = False
    """Ask again about symbols that are not valid, however lately the gateway was asked."""
    accept_change: bool = False
    """Where the gateway answers another contract than before, take it."""
    requested_by: Name


class CollectHistory(Event):
    """Bring the bars of these symbols that are missing, in market time; none but the symbols: all there is, until now.

    Days are those of each exchange's calendar, moments the same everywhere: use either.
    """

    type: Literal["CollectHistory"] = "CollectHistory"
    run_id: Name
    symbols: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
    bar_size: Annotated[timedelta, Field(gt=timedelta(0))] = timedelta(days=1)
    start: UtcTime | None = None
    end: UtcTime | None = None
    first_day: date | None = None
    last_day: date | None = None
    years: Annotated[int, Field(gt=0, le=100)] | None = None
    """Back from the end, where no beginning is said."""
    price_kind: PriceKind = PriceKind.TRADES
    basis: Basis = Basis.SPLIT_ADJUSTED
    refresh: bool = False
    """Ask for everything again: what has changed since becomes a new revision."""
    urgency: Literal["live", "backfill"] = "backfill"
    """Live: somebody waits for it, it goes before all other collection."""
    requested_by: Name


class CollectDaily(Event):
    """Bring the missing daily bars of every valid symbol up to the last session that is over."""

    type: Literal["CollectDaily"] = "CollectDaily"
    run_id: Name
    exchange: Name | None = None
    """An exchange by IB's name, or a calendar by its own (XNYS, XASX): only symbols that keep it."""
    session: date | None = None
    """The session whose end set it off."""
    days: Annotated[int, Field(gt=0, le=366)] = 30
    """How far back it looks for missing sessions."""
    requested_by: Name


class RunState(StrEnum):
    """Where a collection run stands."""

    STARTED = "started"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


RunKind = Literal["validate", "history", "populate", "change", "remove", "daily"]


class CollectionRun(Event):
    """Progress of a run; the newest one per `run_id` holds."""

    type: Literal["CollectionRun"] = "CollectionRun"
    run_id: Name
    kind: RunKind
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
    what: Annotated[str, Field(max_length=200)] = ""
    """The bars that are collected, in words."""
    exchange: str = ""
    session: date | None = None
    chunks: int = 0
    """Requests for bars that are needed, as far as that is known: it grows while symbols are looked at."""
    chunks_done: int = 0
    retries: int = 0
    sessions: int = 0
    sessions_complete: int = 0
    gaps: int = 0
    """Stretches without bars, by symbol told in SymbolCollected."""
    chunks_per_minute: float = 0.0
    eta_seconds: float | None = None


class ChunkCollected(Event):
    """The gateway has answered one request for bars and its bars are published: it is not asked again.

    `event_time` is the market's time at the answer.
    """

    type: Literal["ChunkCollected"] = "ChunkCollected"
    run_id: Name
    contract_id: ContractId
    symbol: Name
    bar_size: Annotated[timedelta, Field(gt=timedelta(0))]
    price_kind: PriceKind = PriceKind.TRADES
    basis: Basis = Basis.SPLIT_ADJUSTED
    start: UtcTime
    end: UtcTime
    known_until: UtcTime
    """Up to here the answer will not change by itself; what the gateway had no bars for so lately may still come."""
    bars_received: int = 0
    bars_published: int = 0
    quarantined: int = 0


class Gap(BaseModel):
    """Sessions of which bars are missing, and why."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    first_day: date
    last_day: date
    sessions: int
    reason: Annotated[str, Field(max_length=500)]


class SymbolOutcome(StrEnum):
    """What a run did about a symbol."""

    COLLECTED = "collected"
    UP_TO_DATE = "up_to_date"
    NO_DATA = "no_data"
    """It was asked for, and the gateway has nothing."""
    FAILED = "failed"


class SymbolCollected(Event):
    """A run is done with a symbol."""

    type: Literal["SymbolCollected"] = "SymbolCollected"
    run_id: Name
    symbol: Name
    contract_id: ContractId | None = None
    outcome: SymbolOutcome
    reason: Annotated[str, Field(max_length=500)] = ""
    chunks: int = 0
    bars_received: int = 0
    bars_published: int = 0
    quarantined: int = 0
    sessions: int = 0
    sessions_complete: int = 0
    gaps: Annotated[tuple[Gap, ...], Field(max_length=100)] = ()


CollectionProgress = Annotated[ChunkCollected | SymbolCollected, Field(discriminator="type")]
CollectionRequest = Annotated[ValidateSymbols | CollectHistory, Field(discriminator="type")]
