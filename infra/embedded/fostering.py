"""The supervisor's side of the nursery: it is a part to be kept alive, and forks children that look like any other."""

import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from infra.embedded.process import KILL_SECONDS, Child, Command, bound_log
from infra.embedded.waiting import within
from infra.errors import EnvironmentUnhealthyError
from infra.settings import REPOSITORY

FORK_SECONDS = 60.0  # the first fork waits for the imports
STOP_SECONDS = 5.0
RECEIVE_BYTES = 1 << 16

# Read by libraries when they are loaded, so they hold for all children: one small heap and no idle thread pools each.
ENVIRONMENT = {
    "PYTHONUNBUFFERED": "1",
    "MALLOC_ARENA_MAX": "2",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "2",
}


class Nursery:
    """One fork server. When it dies its children die; all may be launched again, it first.

    Call everything from one thread. Children learn of the nursery's end by `exit_code` of the nursery, so that a
    supervisor that asks it first never finds a child dead whose nursery seems to live.
    """

    name = "nursery"

    def __init__(self, modules: Sequence[str], logs: Path) -> None:
        self.log = logs / "nursery.log"
        self._modules = list(modules)
        self._child: Child | None = None
        self._life: Life | None = None

    @property
    def pid(self) -> int:
        """0 before the first launch."""
        return self._child.pid if self._child is not None else 0

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        assert self._child is not None, "the nursery was not launched"
        code = self._child.exit_code
        if code is not None and self._life is not None:
            self._life.end()
        return code

    def launch(self) -> None:
        """Begin to import; forks may be asked for at once and wait until it is done."""
        ours, theirs = socket.socketpair()
        argv = [sys.executable, "-m", "infra.embedded.nursery", str(theirs.fileno())]
        with theirs:
            self._child = Child(Command(argv, self.log, ENVIRONMENT, REPOSITORY, inherited=(theirs.fileno(),)))
        self._life = Life(ours)
        self._life.tell(order="import", modules=self._modules)

    def fork(self, command: Command) -> "Foster":
        """Start `python -m argv` of the command as a forked child."""
        if self._child is None or self._life is None or self.exit_code is not None:
            raise EnvironmentUnhealthyError(f"the nursery does not run; log: {self.log}")
        bound_log(command.log)
        return Foster(self, self._life, *self._life.launch(command))

    def ask_to_stop(self) -> None:
        if self._child is not None:
            self._child.send(signal.SIGTERM)

    def finish(self) -> None:
        """Wait for the end that was asked for, then take it by force."""
        if self._child is not None and self._life is not None:
            self._child.finish(STOP_SECONDS)
            self._life.end()


class Life:
    """One run of the nursery: the link to it, and what it has said about its children, by the number of the launch."""

    def __init__(self, link: socket.socket) -> None:
        self.codes: dict[int, int] = {}
        self.is_over = False
        self._link = link
        self._link.settimeout(FORK_SECONDS)
        self._received = b""
        self._pids: dict[int, int] = {}
        self._errors: dict[int, str] = {}
        self._launches = 0

    def tell(self, **order: Any) -> None:
        with suppress(OSError):  # it has died: its exit code says so
            self._link.sendall(json.dumps(order).encode() + b"\n")

    def launch(self, command: Command) -> tuple[int, int]:
        """Number and pid of a new child."""
        self._launches += 1
        number = self._launches
        self.tell(
            order="launch",
            number=number,
            argv=list(command.argv),
            environment={**os.environ, **ENVIRONMENT, **command.environment},
            directory=str(command.directory or Path.cwd()),
            log=str(command.log.resolve()),
            death_signal=int(command.death_signal),
        )
        for _ in within(FORK_SECONDS, self.listen):
            if number in self._pids:
                return number, self._pids.pop(number)
            if number in self._errors:
                raise EnvironmentUnhealthyError(f"cannot fork {command.argv[0]}: {self._errors.pop(number)}")
            if self._is_mute:
                raise EnvironmentUnhealthyError("the nursery died before it could fork: see `scizor logs nursery`")
        raise EnvironmentUnhealthyError(f"the nursery did not fork within {FORK_SECONDS:.0f} s")

    def listen(self, seconds: float) -> bool:
        """Take in what the nursery says, for at most so long; whether it said anything."""
        if self._is_mute:
            time.sleep(seconds)
            return False
        if not select.select([self._link], [], [], seconds)[0]:
            return False
        try:
            received = self._link.recv(RECEIVE_BYTES)
        except OSError:
            received = b""
        if not received:
            self._link.close()
        *lines, self._received = (self._received + received).split(b"\n")
        for line in lines:
            self._take(**json.loads(line))
        return bool(received)

    def end(self) -> None:
        """The nursery is dead and with it its children: hear its last words."""
        while self.listen(0):
            pass
        self._link.close()
        self.is_over = True

    @property
    def _is_mute(self) -> bool:
        return self._link.fileno() < 0

    def _take(self, number: int, pid: int | None = None, code: int | None = None, error: str = "") -> None:
        if pid is not None:
            self._pids[number] = pid
        elif code is not None:
            self.codes[number] = code
        else:
            self._errors[number] = error


class Foster:
    """A forked child of the nursery, handled like a child of ours."""

    def __init__(self, nursery: Nursery, life: Life, number: int, pid: int) -> None:
        self.pid = pid
        self._number = number
        self._nursery = nursery
        self._life = life
        self._code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        if self._code is None:
            self._life.listen(0)
            self._code = self._life.codes.pop(self._number, -signal.SIGKILL if self._life.is_over else None)
        return self._code

    def send(self, number: int) -> None:
        """Hand a signal to the process; one that has ended takes none."""
        if self.exit_code is None:
            self._life.tell(order="signal", number=self._number, signal_number=int(number))

    def wait(self, seconds: float) -> bool:
        """Whether it ended within `seconds`."""
        for _ in within(seconds, self._life.listen):
            if self.exit_code is not None:
                return True
            _ = self._nursery.exit_code  # nobody else looks after it while we wait
        return False

    def finish(self, patience: float) -> None:
        """After it was asked to end: wait, then kill it; the nursery ends what is left of its group."""
        if not self.wait(patience):
            self.send(signal.SIGKILL)
            self.wait(KILL_SECONDS)
        if self._life.is_over:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
