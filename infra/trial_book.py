"""The ledger of trials away from Kafka: what was run over files on this machine, until a running system takes it."""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import ValidationError

from infra.errors import EnvironmentUnhealthyError
from schemas.backtest import Trial


class TrialBook:
    """A file that is only appended to, one trial a line, and locked while somebody writes."""

    def __init__(self, home: Path) -> None:
        self.path = home / "trials.jsonl"

    def append(self, trials: Sequence[Trial]) -> None:
        """Return once they are on disk."""
        if not trials:
            return
        with self._locked() as file:
            if file.seek(0, os.SEEK_END) and _last_byte(file) != b"\n":
                file.write(b"\n")  # a crash cut the last line short
            file.write(b"".join(each.to_json() + b"\n" for each in trials))
            file.flush()
            os.fsync(file.fileno())

    def trials(self) -> list[Trial]:
        """All of them; a line that a crash cut short is passed over."""
        if not self.path.exists():
            return []
        with self._locked() as file:
            return list(_read(file))

    def hand_over(self, take: Callable[[Sequence[Trial]], None]) -> int:
        """Empty the book once `take` has returned: it may be given the same trials again after a crash."""
        if not self.path.exists():
            return 0
        with self._locked() as file:
            found = list(_read(file))
            if found:
                take(found)
                file.truncate(0)
            return len(found)

    @contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = self.path.open("a+b")
        except OSError as error:
            raise EnvironmentUnhealthyError(
                f"the ledger of trials {self.path} cannot be used ({error.strerror}): a trial that is not on record "
                "would make results look better than they are"
            ) from error
        with file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file


def _last_byte(file: IO[bytes]) -> bytes:
    file.seek(-1, os.SEEK_END)
    return file.read(1)


def _read(file: IO[bytes]) -> Iterator[Trial]:
    file.seek(0)
    for line in file:
        try:
            yield Trial.model_validate_json(line)
        except ValidationError:
            continue
