"""An optimisation from request to result: searches, folds, what is held out, and what all of it is worth."""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial
from itertools import chain
from typing import Literal, Protocol

from engine.backtest import BacktestResult
from engine.columns import BarColumns
from engine.research.evaluation import (
    Evaluation,
    Load,
    Objective,
    Task,
    evaluate_all,
    grounds_of,
    replay_all,
    run_over,
)
from engine.research.findings import Pieces, result_of
from engine.research.ledger import Purpose, entry
from engine.research.request import Allowed, Cut, allowed_by, cut, half_of, plan_of
from engine.research.search import Found, Memory, Plan, Search, Tried
from engine.research.space import Parameters
from engine.research.stretches import DAY_US, Stretch
from engine.research.walk import Fold
from schemas.backtest import Trial
from schemas.moments import to_datetime
from schemas.research import OptimizationFinished, OptimizationRequested

Phase = Literal["searching", "testing", "judging"]

RUNS_MAX = 20_000
"""Over all folds: each is kept until the end, some 20 kB of it for ten years of days."""

WORKER_MODULES = ("engine.research.evaluation", "engine.column_path.compiled")
"""What a worker does well to have loaded before its first work."""

_PARCELS = 8
_PARCEL_MIN, _PARCEL_MAX = 4, 16
"""A batch is cut into so many parcels, of so many sets: few enough in one to hear of progress, enough to be worth the
way. The last ones are smaller, for whoever has none waits for the others."""
_LAST_MIN = 2
_REPLAYED_MAX = 8
_SEED_STEP = 1_000_003  # each fold draws of its own


class TooMuchError(ValueError):
    """More than one search can be: one line that says how much."""


class NothingFoundError(ValueError):
    """No parameter set gave a figure: one line that says what they said instead."""


class DisagreementError(ValueError):
    """A strategy says something else by columns than bar by bar: one line that says where."""


class Bureau(Protocol):
    """The world around an optimisation: where it is told, remembered and stopped."""

    def memory(self, study: str, objectives: Sequence[Objective]) -> Memory:
        """Where the search of this name keeps what it has run."""

    def past(self) -> Sequence[Trial]:
        """The ledger's trials of this strategy; they count in what a result is worth."""

    def told(self, phase: Phase, done: int, total: int, best: float | None) -> None:
        """How far it is; may raise to stop, and another call of `optimise` goes on from there."""

    def ran(self, trial: Trial) -> None:
        """This was run: the ledger wants it."""

    def settle(self) -> None:
        """Return once the ledger has all that was run."""


class Crew(Protocol):
    """Runs the parameter sets of one strategy."""

    @property
    def allowed(self) -> Allowed:
        """What they may be."""

    def evaluated(self, task: Task, sets: Sequence[Parameters]) -> Iterator[Evaluation]:
        """What came of each, in their order."""

    def replayed(self, task: Task, sets: Sequence[Parameters]) -> Iterator[Evaluation]:
        """The same bar by bar, for those that ran in another way; nothing where none did."""

    def result(self, task: Task, parameters: Parameters) -> BacktestResult:
        """Of one, whole. Raises ValueError, in one line, when there is none."""


@dataclass(frozen=True)
class Workshop:
    """Who does the work: `load(source)` gives `columns` to whoever works for the executor."""

    columns: BarColumns
    load: Load
    source: str
    executor: Executor
    code_hash: str
    now: datetime
    text: str = ""
    """Of a strategy in a file of the one who runs this."""
    crew: Crew | None = None
    """Who runs the parameter sets of a text that must not run here; None: the executor's workers."""


def optimise(request: OptimizationRequested, workshop: Workshop, bureau: Bureau) -> OptimizationFinished:
    """Everything asked for. Raises ValueError, in one line, for what cannot be done, and what `bureau.told` raises."""
    return _Optimisation(request, workshop, bureau).run()


@dataclass
class _Ear:
    """Hears of one search, and tells the bureau how far the whole is."""

    bureau: Bureau
    phase: Phase
    before: int
    total: int
    objective: Objective
    best: float | None = None

    def ran(self, evaluation: Evaluation) -> None:
        if evaluation.trial is not None:
            self.bureau.ran(evaluation.trial)

    def settle(self) -> None:
        self.bureau.settle()

    def told(self, done: int) -> None:
        self.bureau.told(self.phase, self.before + done, self.total, self.best)


class _Optimisation:
    def __init__(self, request: OptimizationRequested, workshop: Workshop, bureau: Bureau) -> None:
        self.request = request
        self.workshop = workshop
        self.bureau = bureau
        self.crew: Crew = workshop.crew or _Workers(workshop.executor, request.backtest.strategy, workshop.text)
        self.space, self.plan = plan_of(request, self.crew.allowed)
        self.cut: Cut = cut(request, workshop.columns)
        self._done = 0
        size = min(self.plan.trials, self.space.size) if self.space.size and self.plan.method == "grid" else None
        self._total = (size or self.plan.trials) * (1 + len(self.cut.folds)) + len(self.cut.folds)
        if self._total > RUNS_MAX:
            raise TooMuchError(
                f"{self._total:,} runs are too many for one search: at most {RUNS_MAX:,}; fewer trials, or fewer folds"
            )
        self._ran: list[Trial] = []

    def run(self) -> OptimizationFinished:
        folds = [self._fold(number, *each) for number, each in enumerate(self.cut.folds)]
        found = self._search("all", self.cut.visible, self.plan, purpose="search")
        front = found.front()
        if not front:
            raise NothingFoundError(_why_nothing(found))
        self.bureau.told("judging", self._done, self._total, front[0].evaluation.scores[0])
        best = self.crew.result(self._task(self.cut.visible), front[0].parameters)
        pieces = Pieces(
            request=self.request,
            space=self.space,
            objectives=self.plan.objectives,
            found=found,
            best=best,
            folds=folds,
            held_out=self._held_out(front[0].parameters),
            held_out_since=self._held_out_since(),
            past=[*self.bureau.past(), *self._ran],
        )
        result, warnings = result_of(pieces)
        self.bureau.settle()
        return OptimizationFinished(
            event_time=self.workshop.now,
            ingest_time=self.workshop.now,
            optimization_id=self.request.optimization_id,
            request=self.request,
            succeeded=True,
            code_hash=self.workshop.code_hash,
            data_digest=best.data_digest,
            trials_hash=_hash(found.tried, folds),
            result=result,
            warnings=tuple(warnings),
        )

    def _fold(self, number: int, train: Stretch, test: Stretch) -> Fold:
        plan = replace(self.plan, seed=(self.plan.seed + _SEED_STEP * (number + 1)) % 2**32)
        found = self._search(f"fold {number}", train, plan, purpose="train")
        front = found.front()
        if not front:
            raise NothingFoundError(f"fold {number + 1}: {_why_nothing(found)}")
        task = replace(self._task(test), purpose="test")
        result = self.crew.result(task, front[0].parameters)
        self._done += 1
        return Fold(train, test, front[0], result, self._entered(result, "test"))

    def _search(self, name: str, stretch: Stretch, plan: Plan, *, purpose: Purpose) -> Found:
        task = replace(self._task(stretch), purpose=purpose)
        half = replace(self._task(half_of(self.workshop.columns, stretch)), purpose=purpose)
        phase: Phase = "searching" if purpose == "search" else "testing"
        found = Search(
            self.space,
            plan,
            lambda sets, first_half: self.crew.evaluated(half if first_half else task, sets),
            self.bureau.memory(f"{self.request.optimization_id}/{name}", plan.objectives),
            _Ear(self.bureau, phase, self._done, self._total, plan.objectives[0]),
        ).run()
        self._replay(task, found)
        self._done += len(found.tried)
        self._ran += [each.evaluation.trial for each in found.tried if each.evaluation.trial is not None]
        return found

    def _replay(self, task: Task, found: Found) -> None:
        """Run what won by columns bar by bar as well. Raises DisagreementError where that gives something else."""
        front = found.front()[:_REPLAYED_MAX]
        again = self.crew.replayed(task, [each.parameters for each in front])
        for each, replayed in zip(front, again, strict=False):
            if trouble := _disagreement(each.evaluation, replayed, task.objectives):
                raise DisagreementError(
                    f"{task.request.strategy} with {each.parameters}: {trouble}. Let `targets` say what `on_bar` does, "
                    "or leave it out"
                )

    def _task(self, stretch: Stretch) -> Task:
        shop = self.workshop
        return Task(
            load=shop.load,
            source=shop.source,
            request=self.request.backtest,
            stretch=stretch,
            objectives=self.plan.objectives,
            code_hash=shop.code_hash,
            now=shop.now,
            study_id=self.request.optimization_id,
            text=shop.text,
        )

    def _entered(self, result: BacktestResult, purpose: Purpose) -> Trial:
        trial = entry(
            self.request.backtest,
            result,
            code_hash=self.workshop.code_hash,
            now=self.workshop.now,
            purpose=purpose,
            study_id=self.request.optimization_id,
        )
        self.bureau.ran(trial)
        self._ran.append(trial)
        return trial

    def _held_out(self, parameters: Parameters) -> Trial | None:
        """The reading of what was held out, if it was asked for: an entry of the ledger of its own."""
        if self.cut.held_out is None or not self.request.read_holdout:
            return None
        result = self.crew.result(self._task(self.cut.held_out), parameters)
        return self._entered(result, "holdout")

    def _held_out_since(self) -> datetime | None:
        held_out = self.cut.held_out
        return None if held_out is None else to_datetime(held_out.first * DAY_US)


@dataclass(frozen=True)
class _Workers:
    """An executor's workers, which load the strategy themselves."""

    executor: Executor
    strategy: str
    text: str

    @cached_property
    def allowed(self) -> Allowed:
        return allowed_by(self.strategy, self.text)

    def evaluated(self, task: Task, sets: Sequence[Parameters]) -> Iterator[Evaluation]:
        """Over the workers, a few at a time; results come back in the order of `sets`."""
        return spread(self.executor, task, sets)

    def replayed(self, task: Task, sets: Sequence[Parameters]) -> Iterator[Evaluation]:
        if grounds_of(task) is None:
            return iter(())
        return chain.from_iterable(self.executor.map(partial(replay_all, task), [[each] for each in sets]))

    def result(self, task: Task, parameters: Parameters) -> BacktestResult:
        return run_over(task, parameters)


def spread(executor: Executor, task: Task, sets: Sequence[Parameters]) -> Iterator[Evaluation]:
    """Over the workers, a few at a time; results come back in the order of `sets`."""
    return chain.from_iterable(executor.map(partial(evaluate_all, task), list(_parcels(sets))))


def _parcels(sets: Sequence[Parameters]) -> Iterator[Sequence[Parameters]]:
    size, first = min(max(_PARCEL_MIN, len(sets) // _PARCELS), _PARCEL_MAX), 0
    while first < len(sets):
        size = min(size, max((len(sets) - first) // 4, _LAST_MIN))
        yield sets[first : first + size]
        first += size


def _disagreement(columns: Evaluation, bars: Evaluation, objectives: Sequence[Objective]) -> str:
    """What is not the same by columns and bar by bar, in words; empty when all is."""
    if bars.trial is None:
        return f"bar by bar it says {bars.error}"
    for objective, one, other in zip(objectives, columns.scores, bars.scores, strict=True):
        alike = one == other if one is None or other is None else math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
        if not alike:
            return f"{objective.metric} is {one} by columns and {other} bar by bar"
    return ""


def _why_nothing(found: Found) -> str:
    errors = [each.evaluation.error for each in found.tried if each.evaluation.error]
    said = f": the first said {errors[0]!r}" if errors else ": they never traded, or too little for the objective"
    return f"none of {len(found.tried)} parameter sets gave a figure{said}"


def _hash(tried: Sequence[Tried], folds: Sequence[Fold]) -> str:
    told = [[each.parameters, list(each.evaluation.scores), each.state] for each in tried]
    chosen = [[each.chosen.parameters, list(each.chosen.evaluation.scores)] for each in folds]
    return hashlib.sha256(json.dumps([told, chosen], sort_keys=True).encode()).hexdigest()
