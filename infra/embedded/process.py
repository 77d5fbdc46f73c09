"""A child process on a leash: own group, output to a file, ends with us however we end."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.errors import EnvironmentUnhealthyError

LEASH = Path(__file__).with_name("leash.py")
LOG_BYTES_MAX = 10_000_000
DISK_BYTES_MIN = 500_000_000
KILL_SECONDS = 10.0


@dataclass(frozen=True)
class Command:
    """What to run, where its output goes, and which signal it gets when its parent dies."""

    argv: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    directory: Path | None = None
    death_signal: int = signal.SIGKILL
    inherited: Sequence[int] = ()  # descriptors that it keeps


class Child:
    """One running process. Start it from a thread that lives as long as it should: the leash hangs on the thread."""

    def __init__(self, command: Command) -> None:
        bound_log(command.log)
        with command.log.open("ab") as output:
            self._popen = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(LEASH),
                    str(int(command.death_signal)),
                    str(os.getpid()),
                    *command.argv,
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **command.environment},
                cwd=command.directory,
                start_new_session=True,
                pass_fds=command.inherited,
            )
        self.pid = self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; asking reaps it."""
        return self._popen.poll()

    def send(self, number: int) -> None:
        """Hand a signal to the process; one that has ended takes none."""
        self._popen.send_signal(number)

    def wait(self, seconds: float) -> bool:
        """Whether it ended within `seconds`."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def finish(self, patience: float) -> None:
        """After it was asked to end: wait, then kill the whole group, for what it left behind must not live on."""
        if not self.wait(patience):
            self.send(signal.SIGKILL)
            self._popen.wait(KILL_SECONDS)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


def bound_log(path: Path) -> None:
    """Keep one older generation of a log that has grown large."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES_MAX:
        path.replace(path.with_name(path.name + ".1"))


def tail(path: Path, lines: int = 15) -> str:
    """The last lines of a text file, read from its end."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 500 * lines))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])
    except OSError:
        return ""


def failure(what: str, log: Path, advice: str) -> EnvironmentUnhealthyError:
    """What failed, what its log says last, where that log is, and what to do."""
    lines = [line for line in tail(log, 60).splitlines() if not line.startswith("\tat ")]
    said = "\n".join(lines[-15:])
    return EnvironmentUnhealthyError(f"{what}\n{said}\nlog: {log}\n{advice}")


def require_disk(folder: Path) -> None:
    """Refuse to start a server on a full disk: both servers corrupt nothing there, but die in riddles."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if free < DISK_BYTES_MIN:
        raise EnvironmentUnhealthyError(
            f"only {free // 1_000_000} MB are free at {folder}, {DISK_BYTES_MIN // 1_000_000} MB are needed: "
            "free some space or set SCIZOR_HOME to a folder on another disk"
        )


def started_at(pid: int) -> str:
    """When a process started, in kernel ticks since boot: pid and this together name one process. Empty if it ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]  # a zombie has ended, whoever still has to reap it
