"""Bars in PostgreSQL's binary COPY format, written and read by column: no Python object for any single value.

What many bars share (size, source, kind of price, basis, revision, lateness) travels once, as a numbered kind; so rows
are narrow and all have one width.
"""

from collections.abc import Sequence
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
_READ_DTYPES = {name: _DTYPES.get(type(dtype), ">i4") for name, dtype in BAR_SCHEMA.items()}


def kinds_of(frame: pl.DataFrame) -> tuple[pl.DataFrame, NDArray[np.int64] | int]:
    """The different combinations of what bars share, and for each bar the number (from 1) of its own."""
    shared = frame[list(SHARED)]
    if all(column.n_unique() == 1 for column in shared):
        return shared[:1], 1
    kinds = shared.unique(maintain_order=True)
    numbered = kinds.with_row_index("kind", offset=1)
    return kinds, shared.join(numbered, on=SHARED, how="left", maintain_order="left")["kind"].to_numpy()


def written(frame: pl.DataFrame, kinds: NDArray[np.int64] | int) -> bytes:
    """Bars for a table of the columns of OWN, in their order, and `kind`."""
    row = np.zeros(1, dtype=_WRITTEN)
    row["fields"] = len(OWN) + 1
    for name in (*OWN, "kind"):
        row[f"{name} size"] = _WRITTEN[name].itemsize
    rows = np.frombuffer(bytearray(row.tobytes() * len(frame)), dtype=_WRITTEN)
    for name in OWN:
        values = frame[name].to_numpy()
        rows[name] = values - _EPOCH_US if name.endswith("_us") else values
    rows["kind"] = kinds
    return b"".join((_HEAD, rows.data, _TAIL))


def numbered(column: str) -> str:
    """SQL for a column of words as the numbers that `read` expects."""
    words = ", ".join(f"'{word}'" for word in _NUMBER_OF[column])
    return f"array_position(ARRAY[{words}], {column}) - 1"


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
