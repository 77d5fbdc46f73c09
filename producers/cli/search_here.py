"""A search for parameters right here: in this machine's processes or on Dask, kept in a file until it has ended."""

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from optuna.storages import BaseStorage

from engine.answer import prepared
from engine.columns import BarColumns
from engine.research.evaluation import Objective, about, arrays_of
from engine.research.optimisation import WORKER_MODULES, Phase, Workshop, optimise
from infra import fan_out, studies
from infra.clock import Clock, SystemClock
from infra.embedded.running import find_stack, running_settings
from infra.engine_code import code_hash
from infra.errors import UsageError
from infra.settings import Settings
from infra.shared_columns import opened, shared
from infra.trial_book import TrialBook
from producers.cli.config import load_settings
from producers.cli.interrupts import is_interrupt
from producers.cli.price_file import read_prices
from producers.cli.records import run as run_with_kafka
from producers.cli.search_view import SearchLine
from producers.cli.strategy_files import StrategyFile, read_strategy
from producers.cli.topic_bars import read_topics
from producers.cli.trial_ledger import every_trial, hand_over
from schemas.backtest import Trial
from schemas.research import OptimizationFinished, OptimizationRequested

_FLUSH_SECONDS = 5.0


@dataclass(frozen=True)
class Place:
    """Who does the runs: `process` or `dask://host:port`; as many processes as cores for 0 `workers`."""

    executor: str
    workers: int

    @property
    def processes(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))


@dataclass
class _Bureau:
    """See `engine.research.optimisation.Bureau`."""

    book: TrialBook
    storage: BaseStorage
    strategy: str
    settings: Settings
    clock: Clock
    line: SearchLine
    _waiting: list[Trial] = field(default_factory=list)
    _memories: list[studies.StudyMemory] = field(default_factory=list)

    def memory(self, study: str, objectives: Sequence[Objective]) -> studies.StudyMemory:
        ways: list[studies.Direction] = ["maximize" if each.maximise else "minimize" for each in objectives]
        self._memories.append(studies.StudyMemory(self.storage, study, ways, self.clock))
        return self._memories[-1]

    def past(self) -> list[Trial]:
        self.settle()
        return [each for each in every_trial(self.settings) if each.strategy == self.strategy]

    def told(self, phase: Phase, done: int, total: int, best: float | None) -> None:
        self.line(phase, done, total, best)

    def ran(self, trial: Trial) -> None:
        self._waiting.append(trial)

    def settle(self) -> None:
        self.book.append(self._waiting)
        self._waiting.clear()

    def flush(self) -> None:
        for memory in self._memories:
            memory.flush(_FLUSH_SECONDS)


def search(
    request: OptimizationRequested, place: Place, own: StrategyFile | None, file: Path | None
) -> OptimizationFinished:
    """Search; an interrupted one is gone on with by `resume`."""
    settings = load_settings()
    path = _journal(settings, request.optimization_id)
    storage = studies.in_file(path)
    whole = {"request": request.model_dump(mode="json"), "file": _absolute(file), "own": own and _absolute(own.path)}
    studies.remember(storage, request.optimization_id, whole)
    return _search(request, place, own, file, storage)


def resume(optimization_id: str, place: Place) -> OptimizationFinished | None:
    """Go on with a search that began here; None when none of this id did. UsageError when its strategy has changed."""
    path = _journal(load_settings(), optimization_id)
    if not path.exists():
        return None
    storage = studies.in_file(path)
    told = studies.remembered(storage, optimization_id)
    if told is None:
        raise UsageError(f"{path} holds no search {optimization_id}: it was interrupted before it began")
    request = OptimizationRequested.model_validate(told["request"])
    own = read_strategy(told["own"]) if told["own"] else None
    if own is not None and own.sha256 != request.backtest.code_sha256:
        raise UsageError(f"{own.path} has changed since the search began: begin a new one")
    return _search(request, place, own, Path(told["file"]) if told["file"] else None, storage)


def _search(
    request: OptimizationRequested,
    place: Place,
    own: StrategyFile | None,
    file: Path | None,
    storage: BaseStorage,
) -> OptimizationFinished:
    settings, clock = load_settings(), SystemClock()
    columns = _columns(request, file)
    begun = clock.monotonic()
    with ExitStack() as stack:
        line = stack.enter_context(SearchLine(clock))
        source = stack.enter_context(shared(arrays_of(columns), about(columns)))
        pool = stack.enter_context(fan_out.executor(place.executor, place.processes, WORKER_MODULES))
        bureau = _Bureau(
            TrialBook(settings.home), storage, request.backtest.strategy, find_stack(settings) or settings, clock, line
        )
        code = code_hash(request.backtest.code_sha256)
        shop = Workshop(columns, opened, source, pool, code, request.event_time, own.source if own else "")
        try:
            finished = optimise(request, shop, bureau)
        except BaseException as error:
            if is_interrupt(error):
                print(f"interrupted: scizor optimize --resume {request.optimization_id} goes on", file=sys.stderr)
            elif isinstance(error, ValueError):
                raise UsageError(str(error)) from None
            raise
        finally:
            bureau.settle()
        bureau.flush()
    hand_over(settings)
    now = clock.now()
    return finished.revised(event_time=now, ingest_time=now, seconds=round(clock.monotonic() - begun, 3))


def _columns(request: OptimizationRequested, file: Path | None) -> BarColumns:
    backtest = request.backtest
    if file is not None:
        columns = read_prices(file, backtest.symbols[0])
    else:
        settings = running_settings(load_settings(), needs_database=False)
        columns = run_with_kafka(read_topics(settings, backtest), settings)
    try:
        return prepared(backtest, columns)[0]
    except ValueError as error:
        raise UsageError(str(error)) from None


def _journal(settings: Settings, optimization_id: str) -> Path:
    if not all(each.isalnum() or each in "-_" for each in optimization_id):
        raise UsageError(f"{optimization_id!r} is no id of a search")
    return settings.home / "searches" / f"{optimization_id}.journal"


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())
