"""The search: ask for a batch of parameter sets, run it, tell what came of it, and so on.

A batch has a fixed size and its results are told in the order asked, so the same seed tries the same sets whatever
the number of workers. What was run before an interruption is remembered by its parameters: the search is asked from
the beginning and finds its answers there, which leads to the very same state.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import optuna
from optuna.trial import FrozenTrial, TrialState

from engine.research.evaluation import Evaluation, Objective
from engine.research.samplers import Listed, canonical, distributions, sampler_for
from engine.research.space import Parameters, Space, SpaceError
from schemas.research import Method

_INDEPENDENT_BATCH = 64
"""Sets of a grid or a random search that are handed out at once: none depends on another's result."""
_REFUSED_MAX = 200
"""How many sets in a row may break the constraints before the search gives up."""

optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Plan:
    """How to search; see `schemas.research.OptimizationRequested`."""

    method: Method
    objectives: tuple[Objective, ...]
    trials: int
    seed: int
    batch: int
    prune: bool = False

    @property
    def at_once(self) -> int:
        return _INDEPENDENT_BATCH if self.method in ("grid", "random") else self.batch


@dataclass(frozen=True)
class Tried:
    """A parameter set that was run. A pruned one was run over the first half of the time only."""

    number: int
    parameters: Parameters
    evaluation: Evaluation
    state: Literal["done", "pruned", "failed"] = "done"


class Memory(Protocol):
    """Where a search keeps what it has run."""

    @property
    def known(self) -> dict[str, dict[str, Any]]:
        """Evaluations by key: the search adds to it at once."""

    def keep(self, trials: Sequence[FrozenTrial]) -> None:
        """Remember these for longer; each has its key and its evaluation as user attributes."""


class Forgetful:
    """No memory beyond the search: one that is interrupted begins anew."""

    def __init__(self) -> None:
        self.known: dict[str, dict[str, Any]] = {}

    def keep(self, trials: Sequence[FrozenTrial]) -> None:
        """Nothing is kept."""


class Listener(Protocol):
    """Who hears of the search while it goes on."""

    def ran(self, evaluation: Evaluation) -> None:
        """This was run now, not remembered."""

    def settle(self) -> None:
        """What was run is going to be kept: see to it that the ledger has it first."""

    def told(self, done: int) -> None:
        """So many are done; may raise to stop the search, which goes on another time."""


Evaluate = Callable[[Sequence[Parameters], bool], Iterable[Evaluation]]
"""Runs sets, over the first half of the time if the second argument is true, and gives results in their order."""


@dataclass
class Search:
    """One search. After an interruption by its listener another one with the same memory goes on from there."""

    space: Space
    plan: Plan
    evaluate: Evaluate
    memory: Memory
    listener: Listener

    def run(self) -> "Found":
        """Everything that was tried. Raises SpaceError when the space admits nothing."""
        plan = self.plan
        sampler = sampler_for(plan.method, self.space, seed=plan.seed, population=plan.batch, trials=plan.trials)
        total = min(plan.trials, len(sampler.points)) if isinstance(sampler, Listed) else plan.trials
        if not total:
            raise SpaceError("the constraints leave nothing of the ranges")
        study = optuna.create_study(
            directions=["maximize" if each.maximise else "minimize" for each in plan.objectives],
            sampler=sampler,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5),
        )
        self._known = {key: Evaluation.of_json(told) for key, told in self.memory.known.items()}
        tried: list[Tried] = []
        while len(tried) < total:
            tried += self._batch(study, len(tried), min(plan.at_once, total - len(tried)))
        return Found(study, tried, total)

    def _batch(self, study: optuna.Study, before: int, count: int) -> list[Tried]:
        asked = [self._ask(study) for _ in range(count)]
        sets = [parameters for _, parameters in asked]
        halves = self._results(sets, before, half=True) if self.plan.prune else []
        given_up = self._given_up([trial for trial, _ in asked], halves)
        whole = [each for number, each in enumerate(sets) if number not in given_up]
        results = iter(self._results(whole, before, half=False))
        tried = []
        for number, (trial, parameters) in enumerate(asked):
            pruned = number in given_up
            evaluation = halves[number] if pruned else next(results)
            state = self._tell(study, trial, evaluation, pruned=pruned)
            tried.append(Tried(before + number, parameters, evaluation, state))
        self.listener.settle()
        self._keep(study, asked)
        self.listener.told(before + count)
        return tried

    def _ask(self, study: optuna.Study) -> tuple[optuna.Trial, Parameters]:
        for _ in range(_REFUSED_MAX):
            trial = study.ask(distributions(self.space))
            parameters = canonical(self.space, trial.params)
            if self.space.admits(parameters):
                return trial, parameters
            study.tell(trial, state=TrialState.FAIL)
        raise SpaceError("the constraints leave next to nothing of the ranges: try grid, random or genetic")

    def _results(self, sets: Sequence[Parameters], before: int, *, half: bool) -> list[Evaluation]:
        """Of each set its evaluation: remembered, or run now."""
        missing = {key_of(each, half=half): each for each in sets if key_of(each, half=half) not in self._known}
        if missing:
            for key, found in zip(missing, self.evaluate(list(missing.values()), half), strict=True):
                self.listener.ran(found)
                self.memory.known[key] = found.to_json()
                self._known[key] = found
                self.listener.told(before)
        return [self._known[key_of(each, half=half)] for each in sets]

    def _given_up(self, trials: Sequence[optuna.Trial], halves: Sequence[Evaluation]) -> set[int]:
        """Which are below the median of all before them over the first half (Optuna's median rule)."""
        given_up = set()
        for number, (trial, half) in enumerate(zip(trials, halves, strict=False)):
            score = _score(half, 0)
            if score is None:
                continue
            trial.report(score, step=0)
            if trial.should_prune():
                given_up.add(number)
        return given_up

    def _tell(
        self, study: optuna.Study, trial: optuna.Trial, evaluation: Evaluation, *, pruned: bool
    ) -> Literal["done", "pruned", "failed"]:
        known = [_score(evaluation, number) for number in range(len(self.plan.objectives))]
        scores = [each for each in known if each is not None]
        if pruned:
            study.tell(trial, state=TrialState.PRUNED)
            return "pruned"
        if len(scores) < len(known):
            study.tell(trial, state=TrialState.FAIL)
            return "failed" if evaluation.trial is None else "done"
        study.tell(trial, scores)
        return "done"

    def _keep(self, study: optuna.Study, asked: Sequence[tuple[optuna.Trial, Parameters]]) -> None:
        trials = study.get_trials(deepcopy=False)
        kept = []
        for trial, parameters in asked:
            frozen = trials[trial.number]
            half = frozen.state == TrialState.PRUNED
            key = key_of(parameters, half=half)
            attributes = {"key": key, "evaluation": self._known[key].to_json(), "parameters": parameters}
            kept.append(_with(frozen, attributes))
        self.memory.keep(kept)


def _with(frozen: FrozenTrial, attributes: Mapping[str, Any]) -> FrozenTrial:
    return optuna.trial.create_trial(
        state=frozen.state,
        values=frozen.values,
        params=frozen.params,
        distributions=frozen.distributions,
        intermediate_values=frozen.intermediate_values,
        user_attrs=dict(attributes),
    )


def key_of(parameters: Parameters, *, half: bool) -> str:
    """What a run is remembered by."""
    return json.dumps([half, parameters], sort_keys=True)


def _score(evaluation: Evaluation, number: int) -> float | None:
    if number >= len(evaluation.scores):
        return None
    value = evaluation.scores[number]
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, eq=False)
class Found:
    """A search that has ended."""

    study: optuna.Study
    tried: list[Tried]
    total: int

    def front(self) -> list[Tried]:
        """With one objective the best, the first of equals; with several all that no other beats in every one."""
        done = [each for each in self.tried if each.state == "done" and None not in each.evaluation.scores]
        done = [each for each in done if each.evaluation.scores]
        signs = [1 if each.name == "MAXIMIZE" else -1 for each in self.study.directions]
        ranked = sorted(
            done, key=lambda each: [-s * (v or 0.0) for s, v in zip(signs, each.evaluation.scores, strict=True)]
        )
        if len(signs) == 1:
            return ranked[:1]
        front: list[tuple[Tried, tuple[float, ...]]] = []
        for each in ranked:
            value = tuple(s * (v or 0.0) for s, v in zip(signs, each.evaluation.scores, strict=True))
            if not any(all(a >= b for a, b in zip(other, value, strict=True)) for _, other in front):
                front.append((each, value))
        return [each for each, _ in front]
