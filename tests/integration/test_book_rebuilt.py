"""Risk's books made again from decisions that come once more, and beside what other topics have told already."""

from decimal import Decimal
from typing import Any

from sqlalchemy import text as sql

from consumers.risk.deciding import breach_of
from engine.risk import fingerprint
from infra.store import book_rebuilt, book_rules
from infra.store.book import Decided
from infra.store.database import Store
from schemas.orders import DenialReason, RiskDecision
from tests.builders import a_change, an_intent
from tests.integration.a_trading_floor import a_decision

TABLES = ("intents", "decisions", "reservations", "risk_events")


def decided(decision: RiskDecision) -> Decided:
    return Decided(decision, fingerprint(decision.intent), Decimal("440.50"), Decimal("440.50"))


async def rows(store: Store) -> dict[str, list[Any]]:
    async with store.reading() as connection:
        return {name: list(await connection.execute(sql(f"SELECT * FROM {name}"))) for name in TABLES}


async def test_a_decision_that_is_known_changes_nothing(store: Store) -> None:
    approved, change = a_decision(an_intent()), a_change(an_intent(quantity=Decimal(150)))
    changed = approved.revised(decision_id="d-change", intent_id=change.intent_id, intent=change)
    denied = a_decision(an_intent(intent_id="intent-2"), DenialReason.QUANTITY_MAX)
    async with store.transaction() as transaction:
        await book_rules.save_breach(transaction.connection, breach_of(denied))  # its own topic has told it before
        for each in (approved, changed, denied):
            await book_rebuilt.add_decision(transaction.connection, decided(each))
    once = await rows(store)
    async with store.transaction() as transaction:
        for each in (approved, changed, denied):
            await book_rebuilt.add_decision(transaction.connection, decided(each))

    assert await rows(store) == once
    ((remaining, changes),) = [(row.remaining, row.changes) for row in once["reservations"]]
    assert (remaining, changes) == (150, [[change.intent_id, "150", "440.50"]])
    assert {name: len(some) for name, some in once.items()} == {
        "intents": 3, "decisions": 3, "reservations": 1, "risk_events": 1,
    }  # fmt: skip
