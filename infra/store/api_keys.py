"""API keys in the database."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.api_keys import KeyRecord, Role
from infra.store.tables import api_keys

KEYS_MAX = 10_000


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
