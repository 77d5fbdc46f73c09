"""Rows that nobody needs any more: findings that were decided long ago. Their topic keeps them."""

from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.tables import quarantine


async def decided_findings(connection: AsyncConnection, before: datetime) -> int:
    """How many were decided before a moment."""
    statement = select(func.count()).select_from(quarantine).where(quarantine.c.resolved_at < before)
    return int(await connection.scalar(statement) or 0)


async def drop_decided_findings(connection: AsyncConnection, before: datetime) -> None:
    await connection.execute(delete(quarantine).where(quarantine.c.resolved_at < before))
