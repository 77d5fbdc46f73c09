"""The nursery: its children are what `python -m` makes, share memory, and die with it and with its parent."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.clock import SystemClock
from infra.embedded.fostering import Foster, Nursery
from infra.embedded.memory import trees_mb
from infra.embedded.process import Child, Command, started_at, tail
from infra.embedded.programs import Program
from infra.embedded.supervisor import Supervisor
from infra.errors import EnvironmentUnhealthyError
from infra.settings import REPOSITORY, Settings
from infra.topics import load_catalogue

PROGRAM = "tests.unit.a_program"
A_SUPERVISOR = f"""
import sys, time
from pathlib import Path
from infra.embedded.fostering import Nursery
from infra.embedded.process import Command
nursery = Nursery(["{PROGRAM}"], Path(sys.argv[1]))
nursery.launch()
child = nursery.fork(Command(["{PROGRAM}", "sleep"], Path(sys.argv[1]) / "child.log"))
print(nursery.pid, child.pid, flush=True)
time.sleep(60)
"""


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.01)
    return False


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    nursery = Nursery([PROGRAM], tmp_path)
    nursery.launch()
    yield nursery
    nursery.ask_to_stop()
    nursery.finish()


def born(nursery: Nursery, what: str, log: Path, **environment: str) -> Foster:
    return nursery.fork(Command([PROGRAM, what], log, environment, log.parent))


def answer(nursery: Nursery, what: str, log: Path, **environment: str) -> Any:
    child = born(nursery, what, log, **environment)
    assert child.wait(20)
    assert child.exit_code == 0, tail(log)
    return json.loads(log.read_text())


def line_of(log: Path) -> str:
    assert eventually(lambda: tail(log) != "")
    return tail(log)


def test_a_child_has_its_own_environment_folder_arguments_and_randomness(nursery: Nursery, tmp_path: Path) -> None:
    one = answer(nursery, "facts", tmp_path / "one.log", SCIZOR_INSTANCE="one")
    two = answer(nursery, "facts", tmp_path / "two.log", SCIZOR_KAFKA="two:9092")

    assert one["environment"]["SCIZOR_INSTANCE"] == "one"
    assert "SCIZOR_INSTANCE" not in two["environment"]
    assert two["environment"]["SCIZOR_KAFKA"] == "two:9092"
    assert one["arguments"] == ["facts"]
    assert one["directory"] == str(tmp_path)
    assert not set(one["dice"]) & set(two["dice"])


def test_a_child_runs_as_main_with_nothing_else_of_its_parents(nursery: Nursery, tmp_path: Path) -> None:
    log = tmp_path / "child.log"

    found = answer(nursery, "facts", log)

    assert found["name"] == "__main__"
    assert found["main"]
    assert found["session"]
    assert found["descriptors"] == {"0": "/dev/null", "1": str(log), "2": str(log)}
    assert found["handlers"] == [True, True]
    assert found["blocked"] == []


@pytest.mark.parametrize(("what", "code", "said"), [("exit", 7, ""), ("raise", 1, "RuntimeError: told to")])
def test_a_child_that_ends_by_itself_says_how(
    nursery: Nursery, tmp_path: Path, what: str, code: int, said: str
) -> None:
    child = born(nursery, what, tmp_path / "child.log")

    assert child.wait(10)
    assert child.exit_code == code
    assert said in tail(tmp_path / "child.log")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_child_is_reaped_with_what_it_started(nursery: Nursery, tmp_path: Path, number: int) -> None:
    child = born(nursery, "sleep", tmp_path / "child.log")
    helper = int(line_of(tmp_path / "child.log"))

    os.kill(child.pid, number)

    assert child.wait(5)
    assert child.exit_code == -number
    assert not Path(f"/proc/{child.pid}").exists()
    assert eventually(lambda: not started_at(helper))


def test_a_child_that_ignores_the_request_is_killed(nursery: Nursery, tmp_path: Path) -> None:
    child = born(nursery, "stubborn", tmp_path / "child.log")
    line_of(tmp_path / "child.log")

    child.send(signal.SIGTERM)
    child.finish(0.2)

    assert child.exit_code == -signal.SIGKILL


def test_a_stopped_child_goes_on_when_it_is_told_to(nursery: Nursery, tmp_path: Path) -> None:
    child = born(nursery, "sleep", tmp_path / "child.log")
    line_of(tmp_path / "child.log")

    os.kill(child.pid, signal.SIGSTOP)
    stopped = eventually(lambda: Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
    os.kill(child.pid, signal.SIGCONT)

    assert stopped
    assert child.exit_code is None


def test_a_module_that_cannot_be_imported_fails_in_its_own_log(tmp_path: Path) -> None:
    nursery = Nursery(["no.such.module", PROGRAM], tmp_path)
    nursery.launch()
    try:
        child = nursery.fork(Command(["no.such.module"], tmp_path / "child.log"))

        assert child.wait(20)
        assert child.exit_code == 1
        assert "No module named" in tail(tmp_path / "child.log")
        assert answer(nursery, "columns", tmp_path / "other.log") == 4999950000
    finally:
        nursery.ask_to_stop()
        nursery.finish()


def test_children_die_with_the_nursery_and_may_be_born_again(nursery: Nursery, tmp_path: Path) -> None:
    child = born(nursery, "sleep", tmp_path / "child.log")
    helper = int(line_of(tmp_path / "child.log"))

    os.kill(nursery.pid, signal.SIGKILL)

    assert eventually(lambda: nursery.exit_code == -signal.SIGKILL)
    assert child.exit_code == -signal.SIGKILL
    assert eventually(lambda: not started_at(child.pid))
    with pytest.raises(EnvironmentUnhealthyError, match="the nursery does not run"):
        born(nursery, "sleep", tmp_path / "child.log")
    child.finish(0)  # as the supervisor does with whatever died
    assert eventually(lambda: not started_at(helper))

    nursery.launch()

    assert answer(nursery, "facts", tmp_path / "again.log")["session"]


def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", A_SUPERVISOR, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with supervisor:
        assert supervisor.stdout is not None
        nursery, child = map(int, supervisor.stdout.readline().split())
        assert started_at(nursery)
        assert started_at(child)

        supervisor.kill()

    assert eventually(lambda: not started_at(nursery))
    assert eventually(lambda: not started_at(child))


def test_a_killed_child_comes_back_with_growing_pauses(nursery: Nursery, tmp_path: Path) -> None:
    notes: list[str] = []
    supervisor = Supervisor(SystemClock(), notes.append)
    supervisor.start(Program("sleeper", [PROGRAM, "sleep"], Settings(), tmp_path, nursery), 0)
    pids = [supervisor.wards["sleeper"].part.pid]

    def came_back() -> bool:
        supervisor.watch()
        return supervisor.wards["sleeper"].part.pid not in pids

    for _ in range(2):
        os.kill(pids[-1], signal.SIGKILL)
        assert eventually(came_back)
        pids.append(supervisor.wards["sleeper"].part.pid)
    supervisor.stop()

    assert [note.partition(" in ")[2].split(" (")[0] for note in notes] == ["0.2 s", "0.4 s"]
    assert supervisor.wards["sleeper"].restarts == 2
    assert not started_at(pids[-1])


def test_children_share_the_memory_of_what_was_imported(tmp_path: Path) -> None:
    nursery = Nursery(["consumers.risk.risk", PROGRAM], tmp_path)
    nursery.launch()
    command = [sys.executable, "-c", "import consumers.risk.risk, time; print('up', flush=True); time.sleep(60)"]
    separate = Child(Command(command, tmp_path / "separate.log", directory=REPOSITORY))
    children = [born(nursery, "sleep", tmp_path / f"{number}.log") for number in range(4)]
    try:
        for log in ("separate.log", *(f"{number}.log" for number in range(4))):
            line_of(tmp_path / log)
        sizes = trees_mb({"nursery": nursery.pid, "separate": separate.pid, **{str(c.pid): c.pid for c in children}})
    finally:
        nursery.ask_to_stop()
        nursery.finish()
        separate.finish(0)

    alone = sizes.pop("separate")
    assert sum(sizes.values()) < alone * len(children) / 2


def test_importing_every_service_does_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.setenv(f"SCIZOR_{name}".upper(), "what no setting takes")  # so that reading them fails
    modules = [spec.run for spec in load_catalogue().supervised]
    nursery = Nursery(["infra.gateway_simulator", "infra.migrate", "infra.topics", *modules, PROGRAM], tmp_path)
    nursery.launch()
    try:
        assert answer(nursery, "columns", tmp_path / "columns.log") == 4999950000
        files = [str(each.readlink()) for each in Path(f"/proc/{nursery.pid}/fd").iterdir()]
    finally:
        nursery.ask_to_stop()
        nursery.finish()

    assert nursery.log.read_text() == ""
    kinds = sorted(file.partition(":")[0] for file in files if not file.startswith("/"))
    assert kinds == ["pipe", "pipe", "socket"], "only what the nursery itself needs is open"
    assert {file for file in files if file.startswith("/")} == {"/dev/null", str(nursery.log)}
