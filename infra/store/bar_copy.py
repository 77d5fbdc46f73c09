"""Bars in PostgreSQL's binary COPY format, written and read by column: no Python object for any single value.

What many bars share (size, source, kind of price, basis, revision, lateness) travels once, as a numbered kind; so rows
are narrow and all have one width.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from infra.columns import BAR_SCHEMA
from schemas.market import Basis, PriceKind, Source

_EPOCH_US = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000, we from 1970."""
_HEAD = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_TAIL = b"\xff\xff"

SHARED = ("bar_size_seconds", "source", "price_kind", "basis", "revision", "late")
OWN = tuple(name for name in BAR_SCHEMA if name not in SHARED)
_NUMBER_OF = {
    name: [each.value for each in words]
    for name, words in (("source", Source), ("price_kind", PriceKind), ("basis", Basis))
}


def _layout(fields: Sequence[tuple[str, str]]) -> np.dtype[np.void]:
    """A row: how many fields, then each field's size and value."""
    layout = [("fields", ">i2")]
    for name, kind in fields:
        layout += [(f"{name} size", ">i4"), (name, kind)]
    return np.dtype(layout)


_DTYPES = {pl.Int64: ">i8", pl.Float64: ">f8", pl.Boolean: "u1"}
_WRITTEN = _layout([*((name, _DTYPES[type(BAR_SCHEMA[name])]) for name in OWN), ("kind", ">i4")])
_SHARED_DTYPES = {"bar_size_seconds": ">i4", "revision": ">i4"}
_READ_DTYPES = {name: _DTYPES.get(type(dtype), ">i4") for name, dtype in BAR_SCHEMA.items()}


def kinds_of(frame: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.int64] | int]:
    """The different combinations of what bars share, and for each bar the number (from 1) of its own."""
    shared = frame[list(SHARED)]
    if all((column == column[0]).all() for column in shared):
        return shared[:1], 1
    kinds = shared.unique(maintain_order=True)
    numbered = kinds.with_row_index("kind", offset=1)
    return kinds, shared.join(numbered, on=SHARED, how="left", maintain_order="left")["kind"].to_numpy()


def written(frame: pl.DataFrame, kinds: NDArray[np.int64] | int) -> bytes:
    """Bars for a table of the columns of OWN, in their order, and `kind`."""
    rows = _alike(_WRITTEN, {}, len(frame))
    rows["kind"] = kinds
    return b"".join((_HEAD, _with_own(rows, frame), _TAIL))


def written_whole(frame: pl.DataFrame, kinds: int) -> bytes:
    """Bars for a table of the columns of BAR_SCHEMA, in their order; those of one kind one after the other."""
    parts = frame.partition_by(SHARED, maintain_order=True) if kinds > 1 else [frame]
    return b"".join((_HEAD, *map(_whole_rows, parts), _TAIL))


def _whole_rows(alike: pl.DataFrame) -> memoryview:
    shared: dict[str, Any] = {name: alike[name][0] for name in SHARED}
    shared |= {name: shared[name].encode() for name in _NUMBER_OF}
    widths = {name: f"S{len(shared[name])}" for name in _NUMBER_OF}
    dtypes = {name: _DTYPES.get(type(dtype), "") for name, dtype in BAR_SCHEMA.items()} | _SHARED_DTYPES | widths
    return _with_own(_alike(_layout(list(dtypes.items())), shared, len(alike)), alike)


def _alike(layout: np.dtype[np.void], shared: Mapping[str, Any], count: int) -> NDArray[np.void]:
    """Rows that have their sizes, and the values that all of them share."""
    row = np.zeros(1, dtype=layout)
    names = [name for name in layout.names or () if not name.endswith(" size") and name != "fields"]
    row["fields"] = len(names)
    for name in names:
        row[f"{name} size"] = layout[name].itemsize
    for name, value in shared.items():
        row[name] = value
    return np.frombuffer(bytearray(row.tobytes() * count), dtype=layout)


def _with_own(rows: NDArray[np.void], frame: pl.DataFrame) -> memoryview:
    for name in OWN:
        values = frame[name].to_numpy()
        rows[name] = values - _EPOCH_US if name.endswith("_us") else values
    return rows.data


def numbered(column: str) -> str:
    """SQL for a column of words as the numbers that `read` expects."""
    numbers = " ".join(f"WHEN '{word}' THEN {number}" for number, word in enumerate(_NUMBER_OF[column]))
    return f"CASE {column} {numbers} END"


def read(copied: bytes | bytearray, names: Sequence[str] = tuple(BAR_SCHEMA)) -> pl.DataFrame:
    """The frame of a COPY of columns of BAR_SCHEMA in this order, sizes and revisions as bigint, words numbered."""
    layout = _layout([(name, _READ_DTYPES[name]) for name in names])
    count = (len(copied) - len(_HEAD) - len(_TAIL)) // layout.itemsize
    rows = np.frombuffer(copied, dtype=layout, count=count, offset=len(_HEAD))
    columns: dict[str, Any] = {}
    for name in names:
        values = rows[name].astype(rows[name].dtype.newbyteorder("="))
        if name in _NUMBER_OF:
            columns[name] = pl.Series(_NUMBER_OF[name]).gather(values)
        else:
            columns[name] = values + _EPOCH_US if name.endswith("_us") else values
    return pl.DataFrame([pl.Series(name, columns[name]).cast(BAR_SCHEMA[name]) for name in names])
