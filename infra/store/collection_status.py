"""How far collection has come on each exchange: its symbols, the newest session, and who lacks it."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.bar_moments import exchange_zone
from infra.store.coverage import latest_starts
from infra.store.tables import collection_runs, quarantine

_DAY_SECONDS = 86_400
_COLLECTING = ("daily", "history")
_VALID = sql(
    "SELECT coalesce(nullif(contract->>'primary_exchange', ''), contract->>'exchange') AS exchange, contract_id"
    " FROM symbols WHERE state = 'valid' AND contract_id IS NOT NULL ORDER BY 1, 2"
)


@dataclass(frozen=True)
class ExchangeStatus:
    """Daily bars of the valid symbols of one exchange."""

    exchange: str
    symbols: int
    with_bars: int
    latest_session: date | None
    up_to_date: int
    """Symbols that have the latest session."""


async def exchange_statuses(connection: AsyncConnection) -> list[ExchangeStatus]:
    """In the order of their names."""
    members: dict[str, list[int]] = {}
    for row in await connection.execute(_VALID):
        members.setdefault(row.exchange, []).append(row.contract_id)
    found = []
    for exchange, contract_ids in members.items():
        starts = await latest_starts(connection, contract_ids, _DAY_SECONDS)
        zone = exchange_zone(exchange)
        days = {contract_id: start.astimezone(zone).date() for contract_id, start in starts.items()}
        latest = max(days.values(), default=None)
        up_to_date = sum(day == latest for day in days.values())
        found.append(ExchangeStatus(exchange, len(contract_ids), len(days), latest, up_to_date))
    return found


async def undecided_findings(connection: AsyncConnection) -> int:
    """Records that are kept out and of which nobody has decided."""
    kept_out = (quarantine.c.severity == "error", quarantine.c.resolution.is_(None))
    return int(await connection.scalar(select(func.count()).select_from(quarantine).where(*kept_out)) or 0)


async def last_run(connection: AsyncConnection) -> dict[str, Any] | None:
    """The run of collection that was heard of last."""
    columns = (
        collection_runs.c[name] for name in ("run_id", "kind", "state", "symbols", "symbols_done", "ingest_time")
    )
    collecting = collection_runs.c.kind.in_(_COLLECTING)
    statement = select(*columns).where(collecting).order_by(collection_runs.c.ingest_time.desc()).limit(1)
    row = (await connection.execute(statement)).mappings().first()
    return dict(row) if row is not None else None


@dataclass(frozen=True)
class CollectionStatus:
    """Everything above, at one moment."""

    at: datetime
    exchanges: list[ExchangeStatus]
    undecided_findings: int
    last_run: dict[str, Any] | None


async def collection_status(connection: AsyncConnection, at: datetime) -> CollectionStatus:
    return CollectionStatus(
        at, await exchange_statuses(connection), await undecided_findings(connection), await last_run(connection)
    )
