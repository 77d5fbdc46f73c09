"""Migrations: they make exactly the tables of the code, take them away again, and say what is wrong."""

import asyncio
import time

import asyncpg
import pytest

from infra import migrate
from infra.embedded.postgres import PostgresServer
from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.store import connection
from infra.store.tables import metadata

CONSTRAINTS = """
SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conparentid = 0 AND conrelid::regclass::text !~ '^(bars_|alembic)'
ORDER BY 1, 2
"""
COLUMNS = """
SELECT table_name, column_name, data_type, numeric_precision, numeric_scale, is_nullable, column_default,
  generation_expression, is_identity
FROM information_schema.columns
WHERE table_schema = 'public' AND table_name !~ '^(bars_|alembic|daily_prices|strategy_versions)' ORDER BY 1, 2
"""
INDEXES = """
SELECT tablename, indexname, indexdef FROM pg_indexes
WHERE schemaname = 'public' AND tablename !~ '^(bars_|alembic)' ORDER BY 1, 2
"""


async def _described(url: str) -> list[list[asyncpg.Record]]:
    database = await asyncpg.connect(url)
    try:
        return [await database.fetch(question) for question in (COLUMNS, CONSTRAINTS, INDEXES)]
    finally:
        await database.close()


async def _make_from_metadata(url: str) -> None:
    engine = connection.engine(url, name="test", pool_size=1)
    async with engine.begin() as held:
        await held.run_sync(metadata.create_all)
    await engine.dispose()


def test_the_migrations_make_the_tables_of_the_code_and_nothing_else(
    postgres_server: PostgresServer, database_url: str
) -> None:
    postgres_server.execute("CREATE DATABASE from_metadata")
    try:
        asyncio.run(_make_from_metadata(postgres_server.url_of("from_metadata")))
        wanted = asyncio.run(_described(postgres_server.url_of("from_metadata")))
        assert asyncio.run(_described(database_url)) == wanted
    finally:
        postgres_server.execute("DROP DATABASE from_metadata WITH (FORCE)")


def test_down_leaves_nothing_and_up_again_works_at_once(postgres_server: PostgresServer, database_url: str) -> None:
    name = database_url.rsplit("/", 1)[1]
    everything = (
        "SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^alembic'",
        "SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
    )
    assert migrate.downgrade(database_url, "base").revision is None
    assert [postgres_server.execute(question, name) for question in everything] == ["0", "0"]
    begun = time.monotonic()
    standing = migrate.upgrade(database_url)
    assert time.monotonic() - begun < 15, "it waits for nobody"
    assert standing.revision == standing.newest
    assert migrate.upgrade(database_url) == standing == migrate.standing(database_url)


def test_every_year_of_bars_has_its_partition_and_the_rest_has_one(
    postgres_server: PostgresServer, database_url: str
) -> None:
    count = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'bars'::regclass"
    assert postgres_server.execute(count, database_url.rsplit("/", 1)[1]) == "52"


def test_two_processes_may_migrate_at_once(postgres_server: PostgresServer, database_url: str) -> None:
    migrate.downgrade(database_url, "base")

    async def both() -> list[migrate.Standing]:
        return list(await asyncio.gather(*(migrate.upgrade_async(database_url) for _ in range(2))))

    first, second = asyncio.run(both())
    assert first == second


def test_an_unknown_revision_is_the_users_error(database_url: str) -> None:
    with pytest.raises(UsageError, match="nope"):
        migrate.downgrade(database_url, "nope")


def test_a_wrong_password_or_no_server_is_told_without_the_password(database_url: str) -> None:
    user, rest = database_url.split("@")
    with pytest.raises(EnvironmentUnhealthyError, match="check SCIZOR_DATABASE_URL") as refused:
        migrate.upgrade(f"{user.rsplit(':', 1)[0]}:wrong-secret@{rest}")
    assert "wrong-secret" not in str(refused.value)
    with pytest.raises(EnvironmentUnhealthyError, match="does not answer"):
        migrate.upgrade("postgresql://scizor:secret@127.0.0.1:1/scizor")
