"""Python's garbage collector in services that make many short-lived objects."""

import gc

_COLLECT_AFTER = 50_000


def spare_the_collector() -> None:
    """Thousands of short-lived records a poll would have the garbage collector walk all imported modules again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)
