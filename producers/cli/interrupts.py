"""Whether a failure is a person's Ctrl-C, whatever became of it on its way up."""


def is_interrupt(failure: BaseException) -> bool:
    """Ctrl-C itself, or what somebody's cleaning up after it has failed with."""
    seen: BaseException | None = failure
    while seen is not None:
        if isinstance(seen, KeyboardInterrupt):
            return True
        seen = seen.__context__
    return False
