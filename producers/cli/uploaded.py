"""Uploaded strategies, as the command line finds them in the running system's database."""

import asyncio
from dataclasses import dataclass
from typing import Any

from infra.settings import Settings
from infra.store import uploads
from infra.store.database import Store


@dataclass(frozen=True)
class Uploaded:
    """The newest version of a name: the hash of its text, and what that says of its parameters."""

    code_sha256: str
    defaults: dict[str, Any]
    parameter_schema: dict[str, Any]


def newest_text(settings: Settings, name: str) -> str:
    """The hash of the newest text of a name; empty when there is none, or none any more."""
    found = newest(settings, name)
    return found.code_sha256 if found else ""


def newest(settings: Settings, name: str) -> Uploaded | None:
    """None when there is none, or none any more."""
    return asyncio.run(_newest(settings, name))


async def _newest(settings: Settings, name: str) -> Uploaded | None:
    store = Store(settings, "cli", pool_size=1)
    try:
        async with store.looking() as connection:
            row = await uploads.newest(connection, name)
    finally:
        await store.close()
    if row is None or row["deleted_at"] is not None:
        return None
    return Uploaded(row["code_sha256"], row["parameters"], row["parameter_schema"])
