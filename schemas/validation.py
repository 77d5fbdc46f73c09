"""The symbol registry and what the gateway answered about a symbol."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

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
    DELISTED = "delisted"


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
    reason: Annotated[str, Field(max_length=500)] = ""


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


Validation = Annotated[SymbolValidated | SymbolRejected | SymbolAmbiguous, Field(discriminator="type")]
