"""A bound on the time that a strategy's code may take for one input, where it runs in this process."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from engine.live.hosts import StoppedFromOutsideError

INPUT_SECONDS_MAX = 1.0
"""Of the processor, for one input; uploaded code has the same bound, held by the sandbox."""
BEGIN_SECONDS_MAX = 30.0
"""For a deployment: its start, and all the bars that warm it up."""
_HELD_UP_SECONDS_MAX = 4.0
"""On the clock beyond that: a machine that pauses stops no strategy, and none waits for something so long
that the strategist is taken for dead by its consumer group."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise StoppedFromOutsideError in whatever computes inside for longer. Only a main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def break_off(number: int, frame: FrameType | None) -> None:
        where = f" in {frame.f_code.co_name}, line {frame.f_lineno}" if frame is not None else ""
        raise StoppedFromOutsideError(f"it took longer than {seconds:g} s for one input{where}: it was stopped")

    timers = (
        (signal.SIGPROF, signal.ITIMER_PROF, seconds),
        (signal.SIGALRM, signal.ITIMER_REAL, seconds + _HELD_UP_SECONDS_MAX),
    )
    before = [signal.signal(number, break_off) for number, _, _ in timers]
    for _, timer, after in timers:
        signal.setitimer(timer, after, seconds)  # again and again: the code may catch the first
    try:
        yield
    finally:
        for _, timer, _ in reversed(timers):  # none is left armed when the other goes off at this moment
            signal.setitimer(timer, 0.0)
        for (number, _, _), handler in zip(timers, before, strict=True):
            signal.signal(number, handler)
