"""A comparison of our books with the broker's that somebody has asked for, and what it found."""

from typing import Annotated, Literal

from pydantic import Field

from schemas.event import Event, Name

TROUBLES_MAX = 100


class ReconciliationAsked(Event):
    """Compare now what is held, worked and executed with what the broker says."""

    type: Literal["ReconciliationAsked"] = "ReconciliationAsked"
    request_id: Name
    account_id: Name
    by: Name


class Reconciled(Event):
    """The answer: a comparison that began after it was asked for has ended."""

    type: Literal["Reconciled"] = "Reconciled"
    request_id: Name
    account_id: Name
    troubles: Annotated[tuple[Annotated[str, Field(max_length=500)], ...], Field(max_length=TROUBLES_MAX)] = ()
    """What does not agree; empty when everything does. While there is any, the account is HALTED."""


ReconciliationEvent = Annotated[ReconciliationAsked | Reconciled, Field(discriminator="type")]
