"""Pre-trade risk: an intent and a book go in, a decision comes out that says what it was based on.

The rules, in their order, are in `engine/risk_rules.py`; what they look at, in `engine/risk_book.py`.
"""

import hashlib
import uuid
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from engine.risk_book import Book, Figures, Wish, basis_of, book_of, reduces, wish_of, worst_case
from engine.risk_ceilings import capped
from engine.risk_rules import DISABLING, LAST_RULES, RULES, SCOPE_RULES, Denial, mode_after, reducing_loss
from schemas.account import RiskLimits
from schemas.ids import named
from schemas.orders import CancelIntent, DenialReason, ModifyIntent, OrderIntent, RiskDecision

__all__ = [
    "DISABLING",
    "AnyIntent",
    "Book",
    "Figures",
    "book_of",
    "check",
    "decision_id_of",
    "fingerprint",
    "loss_exceeds",
    "mode_after",
    "reduces",
    "reducing_loss",
    "trading_day",
    "worst_case",
]

APPROVAL_LIFE = timedelta(seconds=2)
"""An approval that was not acted on within this time (wall clock) is void."""

DUPLICATE_WINDOW = timedelta(seconds=1)
"""The same order of the same strategy within this time (wall clock) is taken for a mistake."""

_DECISIONS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:decisions")
_DAY_ZONE = ZoneInfo("America/New_York")

AnyIntent = OrderIntent | CancelIntent | ModifyIntent


def decision_id_of(intent_id: str) -> str:
    """One intent has one decision: its id is a function of the intent's."""
    return named(_DECISIONS, intent_id)


def fingerprint(intent: AnyIntent) -> str:
    """Of everything that is approved with an intent: SHA-256 of its class and of all that it says beside defaults.

    So builds of which one knows more fields agree on an intent that does not use them, and on no other.
    """
    said = intent.__pydantic_serializer__.to_json(intent, exclude_defaults=True)
    return hashlib.sha256(intent.type.encode() + said).hexdigest()


def check(intent: AnyIntent, book: Book, now: datetime) -> RiskDecision:
    """Our verdict on `intent` at wall time `now`. The same arguments give the same decision."""
    book = _capped(book)
    wish = None if isinstance(intent, CancelIntent) else wish_of(intent, book)
    # a cancel never raises exposure: it always passes
    denial = None if wish is None else _denial(wish, book, now)
    worth = Decimal(0) if wish is None else wish.value
    return RiskDecision.of_judged(
        {
            "event_time": intent.event_time,
            "ingest_time": now,
            "type": "RiskDecision",
            "decision_id": decision_id_of(intent.intent_id),
            "intent_id": intent.intent_id,
            "account_id": intent.account_id,
            "strategy_id": intent.strategy_id,
            "approved": denial is None,
            "reason": denial[0] if denial else None,
            "detail": denial[1][:500] if denial else "",
            "intent": intent,
            "basis": basis_of(book, now, worth, intent.event_time),
            "expires_after": APPROVAL_LIFE,
        }
    )


def _capped(book: Book) -> Book:
    limits = book.limits if book.limits is None else capped(book.limits)
    scopes = book.scopes
    if any(each.limits is not None and capped(each.limits) is not each.limits for each in scopes):
        scopes = tuple(replace(each, limits=each.limits and capped(each.limits)) for each in scopes)
    if limits is book.limits and scopes is book.scopes:
        return book
    return replace(book, limits=limits, scopes=scopes)


def _denial(wish: Wish, book: Book, now: datetime) -> Denial | None:
    if book.limits is None:
        return DenialReason.LIMITS_MISSING, "no limits are set for the account: `scizor live limits` sets them"
    for rule in RULES:
        if denial := rule(wish, book, book.limits, now):
            return denial
    if denial := _of_scopes(wish, book, now):
        return denial
    for rule in LAST_RULES:
        if denial := rule(wish, book, book.limits, now):
            return denial
    return None


def _of_scopes(wish: Wish, book: Book, now: datetime) -> Denial | None:
    for scope, figures in book.each():
        if figures.limits is None:
            return DenialReason.LIMITS_MISSING, f"the limits of {scope} do not load, and count as zero"
        for rule in SCOPE_RULES:
            if denial := rule(wish, figures, figures.limits, now):
                return (denial[0], f"{scope}: {denial[1]}") if scope else denial
    return None


def trading_day(moment: datetime) -> date:
    """The day that a market time belongs to: IBKR's account day, New York's."""
    return moment.astimezone(_DAY_ZONE).date()


def loss_exceeds(pnl_today: Decimal, limits: RiskLimits) -> bool:
    """Whether the day's loss is over its limit: then the account is halted."""
    return -pnl_today > capped(limits).daily_loss_max
