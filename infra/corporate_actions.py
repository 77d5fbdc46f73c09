"""Corporate actions as a person enters them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Any

from pydantic import TypeAdapter

from infra.bar_moments import zone_of
from infra.errors import UsageError
from schemas.corporate import ActionOrigin, CorporateAction
from schemas.validation import Contract

_ACTION: TypeAdapter[CorporateAction] = TypeAdapter(CorporateAction)
_NEEDED = {
    "Split": ("new_shares", "old_shares"),
    "Dividend": ("amount", "currency"),
    "SymbolChanged": ("old_symbol", "new_symbol"),
    "Delisted": (),
}


class TermsError(UsageError, ValueError):
    """Something is missing of an action, or there is something that it does not have."""


@dataclass(frozen=True)
class Terms:
    """What happens, and when."""

    type: str
    ex_date: date
    new_shares: float | None = None
    old_shares: float | None = None
    amount: float | None = None
    currency: str | None = None
    old_symbol: str | None = None
    new_symbol: str | None = None
    canceled: bool = False
    note: str = ""

    def given(self) -> dict[str, Any]:
        names = sorted({name for needed in _NEEDED.values() for name in needed})
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def check(self) -> None:
        needed, given = set(_NEEDED[self.type]), set(self.given())
        if missing := sorted(needed - given):
            raise TermsError(f"a {self.type} needs {' and '.join(missing)}")
        if more := sorted(given - needed):
            raise TermsError(f"a {self.type} has no {' and no '.join(more)}")
        if self.type == "Split" and self.new_shares == self.old_shares:
            raise TermsError("new_shares and old_shares are the same: that is no split")


def action_of(contract: Contract, terms: Terms, *, by: str, revision: int, now: datetime) -> CorporateAction:
    """The event: in effect from the midnight at the exchange with which the day begins."""
    terms.check()
    fields = {
        "type": terms.type,
        "event_time": effective(contract, terms.ex_date),
        "ingest_time": now,
        "contract_id": contract.contract_id,
        "symbol": contract.symbol,
        "ex_date": terms.ex_date,
        "revision": revision,
        "canceled": terms.canceled,
        "origin": ActionOrigin.PERSON,
        "by": by,
        "note": terms.note,
    }
    return _ACTION.validate_python({**fields, **terms.given()})


def effective(contract: Contract, ex_date: date) -> datetime:
    return datetime.combine(ex_date, time(), zone_of(contract))


def next_revision(known: Sequence[CorporateAction], terms: Terms) -> int:
    """One more than the highest revision of the action of that type and day."""
    revisions = [each.revision for each in known if (each.type, each.ex_date) == (terms.type, terms.ex_date)]
    return max(revisions, default=-1) + 1
