"""A bound on the time that a strategy's code may take for one input, where it runs in this process."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from engine.live.hosts import StoppedFromOutsideError

INPUT_SECONDS_MAX = 1.0
"""For one input; uploaded code has the same bound, held by the sandbox."""
BEGIN_SECONDS_MAX = 30.0
"""For a deployment: its start, and all the bars that warm it up."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Raise StoppedFromOutsideError in whatever runs inside for longer. Only a main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def break_off(number: int, frame: FrameType | None) -> None:
        where = f" in {frame.f_code.co_name}, line {frame.f_lineno}" if frame is not None else ""
        raise StoppedFromOutsideError(f"it took longer than {seconds:g} s for one input{where}: it was stopped")

    before = signal.signal(signal.SIGALRM, break_off)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)  # again and again: the code may catch the first
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
