"""The book that risk judges by, made of what its tables say."""

from datetime import date, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.risk.deciding import Wished, parts
from engine.account_book import AccountBook
from engine.account_rows import account_book
from infra.publish import Origin
from tests.builders import NOON, SEEN, an_intent

D = Decimal
TODAY = date(2013, 2, 28)
DAY = timedelta(days=1)


def a_row(**changes: Any) -> SimpleNamespace:
    """What a look at a book of nothing finds."""
    none = ("limits", "modes", "held", "positions", "parts", "marks", "exchanges", "restricted", "minute")
    fields: dict[str, Any] = dict.fromkeys((*none, "same_side", "traffic"))
    fields |= {"realised_pnl_today": D(0), "trading_day": TODAY, "unrealised_before": D(0), "marked_day": TODAY}
    fields |= {"currency": "USD", "told_at": SEEN, "buying_power": D(10**6), "rates": {"GBP": "1.25"}, "spent": D(0)}
    return SimpleNamespace(**(fields | changes))


def the_book(market_time: Any = NOON, **changes: Any) -> AccountBook:
    return account_book("DU1", a_row(**changes), market_time, lambda exchange, moment: True)


@pytest.mark.parametrize(("market_time", "lost"), [(NOON - DAY, D(-900)), (NOON, D(-900)), (NOON + DAY, D(0))])
def test_an_intent_of_a_day_that_is_over_sees_what_the_day_of_the_book_has_lost(
    market_time: Any, lost: Decimal
) -> None:
    assert the_book(market_time, realised_pnl_today=D(-900)).realised_today == lost


def test_an_intent_of_a_day_that_is_over_sees_what_positions_had_earned_before_the_day_of_the_book() -> None:
    assert the_book(NOON - DAY, unrealised_before=D(70)).unrealised_before == 70


def test_intents_of_two_days_are_decided_on_two_looks() -> None:
    place = Origin("trading.intents.v1", 0, 0, b"", 0, SEEN)
    days = [NOON, NOON, NOON + DAY, NOON]
    wished: list[Wished] = [
        (an_intent(intent_id=f"i-{number}", event_time=moment), place) for number, moment in enumerate(days)
    ]

    assert [len(part) for part in parts(wished)] == [2, 1, 1]
