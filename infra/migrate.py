"""Migrations by program: up to the newest tables, down to an earlier revision, and where a database stands."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection
from sqlalchemy import text as sql
from sqlalchemy.exc import DBAPIError

from infra.errors import ScizorError, UsageError
from infra.settings import Settings
from infra.store import connection

_FOLDER = Path(__file__).resolve().parent / "migrations"
_LOCK = 7_264_001  # any number that nobody else locks: two processes never migrate at once


@dataclass(frozen=True)
class Standing:
    """Which revision a database has (None: no tables yet), and which is the newest."""

    revision: str | None
    newest: str


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    return config


def newest_revision() -> str:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None, "there is no migration"
    return head


async def _with_connection(url: str, act: Callable[[Connection], Any]) -> Any:
    engine = connection.engine(url, name="migrate", pool_size=1)
    try:
        async with engine.begin() as held:
            # a migration may take longer than a service's statement
            await held.execute(sql("SET LOCAL statement_timeout = 0"))
            await held.execute(sql("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            return await held.run_sync(act)
    except connection.WORLD as error:
        meaning = connection.understood(error, engine.url)
        if meaning is not None:
            raise meaning from error
        if isinstance(error, DBAPIError):
            raise MigrationFailedError(error) from error
        raise
    finally:
        await engine.dispose()


class MigrationFailedError(ScizorError):
    def __init__(self, error: DBAPIError) -> None:
        super().__init__(f"the migration failed and was undone: {error.orig}")


async def upgrade_async(url: str, revision: str = "head") -> Standing:
    """Make or bring up to date the tables; does nothing when they are."""
    return await _move(url, lambda config: command.upgrade(config, revision))


async def downgrade_async(url: str, revision: str) -> Standing:
    """Back to an earlier revision; `base` leaves no table."""
    return await _move(url, lambda config: command.downgrade(config, revision))


async def standing_async(url: str) -> Standing:
    return await _move(url, lambda config: None)


async def _move(url: str, act: Callable[[Config], None]) -> Standing:
    def run(held: Connection) -> Standing:
        config = _config()
        config.attributes["connection"] = held
        try:
            act(config)
        except CommandError as error:
            raise UsageError(f"{error}; the newest revision is {newest_revision()}, `base` is none") from error
        return Standing(MigrationContext.configure(held).get_current_revision(), newest_revision())

    moved: Standing = await _with_connection(url, run)
    return moved


def upgrade(url: str, revision: str = "head") -> Standing:
    """`upgrade_async` for callers without an event loop."""
    return asyncio.run(upgrade_async(url, revision))


def downgrade(url: str, revision: str) -> Standing:
    """`downgrade_async` for callers without an event loop."""
    return asyncio.run(downgrade_async(url, revision))


def standing(url: str) -> Standing:
    """Where the database stands."""
    return asyncio.run(standing_async(url))


def draft(url: str, message: str) -> None:
    """Write a new migration from the difference between the tables in the code and an up-to-date database."""

    def run(held: Connection) -> None:
        config = _config()
        config.attributes["connection"] = held
        number = f"{int(newest_revision()) + 1:04d}"
        command.revision(config, message=message, autogenerate=True, rev_id=number)

    asyncio.run(_with_connection(url, run))


def main() -> None:
    """`python -m infra.migrate` brings the database of the settings up to date."""
    try:
        url = Settings().database_url.get_secret_value()
        match sys.argv[1:]:
            case []:
                done = upgrade(url)
                sys.stderr.write(f"tables are at revision {done.revision}\n")
            case ["draft", message]:
                draft(url, message)
            case _:
                sys.stderr.write("usage: python -m infra.migrate [draft MESSAGE]\n")
                sys.exit(2)
    except ScizorError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
