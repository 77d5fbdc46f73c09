"""What a search in a thread tells the loop of its service, and what it is told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from optuna.storages import BaseStorage

from engine.research.evaluation import Objective
from engine.research.optimisation import Phase
from infra.clock import Clock
from infra.studies import Direction, StudyMemory
from schemas.backtest import Trial

_WAITING_MAX = 256


class SliceEndedError(Exception):
    """The slice's time is over; what was run is kept."""


class CanceledError(Exception):
    """Nobody wants the result any more, or it takes too long; the text says which."""


@dataclass
class State:
    """How far a search has come, and whether it has to stop; written by one thread, read by another."""

    stop_at: float
    phase: Phase | Literal["reading"] = "reading"
    done: int = 0
    total: int = 0
    best: float | None = None
    stop: str = ""

    def go_on(self) -> None:
        """Raises CanceledError when it has to stop."""
        if self.stop:
            raise CanceledError(self.stop)


@dataclass
class Bureau:
    """See `engine.research.optimisation.Bureau`."""

    state: State
    clock: Clock
    memories: dict[str, StudyMemory]
    storage: BaseStorage
    publish: Callable[[list[Trial]], None]
    read_past: Callable[[], list[Trial]]
    _waiting: list[Trial] = field(default_factory=list)

    def memory(self, study: str, objectives: Sequence[Objective]) -> StudyMemory:
        if study not in self.memories:
            directions: list[Direction] = ["maximize" if each.maximise else "minimize" for each in objectives]
            self.memories[study] = StudyMemory(self.storage, study, directions, self.clock)
        return self.memories[study]

    def past(self) -> list[Trial]:
        self.settle()
        return self.read_past()

    def told(self, phase: Phase, done: int, total: int, best: float | None) -> None:
        state = self.state
        state.phase, state.done, state.total = phase, max(done, state.done), total
        state.best = best if best is not None else state.best
        state.go_on()
        if phase != "judging" and self.clock.monotonic() > state.stop_at:
            raise SliceEndedError

    def ran(self, trial: Trial) -> None:
        self._waiting.append(trial)
        if len(self._waiting) >= _WAITING_MAX:
            self.settle()

    def settle(self) -> None:
        waiting, self._waiting = self._waiting, []
        if waiting:
            self.publish(waiting)

    def flush(self, seconds: float) -> None:
        """Write what is left of every study."""
        for memory in self.memories.values():
            memory.flush(seconds)
