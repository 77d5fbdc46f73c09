"""Bars of one long run in a file of its own, in portions: written once, read again, whole or by column.

Whoever reads needs numpy alone: it may be another process, which is told `words()`.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.errors import EnvironmentUnhealthyError

COLUMNS = ("contract_id", "start_us", "end_us", "open", "high", "low", "close", "volume")
_DTYPES = {name: np.dtype("<i8" if number < 3 else "<f8") for number, name in enumerate(COLUMNS)}
_BYTES = 8  # of a value of any column


@dataclass(frozen=True)
class ScratchBars:
    """What a scratch file holds: portions of so many `rows`, each of them column after column."""

    path: Path
    rows: tuple[int, ...]
    symbols: Mapping[int, str]
    sources: tuple[str, ...]

    def words(self) -> dict[str, Any]:
        """As JSON has them."""
        symbols = {str(contract_id): name for contract_id, name in self.symbols.items()}
        return {"path": str(self.path), "rows": self.rows, "symbols": symbols, "sources": self.sources}

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> "ScratchBars":
        """What `words` told."""
        symbols = {int(contract_id): name for contract_id, name in words["symbols"].items()}
        return cls(Path(words["path"]), tuple(words["rows"]), symbols, tuple(words["sources"]))

    def chunks(self) -> Iterator[Mapping[str, NDArray[Any]]]:
        """Portion after portion."""
        with self.path.open("rb") as file:
            for count in self.rows:
                yield {name: np.fromfile(file, _DTYPES[name], count) for name in COLUMNS}

    def column(self, name: str) -> Iterator[NDArray[Any]]:
        """One column of every portion."""
        place, begin = COLUMNS.index(name), 0
        with self.path.open("rb") as file:
            for count in self.rows:
                file.seek((begin + place * count) * _BYTES)
                yield np.fromfile(file, _DTYPES[name], count)
                begin += len(COLUMNS) * count


class Scratch:
    """A folder below the state folder that holds the bars of one run, and goes with it; if its process is killed, with
    the next run. A lock on the folder says that it is in use: the system lets go of it, whatever becomes of us."""

    def __init__(self, home: Path) -> None:
        self._below = home / "scratch"
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._lock = -1

    def __enter__(self) -> "Scratch":
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            self._folder.cleanup()
        if self._lock >= 0:
            os.close(self._lock)

    def writer(self, name: str) -> "ScratchWriter":
        """For one file. Raises EnvironmentUnhealthyError when there cannot be one."""
        with _told(self._below):
            if self._folder is None:
                self._folder = self._made()
            return ScratchWriter(Path(self._folder.name) / name)

    def _made(self) -> tempfile.TemporaryDirectory[str]:
        self._below.mkdir(parents=True, exist_ok=True)
        with _locked(self._below):  # or somebody sweeps away what is not locked yet
            _sweep(self._below)
            folder = tempfile.TemporaryDirectory(prefix=f"bars-{os.getpid()}-", dir=self._below)
            self._lock = os.open(folder.name, os.O_RDONLY)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
        return folder


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """A full disk or a folder that is not ours, in a line."""
    try:
        yield
    except OSError as error:
        raise EnvironmentUnhealthyError(
            f"the bars of a long run cannot be written to {folder}: {error.strerror}"
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    place = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX)
        yield
    finally:
        os.close(place)


def _sweep(below: Path) -> None:
    """Remove what nobody uses any more."""
    for each in below.glob("bars-*"):
        with suppress(FileNotFoundError):  # its run has just ended
            place = os.open(each, os.O_RDONLY)
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(each, ignore_errors=True)
            except BlockingIOError:
                continue
            finally:
                os.close(place)


class ScratchWriter:
    """Takes portions in their order."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: list[int] = []
        path.touch()

    @property
    def count(self) -> int:
        """Bars so far."""
        return sum(self._rows)

    def add(self, portion: Mapping[str, NDArray[Any]]) -> None:
        """Append a portion. Raises EnvironmentUnhealthyError when it cannot be written."""
        count = len(portion["start_us"])
        if not count:
            return
        with _told(self._path.parent), self._path.open("ab") as file:
            for name in COLUMNS:
                file.write(np.ascontiguousarray(portion[name], _DTYPES[name]).data)
        self._rows.append(count)

    def bars(self, symbols: Mapping[int, str], sources: Sequence[str]) -> ScratchBars:
        """What was written."""
        return ScratchBars(self._path, tuple(self._rows), dict(symbols), tuple(sources))
