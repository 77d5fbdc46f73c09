"""Rows that wait for something that is away, one a line of JSON in a 0600 file that survives a restart."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

_BYTES_MAX = 10_000_000
_ROWS = 500


class Spool(Generic[T]):
    """Blocking. A crash between handing rows on and `drop` hands them on twice."""

    def __init__(self, file: Path, line_of: Callable[[T], str], row_of: Callable[[str], T | None]) -> None:
        """`row_of` gives None for a line that a full disk broke."""
        self._file = file
        self._line_of = line_of
        self._row_of = row_of
        self._lock = threading.Lock()

    def add(self, row: T, *, force: bool = True) -> None:
        """Append, and `force` to disk; OSError when the disk or the file is full."""
        with self._lock:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if os.fstat(descriptor).st_size > _BYTES_MAX:
                    raise OSError(errno.ENOSPC, "the spool is full", str(self._file))
                os.write(descriptor, self._line_of(row).encode() + b"\n")
                if force:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def take(self) -> tuple[list[T], int]:
        """The first rows, left where they are, and how many lines they are: a full disk may have broken some."""
        with self._lock:
            lines = self._lines()[:_ROWS]
        return [row for line in lines if (row := self._row_of(line)) is not None], len(lines)

    def drop(self, count: int) -> None:
        """Forget the first `count` lines."""
        with self._lock:
            left = self._lines()[count:]
            if not left:
                self._file.unlink()
                return
            draft = self._file.with_suffix(".draft")
            draft.touch(mode=0o600)
            draft.write_text("\n".join(left) + "\n", encoding="utf-8")
            draft.replace(self._file)

    def _lines(self) -> list[str]:
        try:
            return self._file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return []
