"""Rows of which the newest holds: the upsert that the tables of states share."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Table
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Mapping[str, Any]


@cache
def _statement(table: Table, names: tuple[str, ...]) -> Insert:
    key = [column.name for column in table.primary_key]
    statement = insert(table)
    changed = {name: statement.excluded[name] for name in names if name not in key}
    return statement.on_conflict_do_update(
        index_elements=key, set_=changed, where=statement.excluded.ingest_time >= table.c.ingest_time
    )


async def put_newest(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows of the same fields, or bring those that are there up to date; an older one changes nothing."""
    if rows:
        await connection.execute(_statement(table, tuple(rows[0])), rows)


@cache
def _once(table: Table) -> Insert:
    return insert(table).on_conflict_do_nothing()


async def put_once(connection: AsyncConnection, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; one whose key is known changes nothing."""
    if rows:
        await connection.execute(_once(table), rows)
