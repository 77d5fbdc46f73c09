"""The simulator's ledger: one JSON line for everything that a judge needs, flushed as it is written."""

import json
from decimal import Decimal
from pathlib import Path
from typing import IO

from infra.clock import Clock
from infra.errors import UsageError
from infra.gateway_simulator.calendar import utc_text

BAR_COLUMNS = ("start", "open", "high", "low", "close", "volume")


class Ledger:
    """Appends lines to a file; without a file it only counts.

    Each line carries `market_time`, `wall_time` (both RFC 3339 in UTC), `wall_ns` (Unix time, to the microsecond) and
    `monotonic_ns` (CLOCK_MONOTONIC, comparable with other processes of this machine).
    """

    def __init__(self, path: Path | None, clock: Clock) -> None:
        self._clock = clock
        self.counts: dict[str, int] = {}
        self._file: IO[str] | None = None
        if path is not None:
            try:
                self._file = path.open("a", encoding="utf-8")
            except OSError as error:
                raise UsageError(f"cannot write the ledger {path}: {error.strerror}") from error

    def write(self, kind: str, market_time: float, **facts: object) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self._file is None:
            return
        wall = self._clock.now()
        line = {
            "kind": kind,
            "market_time": utc_text(market_time),
            "wall_time": wall.isoformat(),
            "wall_ns": round(wall.timestamp() * 1e6) * 1000,
            "monotonic_ns": round(self._clock.monotonic() * 1e9),
            **facts,
        }
        self._file.write(json.dumps(line, default=_plain, separators=(",", ":")) + "\n")
        self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}" if value else "0"
    raise TypeError(f"{type(value).__name__} has no place in the ledger")
