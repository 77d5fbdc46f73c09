"""How far a run of the data farmer is, on stderr: one line that changes in place, or lines in a file."""

import shutil
import sys
from datetime import timedelta

from infra.clock import Clock
from schemas.collection import CollectionRun

GATEWAY = "gateway"
"""Key in a run's failures under which it says that it waits for the gateway, or gave up waiting."""
_LINE_EVERY_SECONDS = 10.0
_ERASE_REST = "\x1b[K"


def progress(run: CollectionRun) -> str:
    """One line."""
    parts = [f"{run.state.value}: {run.symbols_done} of {run.symbols} symbols" if run.symbols else run.state.value]
    if run.chunks:
        parts.append(f"{run.chunks_done} of {run.chunks} requests")
        parts.append(f"{run.bars_received:,} bars")
    if run.eta_seconds is not None:
        parts.append(f"{run.chunks_per_minute:.0f} requests/min")
        parts.append(f"{timedelta(seconds=round(run.eta_seconds))} left")
    if run.retries:
        parts.append(f"{run.retries} asked again")
    if waiting := run.failures.get(GATEWAY):
        parts.append(waiting)
    return ", ".join(parts)


class ProgressLine:
    """In place on a terminal; else a line now and then and at each change of state."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last: tuple[str, bool] | None = None
        self._at = float("-inf")
        self._in_place = sys.stderr.isatty()

    def __enter__(self) -> "ProgressLine":
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_place and self._last is not None:
            print(file=sys.stderr)

    def __call__(self, run: CollectionRun) -> None:
        state = (run.state.value, GATEWAY in run.failures)
        if self._in_place:
            self._last = state
            line = progress(run)[: shutil.get_terminal_size().columns - 1]
            print(f"\r{line}{_ERASE_REST}", end="", file=sys.stderr, flush=True)
            return
        now = self._clock.monotonic()
        if state != self._last or now - self._at >= _LINE_EVERY_SECONDS:
            self._last, self._at = state, now
            print(progress(run), file=sys.stderr)
