"""Children on a leash: they end with their parent, by request, and with all that they started."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from infra.embedded import process
from infra.embedded.memory import trees_mb
from infra.embedded.process import Child, Command, bound_log, require_disk, started_at, tail
from infra.errors import EnvironmentUnhealthyError

IGNORES_SIGTERM = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
)
HAS_A_CHILD = "import subprocess; p = subprocess.Popen(['sleep', '60']); print(p.pid, flush=True); p.wait()"
A_PARENT = """
import sys, time
from pathlib import Path
from infra.embedded.process import Child, Command
print(Child(Command(["sleep", "60"], Path(sys.argv[1]))).pid, flush=True)
time.sleep(60)
"""


def wait_for_line(log: Path) -> str:
    for _ in range(200):
        if text := tail(log):
            return text
        time.sleep(0.02)
    raise AssertionError(f"nothing in {log}")


def has_ended(pid: int) -> bool:
    for _ in range(100):
        if not started_at(pid):
            return True
        time.sleep(0.02)
    return False


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", A_PARENT, str(tmp_path / "log")], stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert started_at(child)

        parent.kill()

    assert has_ended(child)


def test_a_child_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    child = Child(Command([sys.executable, "-c", IGNORES_SIGTERM], tmp_path / "log"))
    wait_for_line(tmp_path / "log")

    child.send(signal.SIGTERM)
    child.finish(0.2)

    assert child.exit_code == -signal.SIGKILL


def test_what_a_child_has_started_ends_with_it(tmp_path: Path) -> None:
    child = Child(Command([sys.executable, "-c", HAS_A_CHILD], tmp_path / "log"))
    grandchild = int(wait_for_line(tmp_path / "log"))

    child.send(signal.SIGTERM)
    child.finish(5)

    assert has_ended(grandchild)


def test_output_and_environment_reach_the_log(tmp_path: Path) -> None:
    code = "import os, sys; print(os.environ['GREETING'], flush=True); print('woe', file=sys.stderr)"
    child = Child(Command([sys.executable, "-c", code], tmp_path / "logs" / "log", {"GREETING": "hello"}, tmp_path))

    assert child.wait(10)

    assert tail(tmp_path / "logs" / "log") == "hello\nwoe"


def test_a_long_log_is_put_aside_at_the_next_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "LOG_BYTES_MAX", 10)
    log = tmp_path / "service.log"
    log.write_text("much that was said\n")

    bound_log(log)

    assert not log.exists()
    assert (tmp_path / "service.log.1").read_text() == "much that was said\n"


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(10_000)))

    assert tail(log, lines=2) == "line 9998\nline 9999"
    assert tail(tmp_path / "absent") == ""


def test_a_full_disk_is_named_before_a_server_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "DISK_BYTES_MIN", 10**18)

    with pytest.raises(EnvironmentUnhealthyError, match=r"MB are free at .*: free some space or set SCIZOR_HOME"):
        require_disk(tmp_path)


def test_pid_and_start_time_name_one_process() -> None:
    assert started_at(os.getpid()) == started_at(os.getpid()) != ""
    assert started_at(2**22 + 1) == ""


def test_memory_counts_a_process_with_its_children_but_none_twice(tmp_path: Path) -> None:
    child = Child(Command([sys.executable, "-c", HAS_A_CHILD], tmp_path / "log"))
    grandchild = int(wait_for_line(tmp_path / "log"))
    try:
        together = trees_mb({"parent": child.pid})
        apart = trees_mb({"parent": child.pid, "child": grandchild, "not launched": 0})
    finally:
        child.send(signal.SIGKILL)
        child.finish(5)

    assert 1 < apart["parent"] < together["parent"] < 100
    assert apart["child"] > 0
    assert apart["not launched"] == 0
    assert sum(apart.values()) == pytest.approx(sum(together.values()), rel=0.1)
