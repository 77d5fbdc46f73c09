"""Contracts of the registry that have bars of some size."""

from collections.abc import Sequence

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.validation import Contract

_CONTRACTS = sql(
    "SELECT contract FROM (SELECT DISTINCT ON (contract_id) contract_id, symbol, symbol_id, contract FROM symbols"
    " WHERE contract_id IS NOT NULL ORDER BY contract_id, symbol_id) AS known"
    " WHERE EXISTS (SELECT FROM bars WHERE bars.contract_id = known.contract_id"
    " AND bar_size_seconds = :bar_size_seconds) ORDER BY symbol, symbol_id LIMIT :limit OFFSET :offset"
)


async def contracts_with_bars(
    connection: AsyncConnection, bar_size_seconds: int, limit: int, offset: int = 0
) -> Sequence[Contract]:
    """In the order of their symbols."""
    values = {"bar_size_seconds": bar_size_seconds, "limit": limit, "offset": offset}
    rows = await connection.execute(_CONTRACTS, values)
    return [Contract.model_validate(row.contract) for row in rows]
