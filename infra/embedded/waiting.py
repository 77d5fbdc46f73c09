"""Waiting with a bound."""

import time
from collections.abc import Callable, Iterator

from infra.clock import SystemClock

POLL_SECONDS = 0.05


def within(seconds: float, pause: Callable[[float], object] = time.sleep) -> Iterator[float]:
    """Come round until `seconds` have passed, at least once; yields how many have passed so far."""
    clock = SystemClock()
    begun = clock.monotonic()
    while True:
        passed = clock.monotonic() - begun
        yield passed
        if passed >= seconds:
            return
        pause(POLL_SECONDS)
