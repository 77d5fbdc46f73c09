"""What companies do to their shares: splits, dividends, other names, the end of a listing."""

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from schemas.event import ContractId, Event, Name, Price, UtcTime


class ActionOrigin(StrEnum):
    """Who says so."""

    DETECTED = "detected"
    """The gateway's answers about the past have changed, as this action changes them."""
    PERSON = "person"


class _Action(Event):
    """Effective from the beginning of `ex_date` at the exchange, which is `event_time`.

    Its natural key is contract_id, type and ex_date; the highest revision holds, what was known before stays.
    """

    contract_id: ContractId
    symbol: Name
    ex_date: date
    revision: Annotated[int, Field(ge=0, lt=2**31)] = 0
    canceled: bool = False
    """It did not happen after all."""
    origin: ActionOrigin
    by: Name
    note: Annotated[str, Field(max_length=500)] = ""


class Split(_Action):
    """`old_shares` became `new_shares`: 2 for 1 halves the price, 1 for 10 makes it ten times as high."""

    type: Literal["Split"] = "Split"
    new_shares: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
    old_shares: Annotated[float, Field(gt=0, le=100_000, allow_inf_nan=False)]
    answers_since: UtcTime | None = None
    """Bars of before the split that we first saw from then on came divided; none: those seen since `event_time`.

    A gateway that lives in a market time of its own, as the simulator does, cannot be judged by our clock.
    """


class Dividend(_Action):
    """Paid in cash for each share as it was on the day before `ex_date`."""

    type: Literal["Dividend"] = "Dividend"
    amount: Annotated[Price, Field(gt=0)]
    currency: Name


class SymbolChanged(_Action):
    """The same contract goes by another symbol."""

    type: Literal["SymbolChanged"] = "SymbolChanged"
    old_symbol: Name
    new_symbol: Name


class Delisted(_Action):
    """No session of the contract from `ex_date` on."""

    type: Literal["Delisted"] = "Delisted"


CorporateAction = Annotated[Split | Dividend | SymbolChanged | Delisted, Field(discriminator="type")]
