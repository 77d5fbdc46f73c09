"""Runs a command that dies with its parent: `leash.py SIGNAL PARENT COMMAND...`, by exec, so the pid stays.

A small program instead of a hook between fork and exec, because a forked copy of a process with threads may hang.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    signal_number, parent, *command = arguments
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
        if os.getppid() != int(parent):  # it died before it could be watched
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
