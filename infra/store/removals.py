"""Data of removed symbols, cleared away: whatever comes first, the removal or what it removes."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, delete, exists
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.newest import put_newest
from infra.store.tables import bars, quarantine, removals
from schemas.validation import SymbolRemoved


async def put_removals(connection: AsyncConnection, events: Sequence[SymbolRemoved]) -> None:
    """The last removal of each contract, and its bars and findings gone. Bars that come later are not stored."""
    await put_newest(connection, removals, [event.model_dump(exclude={"type"}) for event in events])
    ids = sorted({event.contract_id for event in events})
    await connection.execute(delete(bars).where(bars.c.contract_id.in_(ids), _removed(bars)))
    await clear_findings(connection, ids)


async def clear_findings(connection: AsyncConnection, contract_ids: Collection[int]) -> None:
    """Take away what was found about contracts before their removal."""
    of_them = quarantine.c.contract_id.in_(sorted(contract_ids))
    await connection.execute(delete(quarantine).where(of_them, _removed(quarantine)))


def _removed(table: Table) -> ColumnElement[Any]:
    same = removals.c.contract_id == table.c.contract_id
    return exists().where(same, table.c.ingest_time <= removals.c.event_time)
