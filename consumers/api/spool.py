"""Audit rows that wait for the database, one a line in a 0600 file that survives a restart."""

import errno
import json
import os
import threading
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

from infra.store.audit import AuditRow

_BYTES_MAX = 10_000_000
_ROWS = 500


class Spool:
    """Blocking: call it in a thread. A crash between writing rows to the database and `drop` writes them twice."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def add(self, row: AuditRow) -> None:
        """Append and force to disk; OSError when the disk or the file is full."""
        with self._lock:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if os.fstat(descriptor).st_size > _BYTES_MAX:
                    raise OSError(errno.ENOSPC, "the spool of audit rows is full", str(self._file))
                line = json.dumps(asdict(row) | {"at": row.at.isoformat()})
                os.write(descriptor, line.encode() + b"\n")
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def take(self) -> tuple[list[AuditRow], int]:
        """The first rows, left where they are, and how many lines they are: a full disk may have broken some."""
        with self._lock:
            lines = self._lines()[:_ROWS]
        return [row for line in lines if (row := _row_of(line)) is not None], len(lines)

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


def _row_of(line: str) -> AuditRow | None:
    try:
        fields = json.loads(line)
        return AuditRow(**{**fields, "at": datetime.fromisoformat(fields["at"])})
    except (ValueError, KeyError, TypeError):
        return None
