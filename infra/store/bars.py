"""Bars in and out of the database, by column."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl
from asyncpg import UniqueViolationError
from sqlalchemy import ARRAY, BigInteger, Boolean, Integer, Text, bindparam
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.bar_replay import BarFilter
from infra.columns import BAR_SCHEMA, bar_digest
from infra.store import bar_copy
from schemas.moments import to_datetime

_COLUMN_OF = {"start_us": "start", "end_us": "end_time", "ingest_us": "ingest_time"}
_KEY = "contract_id, bar_size_seconds, start, price_kind, basis"
_OWN = ", ".join(_COLUMN_OF.get(name, name) for name in bar_copy.OWN)
_SHARED = ", ".join(bar_copy.SHARED)

_MAKE_STAGE = sql(
    "CREATE TEMP TABLE IF NOT EXISTS stage_bars ON COMMIT DELETE ROWS"
    f" AS SELECT {_OWN}, 0 AS kind FROM bars WITH NO DATA"
)
# takes the rows off the stage, so that a second batch of one transaction does not meet those of the first
_MERGE = sql(
    f"WITH staged AS (DELETE FROM stage_bars RETURNING *) INSERT INTO bars ({_OWN}, {_SHARED})"
    f" SELECT {_OWN}, {_SHARED} FROM staged JOIN unnest({', '.join(f':{name}' for name in bar_copy.SHARED)})"
    f" WITH ORDINALITY AS kinds ({_SHARED}, number) ON kind = number"
    " WHERE NOT EXISTS (SELECT FROM removals WHERE removals.contract_id = staged.contract_id"
    "  AND staged.ingest_time <= removals.event_time)"
    " ON CONFLICT DO NOTHING"
).bindparams(
    bindparam("bar_size_seconds", type_=ARRAY(Integer)),
    bindparam("source", type_=ARRAY(Text)),
    bindparam("price_kind", type_=ARRAY(Text)),
    bindparam("basis", type_=ARRAY(Text)),
    bindparam("revision", type_=ARRAY(Integer)),
    bindparam("late", type_=ARRAY(Boolean)),
)
_REMOVED_SINCE = sql(
    "SELECT EXISTS (SELECT FROM removals WHERE contract_id = ANY(:contract_ids) AND event_time >= :first_seen)"
).bindparams(bindparam("contract_ids", type_=ARRAY(BigInteger)))
_STRAIGHT_MIN = 500
"""Rows of each kind, for which two more round trips are worth it."""
_TABLE_COLUMNS = tuple(_COLUMN_OF.get(name, name) for name in BAR_SCHEMA)
_BEGIN = sql("SELECT 1")  # SQLAlchemy opens the transaction with its first statement: the driver alone would not

_READ_AS = {
    **{name: f"{name}::bigint" for name in ("bar_size_seconds", "revision")},
    **{name: bar_copy.numbered(name) for name in ("source", "price_kind", "basis")},
    **_COLUMN_OF,
}
_READ = ", ".join(_READ_AS.get(name, name) for name in BAR_SCHEMA)


@dataclass(frozen=True)
class Stored:
    """What became of a batch: `new` rows, and `known` ones that changed nothing."""

    new: int
    known: int


async def add_bars(connection: AsyncConnection, frame: pl.DataFrame) -> Stored:
    """Store bars (a frame of BAR_SCHEMA); what is known, or was seen before its contract's removal, changes nothing."""
    if frame.is_empty():
        return Stored(0, 0)
    kinds, numbers = bar_copy.kinds_of(frame)
    if len(frame) >= _STRAIGHT_MIN * len(kinds) and await _added_straight(connection, frame, len(kinds)):
        return Stored(len(frame), 0)
    await connection.execute(_MAKE_STAGE)
    await _copy(connection, "stage_bars", bar_copy.written(frame, numbers))
    merged = await connection.execute(_MERGE, kinds.to_dict(as_series=False))
    return Stored(new=merged.rowcount, known=len(frame) - merged.rowcount)


async def _added_straight(connection: AsyncConnection, frame: pl.DataFrame, kinds: int) -> bool:
    """Whether all of them were new, as many as collection brings mostly are: half of the stage's work.

    Else nothing has happened.
    """
    about = {
        "contract_ids": frame["contract_id"].unique().to_list(),
        "first_seen": moment_of(int(frame["ingest_us"].to_numpy().min())),
    }
    if await connection.scalar(_REMOVED_SINCE, about):
        return False
    try:
        async with connection.begin_nested():
            await _copy(connection, "bars", bar_copy.written_whole(frame, kinds), columns=_TABLE_COLUMNS)
    except UniqueViolationError:
        return False
    return True


async def _copy(connection: AsyncConnection, table: str, copied: bytes, columns: Sequence[str] | None = None) -> None:
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_to_table(table, source=io.BytesIO(copied), format="binary", columns=columns)


async def read_bars(connection: AsyncConnection, wanted: BarFilter | None = None) -> pl.DataFrame:
    """One bar per natural key, the newest revision, sorted by event time and contract: as a replay of the topics."""
    bars = await _copied(connection, *_selection(wanted or BarFilter(), once_each=True))
    return bars.sort("end_us", "contract_id", "bar_size_seconds", maintain_order=True)


async def read_revisions(connection: AsyncConnection, wanted: BarFilter) -> pl.DataFrame:
    """Every revision of the bars as they are stored, sorted by their key: what an archive keeps."""
    return await _copied(connection, *_selection(wanted, once_each=False))


async def _copied(connection: AsyncConnection, query: str, arguments: list[Any]) -> pl.DataFrame:
    copied = bytearray()

    async def take(part: bytes) -> None:
        copied.extend(part)

    await connection.execute(_BEGIN)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_from_query(query, *arguments, output=take, format="binary")
    return bar_copy.read(copied)


async def digest_bars(connection: AsyncConnection, wanted: BarFilter | None = None) -> str:
    """The digest of what is stored, comparable to that of a topic or of the simulator's ledger."""
    return bar_digest(await read_bars(connection, wanted))


def _selection(wanted: BarFilter, *, once_each: bool) -> tuple[str, list[Any]]:
    ids = None if wanted.contract_ids is None else list(wanted.contract_ids)
    bounds = (
        ("contract_id = ANY", ids),
        ("bar_size_seconds =", wanted.bar_size_seconds),
        ("start >=", moment_of(wanted.start_us)),
        ("start <", moment_of(wanted.end_us)),
        ("price_kind =", wanted.price_kind),
        ("basis =", wanted.basis),
        ("ingest_time <=", moment_of(wanted.known_by_us)),
    )
    given = [(condition, value) for condition, value in bounds if value is not None]
    conditions = [f"{condition} (${number})" for number, (condition, _) in enumerate(given, 1)]
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = f"{_KEY}, revision DESC, ingest_time DESC, source"
    distinct = f"DISTINCT ON ({_KEY})" if once_each else ""
    query = f"SELECT {distinct} {_READ} FROM bars {where} ORDER BY {order}"
    return query, [value for _, value in given]


def moment_of(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else to_datetime(microseconds)
