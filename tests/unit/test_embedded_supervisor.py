"""When the supervisor restarts what, how long it waits, and in which order it stops."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest

from infra.clock import ManualClock
from infra.embedded.supervisor import BACKOFF_SECONDS_MAX, CRASHES_MAX, HEALTHY_SECONDS, Supervisor
from infra.errors import EnvironmentUnhealthyError


@dataclass
class FakePart:
    """A part without a process: `crash` ends it."""

    name: str
    journal: list[str] = field(default_factory=list)
    exit_code: int | None = None
    pid: int = 0
    broken: bool = False

    def launch(self) -> None:
        self.journal.append(f"launch {self.name}")
        if self.broken:
            raise EnvironmentUnhealthyError("no room")
        self.exit_code = None
        self.pid += 1

    def crash(self, code: int = 1) -> None:
        self.exit_code = code

    def ask_to_stop(self) -> None:
        self.journal.append(f"ask {self.name}")

    def finish(self) -> None:
        self.journal.append(f"finish {self.name}")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(datetime(2026, 1, 1, tzinfo=UTC))


@pytest.fixture
def notes() -> list[str]:
    return []


@pytest.fixture
def supervisor(clock: ManualClock, notes: list[str]) -> Supervisor:
    return Supervisor(clock, notes.append)


def state_of(supervisor: Supervisor, name: str) -> str:
    return supervisor.wards[name].state


def delay_until_restart(supervisor: Supervisor, clock: ManualClock, part: FakePart) -> float:
    """Crash the part, then let time pass until it was launched again."""
    before = part.pid
    part.crash()
    supervisor.watch()
    waited = 0.0
    while part.pid == before:
        clock.advance(0.1)
        waited += 0.1
        supervisor.watch()
        assert waited < 60, "never restarted"
    return waited


def test_a_part_that_keeps_crashing_is_restarted_ever_more_slowly(supervisor: Supervisor, clock: ManualClock) -> None:
    part = FakePart("risk")
    supervisor.start(part, layer=0)

    delays = [delay_until_restart(supervisor, clock, part) for _ in range(8)]

    assert delays == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0], abs=0.11)
    assert supervisor.wards["risk"].restarts == 8


def test_thirty_healthy_seconds_forgive_earlier_crashes(supervisor: Supervisor, clock: ManualClock) -> None:
    part = FakePart("risk")
    supervisor.start(part, layer=0)
    for _ in range(5):
        delay_until_restart(supervisor, clock, part)

    clock.advance(HEALTHY_SECONDS)

    assert delay_until_restart(supervisor, clock, part) == pytest.approx(0.2, abs=0.11)


def test_an_unhealthy_environment_is_marked_failed_but_tried_again(supervisor: Supervisor, clock: ManualClock) -> None:
    part = FakePart("risk")
    supervisor.start(part, layer=0)

    part.crash(EnvironmentUnhealthyError.exit_code)
    supervisor.watch()

    assert state_of(supervisor, "risk") == "failed"
    clock.advance(BACKOFF_SECONDS_MAX)
    supervisor.watch()
    assert part.pid == 2
    assert state_of(supervisor, "risk") == "failed"
    clock.advance(HEALTHY_SECONDS)
    supervisor.watch()
    assert state_of(supervisor, "risk") == "running"


def test_too_many_crashes_in_a_row_mark_a_part_failed(supervisor: Supervisor, clock: ManualClock) -> None:
    part = FakePart("risk")
    supervisor.start(part, layer=0)

    for _ in range(CRASHES_MAX + 1):
        delay_until_restart(supervisor, clock, part)

    assert state_of(supervisor, "risk") == "failed"


def test_a_restart_that_fails_counts_as_a_crash(supervisor: Supervisor, clock: ManualClock, notes: list[str]) -> None:
    part = FakePart("kafka")
    supervisor.start(part, layer=0)
    part.broken = True

    part.crash()
    supervisor.watch()
    clock.advance(0.2)
    supervisor.watch()
    part.broken = False
    clock.advance(0.4)
    supervisor.watch()

    assert part.pid == 2
    assert "no room" in notes[-1]


def test_one_crash_leaves_the_others_alone(supervisor: Supervisor, clock: ManualClock) -> None:
    crashing, steady = FakePart("risk"), FakePart("executor")
    supervisor.start(crashing, layer=0)
    supervisor.start(steady, layer=0)

    delay_until_restart(supervisor, clock, crashing)

    assert steady.pid == 1


def test_listeners_hear_of_every_start(supervisor: Supervisor, clock: ManualClock) -> None:
    heard: list[tuple[str, int]] = []
    supervisor.on_started.append(lambda name, pid: heard.append((name, pid)))
    part = FakePart("risk")

    supervisor.start(part, layer=0)
    delay_until_restart(supervisor, clock, part)

    assert heard == [("risk", 1), ("risk", 2)]


def test_what_leans_on_others_stops_first(supervisor: Supervisor) -> None:
    journal: list[str] = []
    for name, layer in {"kafka": 0, "risk": 2, "executor": 2, "gateway": 1}.items():
        supervisor.start(FakePart(name, journal), layer)
    journal.clear()

    supervisor.stop()

    assert journal == [
        *("ask executor", "ask risk", "finish executor", "finish risk"),
        *("ask gateway", "finish gateway"),
        *("ask kafka", "finish kafka"),
    ]
