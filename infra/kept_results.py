"""Results of backtests that ran on this machine beside the system: a file each, the newest few hundred of them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from infra.errors import EnvironmentUnhealthyError
from schemas.backtest import BacktestFinished

KEPT_MAX = 200
_ENDING = ".json"


class KeptResults:
    """A folder below the home."""

    def __init__(self, home: Path, kept_max: int = KEPT_MAX) -> None:
        self._folder = home / "backtests"
        self._kept_max = kept_max

    def keep(self, result: BacktestFinished) -> None:
        """Write it whole or not at all; the oldest goes when there are too many."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            path = self._folder / f"{result.backtest_id}{_ENDING}"
            draft = path.with_suffix(f".{os.getpid()}")
            draft.write_bytes(result.to_json())
            draft.replace(path)
        except OSError as error:
            raise EnvironmentUnhealthyError(f"the result cannot be kept in {self._folder}: {error.strerror}") from error
        for old in self._newest_first()[self._kept_max :]:
            old.unlink(missing_ok=True)

    def all(self) -> Iterator[BacktestFinished]:
        """The newest first; a file that is none is passed over."""
        for path in self._newest_first():
            with contextlib.suppress(ValidationError, FileNotFoundError):  # another process may clear away as well
                yield BacktestFinished.model_validate_json(path.read_bytes())

    def _newest_first(self) -> list[Path]:
        found = []
        for path in self._folder.glob(f"*{_ENDING}"):
            with contextlib.suppress(FileNotFoundError):
                found.append((path.stat().st_mtime_ns, path))
        return [path for _, path in sorted(found, reverse=True)]
