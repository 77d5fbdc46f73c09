"""Keeps processes alive: restarts what dies, with back-off, and stops all in reverse order."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from infra.clock import Clock
from infra.errors import EnvironmentUnhealthyError, ScizorError

BACKOFF_SECONDS_MIN = 0.2
BACKOFF_SECONDS_MAX = 10.0
HEALTHY_SECONDS = 30.0
CRASHES_MAX = 10

State = Literal["running", "restarting", "failed"]
Listener = Callable[[str, int], None]
Note = Callable[[str], None]


class Part(Protocol):
    """One process that can be launched again after it has died."""

    name: str

    @property
    def pid(self) -> int: ...
    @property
    def exit_code(self) -> int | None: ...
    def launch(self) -> None: ...
    def ask_to_stop(self) -> None: ...
    def finish(self) -> None: ...


@dataclass
class Ward:
    """A part and what happened to it."""

    part: Part
    layer: int
    started: float
    state: State = "running"
    crashes_in_row: int = 0
    restarts: int = 0
    due: float = 0.0

    def died(self, now: float, *, hopeless: bool) -> float:
        """Note a death; returns the seconds until the next start."""
        if self.state == "running" and now - self.started >= HEALTHY_SECONDS:
            self.crashes_in_row = 0
        self.crashes_in_row += 1
        if hopeless or self.crashes_in_row > CRASHES_MAX:
            self.state, delay = "failed", BACKOFF_SECONDS_MAX
        else:
            exponent = self.crashes_in_row - 1
            self.state, delay = "restarting", min(BACKOFF_SECONDS_MIN * 2**exponent, BACKOFF_SECONDS_MAX)
        self.due = now + delay
        return delay


class Supervisor:
    """Call everything from one thread that lives as long as the children shall: their leashes hang on it.

    Parts of a higher layer lean on those below: they stop first.
    """

    def __init__(self, clock: Clock, note: Note) -> None:
        self._clock = clock
        self._note = note
        self._wards: dict[str, Ward] = {}
        self.on_started: list[Listener] = []

    @property
    def wards(self) -> dict[str, Ward]:
        """Everything in care, in the order of its start."""
        return dict(self._wards)

    def start(self, part: Part, layer: int) -> None:
        """Launch a part and keep it alive from now on."""
        self._wards[part.name] = Ward(part, layer, self._clock.monotonic())
        part.launch()
        self._tell(part)

    def watch(self) -> bool:
        """Look at every part once, restart what is due; whether anything changed."""
        changes = [self._watch(ward) for ward in self._wards.values()]
        return any(changes)

    def stop(self) -> None:
        """Stop the layers from the highest down, the parts of one together, the last started asked first."""
        for layer in sorted({ward.layer for ward in self._wards.values()}, reverse=True):
            parts = [ward.part for ward in reversed(self._wards.values()) if ward.layer == layer and ward.part.pid]
            for part in parts:
                part.ask_to_stop()
            for part in parts:
                part.finish()

    def _watch(self, ward: Ward) -> bool:
        now = self._clock.monotonic()
        part = ward.part
        if ward.due:
            if now < ward.due:
                return False
            self._restart(ward)
            return True
        if (code := part.exit_code) is None:
            if ward.state != "running" and now - ward.started >= HEALTHY_SECONDS:
                ward.state, ward.crashes_in_row = "running", 0
                return True
            return False
        delay = ward.died(now, hopeless=code == EnvironmentUnhealthyError.exit_code)
        part.finish()  # ends what the dead one left behind in its group
        self._note(f"{part.name} {_ending(code)}: starting it again in {delay:.1f} s (scizor logs {part.name})")
        return True

    def _restart(self, ward: Ward) -> None:
        ward.due = 0.0
        ward.started = self._clock.monotonic()
        ward.restarts += 1
        try:
            ward.part.launch()
        except (ScizorError, OSError) as error:
            delay = ward.died(ward.started, hopeless=False)
            self._note(f"{ward.part.name} cannot start: {error}: trying again in {delay:.1f} s")
            return
        if ward.state == "restarting":
            ward.state = "running"
        self._tell(ward.part)

    def _tell(self, part: Part) -> None:
        for listener in self.on_started:
            listener(part.name, part.pid)


def _ending(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
