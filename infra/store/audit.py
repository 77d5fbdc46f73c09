"""Who asked for which change, and what became of it. The database chains the rows; nobody can change one."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.spool import Spool
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


def spool(file: Path) -> Spool[AuditRow]:
    """Rows that wait for the database."""
    return Spool(file, lambda row: json.dumps(asdict(row) | {"at": row.at.isoformat()}), _row_of)


def _row_of(line: str) -> AuditRow | None:
    try:
        fields = json.loads(line)
        return AuditRow(**{**fields, "at": datetime.fromisoformat(fields["at"])})
    except (ValueError, KeyError, TypeError):
        return None
