"""What people want of the symbol registry, apart from asking the gateway (see schemas.collection)."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.event import Event, Name
from schemas.validation import Tag

SYMBOLS_MAX = 1000
"""Of one request."""

Note = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")]
"""What a person writes: lines of text without control characters."""


class SymbolEntry(BaseModel):
    """One line of a universe file."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    symbol: Name
    """As a person writes it: AAPL, BHP:ASX, BHP:ASX:AUD."""
    kind: Annotated[str, Field(max_length=32, pattern=r"^[a-z0-9_-]*$")] = ""
    name: Annotated[Note, Field(max_length=200)] = ""


class PopulateSymbols(Event):
    """Have these symbols in the registry; those that are there already stay as they are."""

    type: Literal["PopulateSymbols"] = "PopulateSymbols"
    run_id: Name
    entries: Annotated[tuple[SymbolEntry, ...], Field(min_length=1, max_length=SYMBOLS_MAX)]
    force: bool = False
    """Do not wait for the gateway: the run ends when all are requested, and a run of its own validates them."""
    requested_by: Name


class ChangeSymbol(Event):
    """Suspend, resume or delist a symbol, or change what people note about it; None leaves a thing as it is."""

    type: Literal["ChangeSymbol"] = "ChangeSymbol"
    run_id: Name
    symbol: Name
    state: Literal["valid", "suspended", "delisted"] | None = None
    """Valid: resume it; one that never was valid is validated then."""
    note: Note | None = None
    tags: Annotated[tuple[Tag, ...], Field(max_length=50)] | None = None
    collect: bool | None = None
    requested_by: Name


class RemoveSymbol(Event):
    """Archive the symbol's bars, end its live data, clear its rows away."""

    type: Literal["RemoveSymbol"] = "RemoveSymbol"
    run_id: Name
    symbol: Name
    keep_data: bool = False
    """Only the registry forgets the symbol; its bars stay."""
    requested_by: Name


RegistryRequest = Annotated[PopulateSymbols | ChangeSymbol | RemoveSymbol, Field(discriminator="type")]
