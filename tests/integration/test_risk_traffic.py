"""How many messages and fills of a strategy one look at the books counts."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from engine.account_book import AccountBook
from engine.account_rows import account_book
from infra.settings import Settings
from infra.store import book, book_rules
from infra.store.database import Store
from tests.builders import NOON
from tests.integration.an_order_path import ACCOUNT, CLOCK, some_limits

SAID = """INSERT INTO intents (intent_id, type, account_id, strategy_id, body, event_time, received_at)
    SELECT 'i-' || n, 'CancelIntent', :account, 'crossover', '{}', :now, :now FROM generate_series(1, :count) n"""
FILLED = """INSERT INTO book_executions (account_id, execution_id, strategy_id, revision, order_id, quantity, price,
    commission_revision, commission, known_at)
    SELECT :account, 'e-' || n, 'crossover', 1, 'o', 1, 1, 0, 0, :now FROM generate_series(1, :count) n"""


@pytest.fixture
async def store(database_url: str) -> AsyncIterator[Store]:
    store = Store(Settings.model_validate({"database_url": database_url, "kafka": "nowhere:1"}), "risk")
    yield store
    await store.close()


async def looked(store: Store, messages: int, fills: int, most: int) -> AccountBook:
    """The book of an account whose strategy has said and filled so much a second ago."""
    now = CLOCK.now()
    lately = {"account": ACCOUNT, "now": now - timedelta(seconds=1)}
    async with store.transaction() as tx:
        await book.open_book(tx.connection, ACCOUNT, now)
        await book_rules.save_limits(tx.connection, some_limits(orders_per_fill_max=most))
        await tx.connection.execute(text(SAID), {**lately, "count": messages})
        await tx.connection.execute(text(FILLED), {**lately, "count": fills})
    async with store.looking() as connection:
        row = await book.read(connection, book.Asked(ACCOUNT, strategies=["crossover"]), now)
    return account_book(ACCOUNT, row, NOON, lambda exchange, moment: True)


@pytest.mark.parametrize(
    ("messages", "fills", "most", "counted"),
    [(7000, 7, 1000, 7000), (7001, 7, 1000, 7000), (1001, 0, 1000, 1000), (5, 2, 10**20, 5)],
)
async def test_messages_are_counted_as_far_as_the_limit_for_so_many_fills_goes(
    store: Store, messages: int, fills: int, most: int, counted: int
) -> None:
    found = await looked(store, messages, fills, most)
    assert (found.messages["crossover"], found.fills["crossover"]) == (counted, fills)
