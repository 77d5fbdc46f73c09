"""API keys in the database."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.api_keys import KeyRecord, NewKey, Role, key_id_of, new_key
from infra.clock import Clock
from infra.errors import UsageError
from infra.keys import write_secret
from infra.store import audit
from infra.store.audit import AuditRow
from infra.store.database import Store
from infra.store.tables import api_keys

KEYS_MAX = 10_000
LABEL_MAX = 60
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/ -]*")
"""A label becomes the `by` of events, so it is a name as these have it."""


async def add(connection: AsyncConnection, record: KeyRecord) -> None:
    """Keep a new key."""
    values = {
        "key_id": record.key_id,
        "key_hash": record.digest,
        "label": record.label,
        "role": record.role.value,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
    }
    await connection.execute(insert(api_keys).values(values))


async def all_keys(connection: AsyncConnection) -> Sequence[KeyRecord]:
    """Every key, the revoked ones too, newest first."""
    rows = await connection.execute(select(api_keys).order_by(api_keys.c.created_at.desc()).limit(KEYS_MAX))
    return [
        KeyRecord(
            key_id=row.key_id,
            label=row.label,
            digest=row.key_hash,
            role=Role(row.role),
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
        )
        for row in rows
    ]


async def revoke(connection: AsyncConnection, key_id: str, now: datetime) -> bool:
    """Refuse a key from now on; False when there is no such key that is still good."""
    statement = update(api_keys).where(api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
    result = await connection.execute(statement.values(revoked_at=now))
    return result.rowcount == 1


async def create(store: Store, label: str, role: Role, clock: Clock, *, lifetime: timedelta | None = None) -> NewKey:
    """Draw a key and keep its digest, with an audit row. The text is in the answer, and nowhere else."""
    if len(label) > LABEL_MAX or not _LABEL.fullmatch(label):
        raise UsageError(
            f"a label has 1 to {LABEL_MAX} letters, digits, spaces or ._:/- and starts with one of the first two"
        )
    now = clock.now()
    drawn = new_key()
    expires_at = now + lifetime if lifetime else None
    async with store.transaction() as tx:
        await add(tx.connection, KeyRecord(drawn.key_id, label, drawn.digest, role, now, expires_at))
        detail = {"role": role.value, "label": label, "expires_at": expires_at.isoformat() if expires_at else None}
        await audit.note(tx.connection, _row("keys create", drawn.key_id, now, detail))
    return drawn


async def withdraw(store: Store, key_id: str, clock: Clock) -> bool:
    """Revoke a key, with an audit row; False when there is no such key that is still good."""
    now = clock.now()
    async with store.transaction() as tx:
        done = await revoke(tx.connection, key_id, now)
        if done:
            await audit.note(tx.connection, _row("keys revoke", key_id, now, {}))
    return done


async def ensure_key(store: Store, file: Path, clock: Clock, *, label: str = "local admin") -> bool:
    """Make sure that `file` (mode 0600) holds a good admin key; True when a new one was made.

    The key goes into the file and nowhere else: it is neither returned nor logged.
    """
    if await _holds_good_key(store, file, clock):
        return False
    drawn = await create(store, label, Role.ADMIN, clock)
    await asyncio.to_thread(write_secret, file, drawn.text)
    return True


async def _holds_good_key(store: Store, file: Path, clock: Clock) -> bool:
    try:
        text = await asyncio.to_thread(lambda: file.read_text(encoding="ascii").strip())
    except (FileNotFoundError, UnicodeDecodeError):
        return False
    async with store.reading() as connection:
        known = {record.key_id: record for record in await all_keys(connection)}
    record = known.get(key_id_of(text) or "")
    return record is not None and record.role is Role.ADMIN and record.opens(text, clock.now())


def _row(action: str, key_id: str, now: datetime, detail: Mapping[str, Any]) -> AuditRow:
    """Whoever may write to the database is the administrator."""
    return AuditRow(now, "command line", Role.ADMIN.value, action, key_id, "done", "", detail)
