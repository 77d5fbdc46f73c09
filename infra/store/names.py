"""The names that a scope of trading can have, as the database knows them."""

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.order_words import MANUAL

_KNOWN = {
    "strategy": sql("SELECT strategy_id FROM live_strategies UNION SELECT strategy_id FROM book_holdings"),
    "account": sql("SELECT account_id FROM account_states UNION SELECT account_id FROM live_strategies"),
    "symbol": sql("SELECT symbol FROM symbols WHERE contract_id IS NOT NULL UNION SELECT symbol FROM positions"),
}


async def known(connection: AsyncConnection, kind: str) -> frozenset[str]:
    """All of a kind: strategy, account or symbol. Who trades by hand does so as a strategy that is always there."""
    found = {name for name in (await connection.execute(_KNOWN[kind])).scalars() if name}
    return frozenset(found | {MANUAL} if kind == "strategy" else found)
