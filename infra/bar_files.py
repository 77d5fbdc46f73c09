"""Bars as CSV, Arrow or Parquet, batch by batch, so that a long answer never has to be in memory as a whole."""

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import polars as pl

CSV_HEADER = ("time", "open", "high", "low", "close", "volume")
_MOMENT = pl.Datetime("us", "UTC")
_OLDEST = pl.CompatLevel.oldest()
_CONTINUES = b"\xff\xff\xff\xff"
"""Before each message of a stream, then its length: https://arrow.apache.org/docs/format/Columnar.html."""
_END_OF_STREAM = _CONTINUES + bytes(4)
_CHUNK = 1 << 18


def typed(frame: pl.DataFrame) -> pl.DataFrame:
    """Bars with moments instead of microseconds."""
    moments = [pl.col(f"{name}_us").cast(_MOMENT).alias(name) for name in ("start", "end")]
    return frame.select(*moments, pl.all().exclude("start_us", "end_us"))


class Writer(Protocol):
    """Turns batches into the bytes of one file."""

    media_type: str

    def batch(self, frame: pl.DataFrame) -> bytes: ...

    def rest(self) -> Iterator[bytes]:
        """What follows the last batch."""
        ...


class CsvWriter:
    """`time,open,high,low,close,volume`, as the files that a backtest reads."""

    media_type = "text/csv"

    def __init__(self) -> None:
        self._begun = False

    def batch(self, frame: pl.DataFrame) -> bytes:
        text = frame.select(
            pl.col("start_us").cast(_MOMENT).dt.to_string("%Y-%m-%dT%H:%M:%SZ").alias("time"), *CSV_HEADER[1:]
        ).write_csv(include_header=not self._begun)
        self._begun = True
        return text.encode()

    def rest(self) -> Iterator[bytes]:
        if not self._begun:
            yield (",".join(CSV_HEADER) + "\n").encode()


class ArrowWriter:
    """Arrow's IPC stream: a schema, then a record batch for each of ours."""

    media_type = "application/vnd.apache.arrow.stream"

    def __init__(self, empty: pl.DataFrame) -> None:
        self._empty = empty
        self._begun = False

    def batch(self, frame: pl.DataFrame) -> bytes:
        written = _stream(typed(frame)).removesuffix(_END_OF_STREAM)
        schema = len(_CONTINUES) + 4 + int.from_bytes(written[4:8], "little")  # a message without a body
        first, self._begun = not self._begun, True
        return written if first else written[schema:]

    def rest(self) -> Iterator[bytes]:
        yield _END_OF_STREAM if self._begun else _stream(typed(self._empty))


def _stream(frame: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    frame.rechunk().write_ipc_stream(file, compat_level=_OLDEST)
    return file.getvalue()


class ParquetWriter:
    """A Parquet file has its index at the end: batches wait on the disk until the last one is there."""

    media_type = "application/vnd.apache.parquet"

    def __init__(self, empty: pl.DataFrame) -> None:
        self._empty = empty
        self._folder = tempfile.TemporaryDirectory(prefix="scizor-parquet-")
        self._parts: list[Path] = []

    def batch(self, frame: pl.DataFrame) -> bytes:
        part = Path(self._folder.name) / f"{len(self._parts):06d}.arrow"
        typed(frame).write_ipc(part)
        self._parts.append(part)
        return b""

    def rest(self) -> Iterator[bytes]:
        with self._folder as folder:
            file = Path(folder) / "bars.parquet"
            if self._parts:
                pl.scan_ipc(self._parts).sink_parquet(file, maintain_order=True)
            else:
                typed(self._empty).write_parquet(file)
            with file.open("rb") as opened:
                yield from iter(lambda: opened.read(_CHUNK), b"")

    def drop(self) -> None:
        """Nobody reads on."""
        self._folder.cleanup()


WRITERS: dict[str, Callable[[pl.DataFrame], Writer]] = {
    "csv": lambda _: CsvWriter(),
    "arrow": ArrowWriter,
    "parquet": ParquetWriter,
}
"""By format; each is made with an empty frame of the columns to come."""
