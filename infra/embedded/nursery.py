"""`python -m infra.embedded.nursery SOCKET`: the process that services are forked from, for they share most modules.

It imports what it is told, then forks a child for each launch, reaps it and says how it ended, all over the socket:
one JSON document a line, in both directions. Importing does nothing but define things, and that is all that happens
before a fork: no event loop, no connection, no lock, no work for a library with threads, which a child would miss.
"""

import contextlib
import ctypes
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from infra.embedded.leash import hang_on

PR_SET_NAME = 15  # linux/prctl.h
DESCRIPTORS_MAX = 1 << 20
RECEIVE_BYTES = 1 << 16


@dataclass(frozen=True)
class Launch:
    """What a child shall be: `python -m argv`, with exactly this environment, its output in a file."""

    number: int
    argv: list[str]
    environment: dict[str, str]
    directory: str
    log: str
    death_signal: int


class Forker:
    """The parent's side of every fork."""

    def __init__(self, link: socket.socket) -> None:
        self._link = link
        self._received = b""
        self._pids: dict[int, int] = {}

    def tend(self) -> Launch | None:
        """Do as told until the supervisor has gone; in each child, returns at once what it shall be."""
        with self._link, _woken_by_children() as ear:
            while True:
                link = self._link.fileno()
                ready, _, _ = select.select([link, ear], [], [])
                if ear in ready:
                    os.read(ear, RECEIVE_BYTES)
                    self._reap()
                if link in ready:
                    received = self._link.recv(RECEIVE_BYTES)
                    if not received:
                        return None
                    if (launch := self._obey(received)) is not None:
                        return launch

    def _obey(self, received: bytes) -> Launch | None:
        *lines, self._received = (self._received + received).split(b"\n")
        for line in lines:
            order = json.loads(line)
            match order.pop("order"):
                case "import":
                    _import(order["modules"])
                case "signal":
                    self._signal(**order)
                case "launch":
                    launch = Launch(**order)
                    if not self._fork(launch):
                        return launch
        return None

    def _fork(self, launch: Launch) -> bool:
        """Whether this is still the parent."""
        try:
            pid = os.fork()
        except OSError as error:
            self._say(number=launch.number, error=str(error))
            return True
        if pid == 0:
            return False
        self._pids[launch.number] = pid
        self._say(number=launch.number, pid=pid)
        return True

    def _signal(self, number: int, signal_number: int) -> None:
        if number in self._pids:  # not reaped yet, so the pid is still its own
            os.kill(self._pids[number], signal_number)

    def _reap(self) -> None:
        for number, pid in tuple(self._pids.items()):
            ended = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None:
                continue
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)  # what it left behind; before the reaping, while the group is its own
            _, status = os.waitpid(pid, 0)
            del self._pids[number]
            self._say(number=number, code=os.waitstatus_to_exitcode(status))

    def _say(self, **facts: Any) -> None:
        self._link.sendall(json.dumps(facts).encode() + b"\n")


@contextlib.contextmanager
def _woken_by_children() -> Iterator[int]:
    """A descriptor that becomes readable when a child has ended; gone without a trace afterwards."""
    ear, mouth = os.pipe()
    os.set_blocking(mouth, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    try:
        yield ear
    finally:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.close(ear)
        os.close(mouth)


def _import(modules: list[str]) -> None:
    """Import programs without running them; one that cannot be imported says so again when it is launched."""
    for module in modules:
        try:
            importlib.import_module(_program(module))
        except Exception:  # noqa: BLE001 - a module may fail in any way, the others are wanted all the same
            traceback.print_exc()
    # A collection in a child would touch, and so copy, every page. None before either: it would leave holes, and
    # children copy the pages whose holes they fill.
    gc.freeze()


def _program(module: str) -> str:
    """What `python -m` runs: the module, or the `__main__` of a package."""
    spec = find_spec(module)
    is_package = spec is not None and spec.submodule_search_locations is not None
    return f"{module}.__main__" if is_package else module


def become(launch: Launch, parent: int) -> None:
    """Turn this fresh child into the program: nothing of its parent's but the imported modules is left."""
    hang_on(parent, launch.death_signal)
    os.setsid()
    os.chdir(launch.directory)
    output = os.open(launch.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.closerange(3, DESCRIPTORS_MAX)
    os.environ.clear()
    os.environ.update(launch.environment)
    _draw_own_randomness()
    _take_name(launch.argv[0])
    gc.enable()
    sys.argv = list(launch.argv)
    # Others may have imported the program's module: it runs as __main__ all the same, as `python -m` would have it.
    warnings.filterwarnings("ignore", r".* found in sys\.modules", RuntimeWarning)
    runpy.run_module(launch.argv[0], run_name="__main__", alter_sys=True)


def _draw_own_randomness() -> None:
    """Siblings would throw the same dice: the generators that libraries share were seeded before the fork."""
    random.seed()
    if (numpy_random := sys.modules.get("numpy.random")) is not None:
        numpy_random.seed()


def _take_name(module: str) -> None:
    """Be told apart from the siblings in `ps -o comm` and `top`."""
    if sys.platform == "linux":
        name = module.rpartition(".")[2].encode()[:15]
        ctypes.CDLL(None).prctl(PR_SET_NAME, name, 0, 0, 0)


def main(arguments: list[str]) -> None:
    gc.disable()  # a child enables it
    # Threads that a library has left idle at its import: it starts new ones in a child when it has work for them.
    warnings.filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)
    parent = os.getpid()
    launch = Forker(socket.socket(fileno=int(arguments[0]))).tend()
    if launch is not None:
        become(launch, parent)


if __name__ == "__main__":
    main(sys.argv[1:])
