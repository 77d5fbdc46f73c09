"""Who asked for which change, and what became of it. The database chains the rows; nobody can change one."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.tables import audit_log


@dataclass(frozen=True)
class AuditRow:
    """One change that somebody asked for."""

    at: datetime
    actor: str
    role: str
    action: str
    target: str
    outcome: str
    request_id: str
    detail: Mapping[str, Any] = field(default_factory=dict)


async def note(connection: AsyncConnection, row: AuditRow) -> None:
    """Append a row, in the transaction of what it is about."""
    await connection.execute(insert(audit_log).values(asdict(row)))
