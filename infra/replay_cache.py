"""Decoded bars of topics as Arrow files, one a series, keyed by topic, partition and offsets.

A log is only ever added to, so what was read of it once stays true: a later replay reads the files and the log's tail.
That it is still the same log is seen by the last record of what is kept, which is read again each time. A segment of
bars is kept once the tail has grown to a fair part of what is kept already, so that segments stay few.
"""

import errno
import hashlib
import json
import mmap
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from aiokafka import TopicPartition
from numpy.typing import NDArray

from infra.columns import BAR_SCHEMA
from infra.delivery import Record
from infra.settings import Settings
from schemas.market import Source

COLUMNS = ("start_us", "end_us", "ingest_us", "open", "high", "low", "close", "volume", "revision", "source")
SOURCES = tuple(each.value for each in Source)
DTYPES = {name: "<f8" if BAR_SCHEMA[name] == pl.Float64 else "<i8" for name in COLUMNS} | {"source": "|u1"}
_SERIES = ("contract_id", "bar_size_seconds", "price_kind", "basis")
_RECORDS_MIN = 1_000
_SHARE_MIN = 1 / 16
_ENOUGH = 100_000
"""So many records are worth a segment, however long the log is already."""
_META = "segment.json"
_FORMAT = hashlib.sha256(repr((2, BAR_SCHEMA, COLUMNS, SOURCES)).encode()).hexdigest()[:8]
"""Files of another shape are others' files."""


@dataclass(frozen=True)
class Series:
    """Bars of one contract, size, kind of price and basis."""

    contract_id: int
    bar_size_seconds: int
    price_kind: str
    basis: str

    @property
    def file(self) -> str:
        return f"{self.contract_id}-{self.bar_size_seconds}-{self.price_kind}-{self.basis}.arrow"


@dataclass(frozen=True)
class Segment:
    """What the offsets from `first` until before `stop` held; `last` is the digest of the record before `stop`.

    `files` says of each how many rows it has, and at which byte each of COLUMNS begins.
    """

    folder: Path
    first: int
    stop: int
    last: str
    files: Mapping[str, Sequence[int]]

    def part(self, file: str, first: int, stop: int) -> dict[str, NDArray[Any]]:
        """Some rows of a file, read into memory of their own: of a mapped file every page that was touched counts."""
        _, *places = self.files[file]
        found = {}
        for name, place in zip(COLUMNS, places, strict=True):
            kind = np.dtype(DTYPES[name])
            found[name] = np.fromfile(self.folder / file, kind, stop - first, offset=place + first * kind.itemsize)
            if len(found[name]) < stop - first:
                raise ValueError(f"{file} ends before row {stop}")
        return found

    def columns(self, file: str) -> dict[str, NDArray[Any]]:
        """A file's columns where they stand in it: nothing is copied; OSError or ValueError if they do not."""
        rows, *places = self.files[file]
        with (self.folder / file).open("rb") as opened:
            mapped = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        return {
            name: np.frombuffer(mapped, DTYPES[name], rows, place) for name, place in zip(COLUMNS, places, strict=True)
        }


def digest(record: Record) -> str:
    """Of a record's place and value."""
    return hashlib.sha256(f"{record.offset} {record.timestamp} ".encode() + (record.value or b"-")).hexdigest()


class ReplayCache:
    """The files of one broker's topics below the state folder, at most so many bytes of them."""

    def __init__(self, settings: Settings) -> None:
        address = hashlib.sha256(f"{settings.kafka} {settings.topic_prefix}".encode()).hexdigest()[:16]
        self._root = settings.home / "replay-cache"
        self._folder = self._root / f"{_FORMAT}-{address}"
        self._bytes_max = settings.replay_cache_mb * 1_000_000

    def chain(self, place: TopicPartition, log_begins: int) -> list[Segment]:
        """Segments that follow one another from where the log begins; what does not fit is of no use any more."""
        found = sorted(self._segments(place), key=lambda each: (each.first, -each.stop))
        chain: list[Segment] = []
        for segment in found:
            if segment.first == (chain[-1].stop if chain else log_begins):
                chain.append(segment)
        if found and not chain:
            self.forget(place)
        return chain

    def _segments(self, place: TopicPartition) -> Iterator[Segment]:
        for meta in self._of(place).glob(f"*/{_META}"):
            if meta.parent.name.startswith("."):  # a draft: of a process that writes it, or was killed at it
                continue
            try:
                told = json.loads(meta.read_text())
                segment = Segment(meta.parent, told["first"], told["stop"], told["last"], told["files"])
            except FileNotFoundError:  # another process needed its room
                continue
            except (ValueError, KeyError, TypeError):  # the machine went down before the disk had it
                shutil.rmtree(meta.parent, ignore_errors=True)
                continue
            yield segment

    def forget(self, place: TopicPartition) -> None:
        shutil.rmtree(self._of(place), ignore_errors=True)

    def keep(
        self,
        place: TopicPartition,
        chain: Sequence[Segment],
        frame: pl.DataFrame,
        records: "Span",
        beside: Collection[TopicPartition] = (),
    ) -> bool:
        """Write what followed the chain as another segment, if it is worth one and there is room; whether it was.

        Room is made at the cost of others, but never of this place or of those `beside` it, which are being read.
        """
        known = chain[-1].stop - chain[0].first if chain else 0
        size = records.stop - records.first
        if not self._bytes_max or size < max(_RECORDS_MIN, min(known * _SHARE_MIN, _ENOUGH)):
            return False
        draft = self._of(place) / f".{records.first:020d}-{records.stop:020d}.{os.getpid()}"
        try:
            return self._write_segment(draft, frame, records, {self._of(each) for each in (place, *beside)})
        except (
            OSError
        ):  # another process needed the room of the whole place, or the disk is full: only slower next time
            shutil.rmtree(draft, ignore_errors=True)
            return False

    def _write_segment(self, draft: Path, frame: pl.DataFrame, records: "Span", spared: Collection[Path]) -> bool:
        target = draft.with_name(f"{records.first:020d}-{records.stop:020d}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        files = dict(self._write(draft, key, part) for key, part in frame.partition_by(*_SERIES, as_dict=True).items())
        told = {"first": records.first, "stop": records.stop, "last": records.last, "files": files}
        (draft / _META).write_text(json.dumps(told))
        if target.exists():  # another process was quicker
            shutil.rmtree(draft)
            return True
        if not self._make_room(_bytes_of(draft), spared):
            shutil.rmtree(draft)
            return False
        try:
            draft.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            shutil.rmtree(draft)  # while room was made
        return True

    @staticmethod
    def _write(folder: Path, key: tuple[object, ...], part: pl.DataFrame) -> tuple[str, list[int]]:
        name = Series(*key).file  # type: ignore[arg-type] # polars does not tell the types of a group's key
        source = pl.col("source").replace_strict(SOURCES, range(len(SOURCES)), return_dtype=pl.UInt8)
        ordered = part.with_columns(source).select(COLUMNS)
        ordered = ordered.sort("start_us", "revision", "ingest_us", maintain_order=True).rechunk()
        ordered.write_ipc(folder / name, record_batch_size=len(ordered))
        return name, [len(ordered), *_places(folder / name, ordered)]

    def used(self, place: TopicPartition) -> None:
        """Of the series that have to go, the longest unused go first."""
        if self._of(place).exists():
            os.utime(self._of(place))

    def _of(self, place: TopicPartition) -> Path:
        return self._folder / f"{place.topic}-{place.partition}"

    def _make_room(self, wanted: int, spared: Collection[Path]) -> bool:
        """Whether so many bytes more fit, after what was unused for longest has gone."""
        places = sorted(self._root.glob("*/*"), key=_changed)
        sizes = {each: _bytes_of(each, drafts=False) for each in places}
        if sum(sizes.get(each, 0) for each in spared) + wanted > self._bytes_max:
            return False
        for each in places:
            if sum(sizes.values()) + wanted <= self._bytes_max:
                break
            if each not in spared:
                shutil.rmtree(each, ignore_errors=True)
                del sizes[each]
        return True


def _changed(place: Path) -> float:
    """When, as far as anybody knows: another process may have made room at its cost."""
    try:
        return place.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _bytes_of(folder: Path, *, drafts: bool = True) -> int:
    """How much its files hold; what is being written is not part of a place yet, nor what another process took away."""
    found = 0
    for within, _, names in os.walk(folder):  # silent about a folder that goes meanwhile
        if drafts or not Path(within).name.startswith("."):
            for name in names:
                with suppress(FileNotFoundError):
                    found += (Path(within) / name).stat().st_size
    return found


def _places(file: Path, frame: pl.DataFrame) -> Iterator[int]:
    """Where in a file, which is not compressed, the bytes of each column stand."""
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as text:
        at = 0
        for name in COLUMNS:
            column = frame[name].to_numpy().astype(DTYPES[name], copy=False).tobytes()
            at = text.find(column, at)
            assert at >= 0, f"{file} holds {name} in one piece"
            yield at
            at += len(column)


@dataclass(frozen=True)
class Span:
    """Records of one place that followed one another: where they begin and stop, and the digest of the last."""

    first: int
    stop: int
    last: str
