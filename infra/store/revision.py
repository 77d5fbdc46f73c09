"""Which tables this build knows: a process of another build neither reads nor writes them."""

import functools
from pathlib import Path

from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.store.connection import StoreRefusedError

_MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations" / "versions"
_STANDS_AT = sql("SELECT version_num FROM alembic_version")


class OtherBuildError(StoreRefusedError):
    """The tables are those of another build."""

    def __init__(self, found: str | None, known: str) -> None:
        if found is None or found < known:
            what = f"the tables are at revision {found or 'none'}, this build needs {known}: run `scizor db upgrade`"
        else:
            what = (
                f"the tables are at revision {found}, this build knows them up to {known}: a newer build has upgraded "
                f"them; start that one, or let it go back first: `scizor db downgrade {known}`"
            )
        super().__init__(what)


@functools.cache
def known_revision() -> str:
    """The newest migration of this build, by the number of its file: a service does not load Alembic to know it."""
    return max(file.name.partition("_")[0] for file in _MIGRATIONS.glob("[0-9]*_*.py"))


async def refuse_tables_of_another_build(held: AsyncConnection) -> None:
    """Raise OtherBuildError unless the tables are exactly those that this build knows."""
    if (found := await held.scalar(_STANDS_AT)) != known_revision():
        raise OtherBuildError(found, known_revision())
