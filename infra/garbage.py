"""Python's garbage collector where many short-lived objects are made."""

import contextlib
import gc
from collections.abc import Iterator

_COLLECT_AFTER = 50_000


def spare_the_collector() -> None:
    """Thousands of short-lived records a poll would have the garbage collector walk all imported modules again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


@contextlib.contextmanager
def collecting_seldom() -> Iterator[None]:
    """The same for a while. Several may overlap: the last one to end leaves what was there before the first."""
    before, *older = gc.get_threshold()
    if before:  # zero is off
        gc.set_threshold(max(before, _COLLECT_AFTER), *older)
    try:
        yield
    finally:
        gc.set_threshold(min(before, gc.get_threshold()[0]), *older)
