"""Bars in and out of the database, by column."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import text as sql
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.bar_replay import BarFilter
from infra.columns import BAR_SCHEMA, bar_digest
from schemas.market import Basis, Source

_STAGE = "stage_bars"
_COLUMNS = (
    "contract_id, bar_size_seconds, start, end_time, ingest_time,"
    " open, high, low, close, volume, revision, late, source, basis"
)
_BEGIN = sql("SELECT 1")  # SQLAlchemy opens the transaction with its first statement: the driver alone would not
_MAKE_STAGE = sql(
    f"CREATE TEMP TABLE IF NOT EXISTS {_STAGE} ON COMMIT DELETE ROWS AS SELECT {_COLUMNS} FROM bars WITH NO DATA"
)
_MERGE = sql(f"INSERT INTO bars ({_COLUMNS}) SELECT {_COLUMNS} FROM {_STAGE} ON CONFLICT DO NOTHING")

# PostgreSQL's binary COPY: times are microseconds since 2000
_POSTGRES_EPOCH_US = 946_684_800_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_COPY_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_COPY_TAIL = b"\xff\xff"
_FIXED = (
    ("contract_id", ">i8"),
    ("bar_size_seconds", ">i4"),
    ("start_us", ">i8"),
    ("end_us", ">i8"),
    ("ingest_us", ">i8"),
    ("open", ">f8"),
    ("high", ">f8"),
    ("low", ">f8"),
    ("close", ">f8"),
    ("volume", ">f8"),
    ("revision", ">i4"),
    ("late", "u1"),
)
_WORDS = ("source", "basis")


@dataclass(frozen=True)
class Stored:
    """What became of a batch: `new` rows, and `known` ones that changed nothing."""

    new: int
    known: int


def _layout(kinds: Sequence[tuple[str, str]]) -> np.dtype[np.void]:
    """A row of binary COPY: how many fields, then each field's size and value."""
    layout = [("fields", ">i2")]
    for name, kind in kinds:
        layout += [(f"{name} size", ">i4"), (name, kind)]
    return np.dtype(layout)


def copy_rows(frame: pl.DataFrame) -> bytes:
    """Rows of BAR_SCHEMA in PostgreSQL's binary COPY format, columns in the order of the staging table."""
    parts = [_COPY_HEAD]
    for words, group in frame.group_by(_WORDS, maintain_order=True):
        parts.append(_rows_of_one_kind(group, [str(word).encode() for word in words]))
    parts.append(_COPY_TAIL)
    return b"".join(parts)


def _rows_of_one_kind(group: pl.DataFrame, words: list[bytes]) -> bytes:
    """Rows that share their words, so that all of them have the same width."""
    kinds = [*_FIXED, *((name, f"S{len(word)}") for name, word in zip(_WORDS, words, strict=True))]
    rows = np.empty(len(group), dtype=_layout(kinds))
    rows["fields"] = len(kinds)
    for name, kind in kinds:
        rows[f"{name} size"] = np.dtype(kind).itemsize
        if name.endswith("_us"):
            rows[name] = group[name].to_numpy() - _POSTGRES_EPOCH_US
        elif name not in _WORDS:
            rows[name] = group[name].to_numpy()
    for name, word in zip(_WORDS, words, strict=True):
        rows[name] = word
    return rows.tobytes()


async def add_bars(connection: AsyncConnection, frame: pl.DataFrame) -> Stored:
    """Store bars (a frame of BAR_SCHEMA); a bar whose key and revision are known changes nothing."""
    if frame.is_empty():
        return Stored(0, 0)
    await connection.execute(_MAKE_STAGE)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_to_table(_STAGE, source=io.BytesIO(copy_rows(frame)), format="binary")
    merged = await connection.execute(_MERGE)
    return Stored(new=merged.rowcount, known=len(frame) - merged.rowcount)


async def read_bars(connection: AsyncConnection, wanted: BarFilter | None = None) -> pl.DataFrame:
    """One bar per natural key, the newest revision, sorted by event time and contract: as a replay of the topics."""
    query, arguments = _selection(wanted or BarFilter())
    taken = bytearray()

    async def take(part: bytes) -> None:
        taken.extend(part)

    await connection.execute(_BEGIN)
    driver: Any = (await connection.get_raw_connection()).driver_connection
    await driver.copy_from_query(query, *arguments, output=take, format="binary")
    return _frame_of_copy(taken).sort("end_us", "contract_id", "bar_size_seconds", maintain_order=True)


async def digest_bars(connection: AsyncConnection, wanted: BarFilter | None = None) -> str:
    """The digest of what is stored, comparable to that of a topic or of the simulator's ledger."""
    return bar_digest(await read_bars(connection, wanted))


def _selection(wanted: BarFilter) -> tuple[str, list[Any]]:
    conditions: list[str] = []
    arguments: list[Any] = []

    def bound(condition: str, value: Any) -> None:
        if value is not None:
            arguments.append(value)
            conditions.append(condition.format(f"${len(arguments)}"))

    bound("contract_id = ANY({})", None if wanted.contract_ids is None else list(wanted.contract_ids))
    bound("bar_size_seconds = {}", wanted.bar_size_seconds)
    bound("start >= {}", _moment(wanted.start_us))
    bound("start < {}", _moment(wanted.end_us))
    bound("ingest_time <= {}", _moment(wanted.known_by_us))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    columns = [_READ_AS.get(name, name) for name, _ in _FIXED]
    key = "contract_id, bar_size_seconds, start"
    query = (
        f"SELECT DISTINCT ON ({key}) {', '.join(columns)}, {_code_of('source', Source)}, {_code_of('basis', Basis)}"
        f" FROM bars {where} ORDER BY {key}, revision DESC, ingest_time DESC, source"
    )
    return query, arguments


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def _code_of(column: str, words: type[Source] | type[Basis]) -> str:
    """A word as its number, so that all rows have one width."""
    return f"array_position(ARRAY[{', '.join(repr(word.value) for word in words)}], {column}) - 1"


_READ_AS = {"start_us": "start", "end_us": "end_time", "ingest_us": "ingest_time"}
_CODED = (("source", Source), ("basis", Basis))
_READ_LAYOUT = _layout([*_FIXED, *((name, ">i4") for name, _ in _CODED)])


def _frame_of_copy(taken: bytearray) -> pl.DataFrame:
    head, tail = len(_COPY_HEAD), len(_COPY_TAIL)
    rows = np.frombuffer(
        taken, dtype=_READ_LAYOUT, count=(len(taken) - head - tail) // _READ_LAYOUT.itemsize, offset=head
    )
    columns: dict[str, Any] = {}
    for name, kind in _FIXED:
        values = rows[name].astype(np.dtype(kind).newbyteorder("="))
        columns[name] = values + _POSTGRES_EPOCH_US if name.endswith("_us") else values
    for name, words in _CODED:
        known = np.array([word.value for word in words], dtype=object)
        columns[name] = known[rows[name]] if len(rows) else []
    return pl.DataFrame({name: pl.Series(columns[name]).cast(dtype) for name, dtype in BAR_SCHEMA.items()})
