"""Time that passes only while everybody waits: an event loop and its clock, for weeks that last a moment."""

import asyncio
import selectors
from collections.abc import Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")
BEGIN = datetime(2013, 2, 28, tzinfo=UTC)


class _Skipping(selectors.SelectSelector):
    """Where a loop would sleep, time is skipped. With nothing to wait for it is stuck, which is told."""

    def __init__(self) -> None:
        super().__init__()
        self.skipped = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if ready := super().select(0):
            return ready
        assert timeout is not None, "everybody waits, and for no moment in time"
        self.skipped += timeout
        return []


class TimeMachine(asyncio.SelectorEventLoop):
    """A loop whose time stands still while anything can be done."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        return self._skipping.skipped


class LoopClock:
    """The clock of the loop that runs."""

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


def in_no_time(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end without waiting."""
    with asyncio.Runner(loop_factory=TimeMachine) as runner:
        return runner.run(work)
