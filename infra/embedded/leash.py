"""Runs a command that dies with its parent: `leash.py SIGNAL PARENT COMMAND...`, by exec, so the pid stays.

A small program instead of a hook between fork and exec, because a forked copy of a process with threads may hang.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def hang_on(parent: int, signal_number: int) -> None:
    """Get this signal when the parent dies; end at once if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
        if os.getppid() != parent:  # it died before it could be watched
            sys.exit(1)


def main(arguments: list[str]) -> None:
    signal_number, parent, *command = arguments
    hang_on(int(parent), int(signal_number))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
