"""A program for tests of the nursery: `python -m tests.unit.a_program WHAT`, one answer on stdout."""

import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path


def facts() -> dict[str, object]:
    """What this process is, as far as it could have been taken over from a parent."""
    return {
        "arguments": sys.argv[1:],
        "environment": dict(os.environ),
        "directory": str(Path.cwd()),
        "descriptors": {number: str(Path(f"/proc/self/fd/{number}").readlink()) for number in _descriptors()},
        "handlers": [signal.getsignal(number) == signal.SIG_DFL for number in (signal.SIGTERM, signal.SIGCHLD)],
        "blocked": [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, [])],
        "session": os.getsid(0) == os.getpid() == os.getpgid(0),
        "dice": [random.random(), uuid.uuid4().hex],
        "name": __name__,
        "main": sys.modules["__main__"].facts is facts,
    }


def _descriptors() -> list[int]:
    found = []
    for each in [*Path("/proc/self/fd").iterdir()]:
        try:
            os.fstat(int(each.name))
        except OSError:
            continue  # the one that listed them
        found.append(int(each.name))
    return sorted(found)


def columns() -> int:
    """Work for polars' threads."""
    import polars as pl

    frame = pl.DataFrame({"key": [number % 7 for number in range(100_000)], "value": range(100_000)})
    return int(frame.group_by("key").agg(pl.col("value").sum())["value"].sum())


def main(what: str) -> None:
    if what == "facts":
        print(json.dumps(facts()))
    elif what == "columns":
        print(columns())
    elif what == "exit":
        sys.exit(7)
    elif what == "raise":
        raise RuntimeError("told to")
    else:
        if what == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        helper = subprocess.Popen(["sleep", "60"])
        print(helper.pid, flush=True)
        time.sleep(60)


if __name__ == "__main__":
    main(sys.argv[1])
