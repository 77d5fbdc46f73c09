"""What a process does at a signal; with an event loop it hears SIGTERM and SIGINT however busy the loop is."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def ended_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` on the running loop for each of the two; from the main thread alone.

    Not by `loop.add_signal_handler`, which hears of a signal through a pipe: while the loop stalls a few hundred
    calls from other threads fill it, and a signal that comes then is lost.
    """
    loop = asyncio.get_running_loop()

    def heard(*_: object) -> None:
        loop.call_soon_threadsafe(stop)

    with handled(heard, signal.SIGTERM, signal.SIGINT):
        yield


@contextlib.contextmanager
def handled(handle: Callable[[int, FrameType | None], object], *numbers: signal.Signals) -> Iterator[None]:
    """Signals of these numbers are handled so, and afterwards as before; from the main thread alone."""
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
