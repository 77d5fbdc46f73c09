"""Decisions one after another on one book, each on what those before it have left."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from engine import risk
from engine.account_book import AccountBook
from engine.portfolio import ZERO, exactly
from engine.risk_book import wish_of
from schemas.orders import CancelIntent, RiskDecision


class Reserved(NamedTuple):
    """What a share of an approved order counts, in its own and in the base currency."""

    price: Decimal
    value: Decimal


def judged(
    book: AccountBook, intents: Sequence[risk.AnyIntent], now: Callable[[], datetime]
) -> Iterator[tuple[RiskDecision, Reserved]]:
    """Judge intents in their order; what is approved is counted into the book at once."""
    for intent in intents:
        moment = now()
        seen = book.seen_from(intent, moment)
        decision = risk.check(intent, seen, moment)
        book.messages[intent.strategy_id] += 1  # the rule counts the one that it looks at itself
        price = value = ZERO
        if decision.approved and not isinstance(intent, CancelIntent):
            wish = wish_of(intent, seen)
            price, value = exactly(wish.price), exactly(wish.value)
            book.reserve(intent, price, moment)
        yield decision, Reserved(price, value)
