"""A search over a text that somebody uploaded: its parameter sets run inside, many of them in one process."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import msgspec

from consumers.backtester.searching import CanceledError
from consumers.backtester.uploaded import Text, limits_for, plain
from engine.answer import chosen
from engine.backtest import BacktestResult
from engine.columns import BarColumns
from engine.handed_in import HandedIn
from engine.options import BacktestOptions, StrategyFailedError
from engine.research.evaluation import Evaluation, Task, evaluated
from engine.research.request import Allowed
from engine.research.space import Parameters
from engine.research.stretches import Parts, Stretch, shown_from
from engine.result_messages import Heard, NonsenseError
from engine.strategy import ParameterError
from infra.clock import Clock
from infra.sandbox.conversation import Child, OnWait
from infra.sandbox.errors import SandboxedError
from infra.sandbox.sandbox import Sandbox
from schemas.backtest import BacktestRequested

ENTRY = "engine.sandboxed:search"

_RUNS = 100
"""A process may use so many times what one run may; then the next one is begun."""
_CHECKED_MAX = 100_000
_LIST_MAX = 100
_WRONG_MAX = 500


@dataclass(frozen=True)
class Scene:
    """What all runs of a search have in common."""

    sandbox: Sandbox
    clock: Clock
    text: Text
    request: BacktestRequested
    columns: BarColumns
    options: BacktestOptions


class _WrongError(Exception):
    """What the process says of a run, and goes on."""


class Rehearsals:
    """One process inside, begun anew when it has ended or used what it may."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._parts = Parts(scene.columns)
        self._handed_in = HandedIn.of(scene.columns)
        one = limits_for(len(scene.columns))
        self._limits = replace(one, cpu_seconds=(_RUNS + 1) * one.cpu_seconds)
        self._until = 0.0
        self._child: Child | None = None
        self._defaults: dict[str, Any] = {}

    def wrong(self, parameters: Parameters, on_wait: OnWait) -> str:
        """What the text says of a parameter set, in one line; empty for nothing."""
        with self._turn():
            self._ask({"parameters": dict(parameters)}, on_wait)
            try:
                self._heard(on_wait)
            except _WrongError as error:
                return str(error)
            return ""

    def defaults(self, on_wait: OnWait) -> Mapping[str, Any]:
        """The parameters that it has."""
        with self._turn():
            if self._child is None:
                self._begin(on_wait)
            return self._defaults

    def result(self, parameters: Mapping[str, Any], stretch: Stretch, on_wait: OnWait) -> BacktestResult:
        """Of a run over a stretch. Raises BacktestError when there is none; whatever it did to the process, the next
        run has one."""
        request = self._scene.request
        chosen(request, self._parts.of(stretch, 0))
        with self._turn():
            whole = {**request.parameters, **parameters}
            self._ask({"parameters": whole, "stretch": [stretch.first, stretch.stop, stretch.warm]}, on_wait)
            before = self._heard(on_wait).get("before")
            if not isinstance(before, int) or not 0 <= before <= len(self._scene.columns):
                raise NonsenseError("it needs bars before that there are not")
            result = self._result(self._parts.of(stretch, before), on_wait)
            return shown_from(result, stretch) if before else result

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One question and its answer: what interrupts it ends the process, unless that has said itself what is
        wrong."""
        try:
            yield
        except _WrongError as error:
            raise StrategyFailedError(str(error)) from error
        except BaseException as error:
            self.close()
            if isinstance(error, SandboxedError):
                raise StrategyFailedError(str(error)) from error
            if isinstance(error, ArithmeticError | LookupError):
                raise NonsenseError(f"it does not add up: {type(error).__name__} {error}") from error
            raise

    def _result(self, columns: BarColumns, on_wait: OnWait) -> BacktestResult:
        listener = Heard(columns, self._scene.options)
        while (result := listener.take(self._answer(on_wait))) is None:
            pass
        _ = result.round_trips  # computed here, where what fails is the teller's fault
        return result

    def _ask(self, question: dict[str, Any], on_wait: OnWait) -> None:
        if self._child is None or self._scene.clock.monotonic() > self._until:
            self.close()
            self._begin(on_wait)
        assert self._child is not None
        self._child.send(question, on_wait)

    def _begin(self, on_wait: OnWait) -> None:
        scene = self._scene
        self._child = scene.sandbox.start(ENTRY, self._limits, self._handed_in.buffers)
        # a second of the processor takes one of the wall at least: until then it cannot have used too many
        self._until = scene.clock.monotonic() + self._limits.cpu_seconds * _RUNS / (_RUNS + 1)
        task = {"name": scene.text.name, "source": scene.text.source, "options": msgspec.to_builtins(scene.options)}
        self._child.send({**task, "handed_in": self._handed_in.words}, on_wait)
        told = self._heard(on_wait).get("defaults")
        if not isinstance(told, dict) or len(told) > _LIST_MAX:
            raise NonsenseError("its parameters are none")
        self._defaults = told

    def _heard(self, on_wait: OnWait) -> dict[str, Any]:
        told = self._answer(on_wait)
        if not isinstance(told, dict):
            raise NonsenseError("values where words are due")
        return told

    def _answer(self, on_wait: OnWait) -> dict[str, Any] | bytes:
        assert self._child is not None
        told = self._child.receive(on_wait)
        if isinstance(told, dict) and "failed" in told:
            raise SandboxedError(plain(str(told["failed"])))
        if isinstance(told, dict) and told.get("wrong"):
            raise _WrongError(str(told["wrong"])[:_WRONG_MAX])
        return told

    def close(self) -> None:
        """Nothing of it is left. May be called again."""
        if self._child is not None:
            self._child.close()
            self._child = None


class InsideCrew:
    """See `engine.research.optimisation.Crew`: as many processes inside as workers, each waited for by a thread."""

    def __init__(self, scene: Scene, workers: int) -> None:
        self._scene = scene
        self._pool = ThreadPoolExecutor(workers, "inside")
        self._own = threading.local()
        self._all: list[Rehearsals] = []
        self._said: dict[str, str] = {}
        self.on_wait: OnWait = lambda: None
        """Called several times a second while a run goes on; what it raises gives the run up."""

    @cached_property
    def allowed(self) -> Allowed:
        return Allowed(self._pool.submit(self._defaults).result(), self._check)

    def evaluated(self, task: Task, sets: Sequence[Parameters]) -> Iterator[Evaluation]:
        return self._pool.map(lambda each: evaluated(task, each, self._result), sets)

    def replayed(self, task: Task, sets: Sequence[Parameters]) -> Iterator[Evaluation]:
        return iter(())  # all ran bar by bar

    def result(self, task: Task, parameters: Parameters) -> BacktestResult:
        return self._pool.submit(self._result, task, parameters).result()

    def close(self) -> None:
        """End all processes; what still runs is given up."""
        self.on_wait = _given_up
        self._pool.shutdown(cancel_futures=True)
        for each in self._all:
            each.close()

    def _mine(self) -> Rehearsals:
        """The process of this thread, with which it ends."""
        found: Rehearsals | None = getattr(self._own, "rehearsals", None)
        if found is None:
            found = self._own.rehearsals = Rehearsals(self._scene)
            self._all.append(found)
        return found

    def _defaults(self) -> Mapping[str, Any]:
        return self._mine().defaults(self._wait)

    def _result(self, task: Task, parameters: Mapping[str, Any]) -> BacktestResult:
        return self._mine().result(parameters, task.stretch, self._wait)

    def _check(self, given: Parameters) -> None:
        """Raises ParameterError. What was said once is remembered: each slice of a search asks again."""
        key = json.dumps(given, sort_keys=True, default=str)
        if key not in self._said:
            if len(self._said) >= _CHECKED_MAX:
                self._said.clear()
            self._said[key] = self._pool.submit(self._wrong, given).result()
        if wrong := self._said[key]:
            raise ParameterError(wrong)

    def _wrong(self, given: Parameters) -> str:
        return self._mine().wrong(given, self._wait)

    def _wait(self) -> None:
        self.on_wait()


def _given_up() -> None:
    raise CanceledError("given up")
