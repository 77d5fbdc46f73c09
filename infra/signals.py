"""SIGTERM and SIGINT in a process with an event loop: heard however busy the loop is."""

import asyncio
import contextlib
import signal
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def ended_by_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Call `stop` on the running loop for each of the two; from the main thread alone.

    Not by `loop.add_signal_handler`, which hears of a signal through a pipe: while the loop stalls a few hundred
    calls from other threads fill it, and a signal that comes then is lost.
    """
    loop = asyncio.get_running_loop()

    def heard(*_: object) -> None:
        loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, heard) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
