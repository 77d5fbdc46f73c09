"""Uploaded strategies, as the command line finds them in the running system's database."""

import asyncio

from infra.settings import Settings
from infra.store import uploads
from infra.store.database import Store


def newest_text(settings: Settings, name: str) -> str:
    """The hash of the newest text of a name; empty when there is none, or none any more."""
    return asyncio.run(_newest_text(settings, name))


async def _newest_text(settings: Settings, name: str) -> str:
    store = Store(settings, "cli", pool_size=1)
    try:
        async with store.looking() as connection:
            row = await uploads.newest(connection, name)
    finally:
        await store.close()
    return "" if row is None or row["deleted_at"] is not None else str(row["code_sha256"])
