"""The life of an order: what is known is a set of facts, and the status follows from the set.

Facts only ever grow, so the same facts in any order, any number of times, end in the same order. What the broker says
is a fact; an error that leaves room for doubt is none: it asks for a look at the broker's books. Only the terms of an
order that may be changed follow the order of telling: there the newest word counts.
"""

from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from engine.order_facts import (
    Acknowledged,
    CancelRequested,
    ChangeAnswered,
    ChangeRequested,
    Ended,
    Executed,
    Fact,
    FilledAfterEnd,
    Lost,
    NeverArrived,
    Reported,
    Sized,
    Unanswered,
)
from schemas.orders import OrderStatus

ZERO = Decimal(0)
UNDER_WAY = "a change of it is on its way"


_ENDS = (OrderStatus.EXPIRED, OrderStatus.CANCELED, OrderStatus.REJECTED)
"""From weak to strong: a rejection explains the cancellation that comes with it."""


@dataclass(frozen=True, slots=True)
class _End:
    """The strongest end that was told; of equals the one with the greater code, then text."""

    rank: int = -1
    code: int = 0
    reason: str = ""

    @property
    def place(self) -> tuple[int, int, str]:
        return self.rank, self.code, self.reason

    @property
    def strength(self) -> tuple[int, int, int, str]:
        """A cancellation without a word of why may still turn out to be an expiry."""
        bare = self.rank == _ENDS.index(OrderStatus.CANCELED) and not (self.code or self.reason)
        return 0 if bare else self.rank + 1, *self.place


@dataclass(frozen=True, slots=True)
class _Told:
    """One execution: its newest revision, and what the oldest known revision said."""

    revision: int
    quantity: Decimal
    price: Decimal
    first_revision: int
    first_quantity: Decimal

    def with_(self, fact: Executed) -> "_Told":
        told = self
        if fact.revision > self.revision:
            told = replace(told, revision=fact.revision, quantity=fact.quantity, price=fact.price)
        if fact.revision < self.first_revision:
            told = replace(told, first_revision=fact.revision, first_quantity=fact.quantity)
        return told


@dataclass(frozen=True, slots=True)
class OrderFacts:
    """All that is known of one order of `quantity`."""

    quantity: Decimal
    acknowledged: bool = False
    permanent_id: int = 0
    reported: Decimal = ZERO
    cancel_requested: bool = False
    change: str = ""
    """The change that the broker has not answered yet."""
    change_quantity: Decimal = ZERO
    queued: tuple[str, ...] = ()
    """Changes that came meanwhile: they are not asked for, and answered together with it."""
    last_change: str = ""
    """The newest change that it has answered, and what it said."""
    refusal: tuple[int, str] = (0, "")
    unanswered: str = ""
    end: _End = field(default_factory=_End)
    never_arrived: _End = field(default_factory=_End)
    lost: str = ""
    surprise: str = ""
    """What a person should know of it, whatever its status."""
    executions: tuple[tuple[str, _Told], ...] = ()

    def with_(self, fact: Fact) -> "OrderFacts":
        """The facts with one more; equal to these when it was known."""
        match fact:
            case CancelRequested() | ChangeRequested() | ChangeAnswered() | Unanswered():
                return self._with_wish(fact)
            case Acknowledged(permanent_id):
                return replace(self, acknowledged=True, permanent_id=max(self.permanent_id, permanent_id))
            case Sized(quantity):
                return replace(self, acknowledged=True, quantity=quantity)
            case Reported(filled):
                return replace(self, acknowledged=True, reported=max(self.reported, filled))
            case Executed():
                return replace(self, acknowledged=True, executions=self._executions_with(fact))
            case Ended() | NeverArrived() | Lost() | FilledAfterEnd():
                return self._with_end(fact)

    def _with_wish(self, fact: CancelRequested | ChangeRequested | ChangeAnswered | Unanswered) -> "OrderFacts":
        """With what we asked for, and how that went."""
        match fact:
            case CancelRequested():
                return replace(self, cancel_requested=True)
            case ChangeRequested(change_id, quantity) if change_id not in (self.last_change, self.change, *self.queued):
                if self.change:
                    return replace(self, queued=(*self.queued, change_id))
                return replace(self, change=change_id, change_quantity=quantity)
            case ChangeAnswered(change_id, code, reason) if change_id == self.change:
                last, refusal = change_id, (code, reason)
                if self.queued:
                    last, refusal = self.queued[-1], (0, "another change of the order was on its way for too long")
                answered = replace(self, last_change=last, refusal=refusal, queued=(), unanswered="")
                return replace(answered, change="", change_quantity=ZERO)
            case Unanswered(reason):
                return replace(self, unanswered=reason)
            case _:
                return self

    def _with_end(self, fact: Ended | NeverArrived | Lost | FilledAfterEnd) -> "OrderFacts":
        match fact:
            case Ended(status, code, reason):
                end = _End(_ENDS.index(status), code, reason)
                return replace(self, acknowledged=True, end=max(self.end, end, key=lambda each: each.strength))
            case NeverArrived(status, reason, code):
                end = _End(_ENDS.index(status), code, reason)
                strongest = max(self.never_arrived, end, key=lambda each: each.strength)
                return replace(self, never_arrived=strongest)
            case Lost(reason):
                return replace(self, lost=max(self.lost, reason))
            case FilledAfterEnd(told):
                return replace(self, surprise=max(self.surprise, f"it was filled after it had been told as {told}"))

    def _executions_with(self, fact: Executed) -> tuple[tuple[str, _Told], ...]:
        known = dict(self.executions)
        told = known.get(fact.execution_id)
        if told is None:
            told = _Told(fact.revision, fact.quantity, fact.price, fact.revision, fact.quantity)
        known[fact.execution_id] = told.with_(fact)
        return tuple(sorted(known.items()))

    @property
    def executed(self) -> Decimal:
        """Sum of the newest revisions of all executions."""
        return sum((told.quantity for _, told in self.executions), ZERO)

    @property
    def missing(self) -> Decimal:
        """What the broker says was filled, but for which no execution has come."""
        first = sum((told.first_quantity for _, told in self.executions), ZERO)
        return max(ZERO, self.reported - first)

    @property
    def cumulative(self) -> Decimal:
        return self.executed + self.missing

    @property
    def average_price(self) -> Decimal:
        """Of the executions that have come; 0 without any."""
        executed = self.executed
        if not executed:
            return ZERO
        paid = sum((told.quantity * told.price for _, told in self.executions), ZERO)
        return (paid / executed).quantize(Decimal("0.00000001"))

    @property
    def most(self) -> Decimal:
        """How much may be filled in all, at worst: an unanswered change may have been taken or not."""
        return max(self.quantity, self.change_quantity)

    @property
    def overfilled(self) -> bool:
        return self.cumulative > self.most

    @property
    def contradictory(self) -> bool:
        """The broker refused the order, and filled it."""
        return self.end.rank == _ENDS.index(OrderStatus.REJECTED) and self.cumulative > 0

    @property
    def status(self) -> OrderStatus:
        if self.cumulative >= self.most:
            return OrderStatus.FILLED
        if self.end.rank >= 0 and not self.contradictory:
            return _ENDS[self.end.rank]
        if self.acknowledged:
            return self._working_status
        if self.never_arrived.rank >= 0:
            return _ENDS[self.never_arrived.rank]
        return OrderStatus.UNKNOWN if self.lost else OrderStatus.SENDING

    @property
    def _working_status(self) -> OrderStatus:
        if self.unanswered:
            return OrderStatus.UNKNOWN
        if self.cancel_requested:
            return OrderStatus.PENDING_CANCEL
        return OrderStatus.PARTIALLY_FILLED if self.cumulative > 0 else OrderStatus.NEW

    @property
    def explanation(self) -> tuple[int, str]:
        """Code and text for the status, where there are any."""
        if self.status is OrderStatus.UNKNOWN:
            return 0, self.unanswered or self.lost
        if self.surprise:
            return self.end.code, self.surprise
        if self.status.final and self.status is not OrderStatus.FILLED:
            end = self.end if self.acknowledged else self.never_arrived
            return end.code, end.reason
        return (0, UNDER_WAY) if self.change else self.refusal

    def to_json(self) -> dict[str, Any]:
        """For storage."""
        return {
            "quantity": str(self.quantity),
            "acknowledged": self.acknowledged,
            "permanent_id": self.permanent_id,
            "reported": str(self.reported),
            "cancel_requested": self.cancel_requested,
            "change": [self.change, str(self.change_quantity), *self.queued],
            "last_change": [self.last_change, *self.refusal],
            "unanswered": self.unanswered,
            "end": list(self.end.place),
            "never_arrived": list(self.never_arrived.place),
            "lost": self.lost,
            "surprise": self.surprise,
            "executions": {
                root: [
                    told.revision,
                    str(told.quantity),
                    str(told.price),
                    told.first_revision,
                    str(told.first_quantity),
                ]
                for root, told in self.executions
            },
        }

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "OrderFacts":
        executions = {
            root: _Told(revision, Decimal(quantity), Decimal(price), first, Decimal(first_quantity))
            for root, (revision, quantity, price, first, first_quantity) in stored["executions"].items()
        }
        change, change_quantity, *queued = stored.get("change", ("", "0"))  # orders of before could not be changed
        last_change, code, reason = stored.get("last_change", ("", 0, ""))
        return cls(
            quantity=Decimal(stored["quantity"]),
            change=change,
            change_quantity=Decimal(change_quantity),
            queued=tuple(queued),
            last_change=last_change,
            refusal=(code, reason),
            unanswered=stored.get("unanswered", ""),
            acknowledged=stored["acknowledged"],
            permanent_id=stored["permanent_id"],
            reported=Decimal(stored["reported"]),
            cancel_requested=stored["cancel_requested"],
            end=_End(*stored["end"]),
            never_arrived=_End(*stored["never_arrived"]),
            lost=stored["lost"],
            surprise=stored.get("surprise", ""),  # orders of before had none
            executions=tuple(sorted(executions.items())),
        )
