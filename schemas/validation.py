"""The symbol registry and what the gateway answered about a symbol."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.event import ContractId, Event, Name, UtcTime
from schemas.market import Source


class SymbolState(StrEnum):
    """Where a symbol stands in the registry."""

    REQUESTED = "requested"
    VALIDATING = "validating"
    VALID = "valid"
    AMBIGUOUS = "ambiguous"
    REJECTED = "rejected"
    SUSPENDED = "suspended"
    """A person set it aside: nothing is asked or collected."""
    DELISTED = "delisted"
    """It was valid once, and the gateway knows it no longer."""
    REMOVED = "removed"
    """Its data were cleared away; adding it again starts anew."""


class Contract(Event):
    """A tradable contract as the gateway describes it."""

    type: Literal["Contract"] = "Contract"
    contract_id: ContractId
    symbol: Name
    security_type: Name = "STK"
    exchange: Name
    primary_exchange: str = ""
    currency: Name
    local_symbol: str = ""
    trading_class: str = ""
    name: str = ""
    minimum_tick: Annotated[float, Field(gt=0)]
    multiplier: Annotated[float, Field(gt=0)] = 1.0
    time_zone: str
    trading_hours: str = ""
    liquid_hours: str = ""
    daily_source: Source
    intraday_source: Source


class Candidate(BaseModel):
    """One of the contracts that a symbol can mean."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    contract_id: ContractId
    exchange: str
    """The primary one, where the gateway tells it."""
    currency: Name
    name: str = ""


Tag = Annotated[str, Field(min_length=1, max_length=32, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class Symbol(Event):
    """The registry's state of one symbol; the newest one per `symbol_id` holds."""

    type: Literal["Symbol"] = "Symbol"
    symbol_id: Name
    symbol: Name
    security_type: Name = "STK"
    exchange: Name = "SMART"
    currency: Name = "USD"
    state: SymbolState
    contract: Contract | None = None
    """Unknown before validation."""
    last_verified: UtcTime | None = None
    """When the gateway last told what it knows of the symbol."""
    reason: Annotated[str, Field(max_length=500)] = ""
    candidates: Annotated[tuple[Candidate, ...], Field(max_length=200)] = ()
    """What an ambiguous symbol can mean; of a valid one, the other contract that the gateway answers now."""
    kind: Annotated[str, Field(max_length=32)] = ""
    """Stock or etf, as the universe file says."""
    name: Annotated[str, Field(max_length=200)] = ""
    note: Annotated[str, Field(max_length=1000)] = ""
    tags: Annotated[tuple[Tag, ...], Field(max_length=50)] = ()
    collect: bool = True
    """Whether daily collection takes it."""


class SymbolValidated(Event):
    """The gateway knows exactly one contract for the symbol."""

    type: Literal["SymbolValidated"] = "SymbolValidated"
    symbol_id: Name
    symbol: Name
    contract: Contract


class SymbolRejected(Event):
    """The gateway knows no contract for the symbol, or refused the request."""

    type: Literal["SymbolRejected"] = "SymbolRejected"
    symbol_id: Name
    symbol: Name
    code: int
    reason: Annotated[str, Field(max_length=500)]


class SymbolAmbiguous(Event):
    """The gateway knows several contracts for the symbol: a person has to choose."""

    type: Literal["SymbolAmbiguous"] = "SymbolAmbiguous"
    symbol_id: Name
    symbol: Name
    candidates: Annotated[tuple[Contract, ...], Field(max_length=200)]


class ContractChanged(Event):
    """The gateway answers another contract than the one the symbol was validated with: a person has to decide."""

    type: Literal["ContractChanged"] = "ContractChanged"
    symbol_id: Name
    symbol: Name
    before: Contract
    now: Contract


class SymbolRemoved(Event):
    """Records of the contract whose `ingest_time` is not later than this `event_time` no longer count."""

    type: Literal["SymbolRemoved"] = "SymbolRemoved"
    contract_id: ContractId
    symbol_id: Name
    symbol: Name
    archive: Annotated[str, Field(max_length=1000)] = ""
    """The file that holds what was removed; empty when there were no bars."""
    bars: Annotated[int, Field(ge=0)] = 0
    requested_by: Name


Validation = Annotated[
    SymbolValidated | SymbolRejected | SymbolAmbiguous | ContractChanged, Field(discriminator="type")
]
