"""Which parameters come next: grid, random and genetic as samplers of our own, TPE and NSGA-II as Optuna's.

Ours draw from (seed, number of the trial), so that a trial is the same whoever asks for it and whenever.
"""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, NSGAIISampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from engine.research.space import Axis, Parameters, Space, SpaceError
from schemas.research import Method

if TYPE_CHECKING:
    from optuna.study import Study

_TRIES_MAX = 10_000
_FRESH_TRIES = 20
_TOURNAMENT = 3
_CROSSED = 0.9


def sampler_for(method: Method, space: Space, *, seed: int, population: int, trials: int) -> BaseSampler:
    """The sampler of this name. Raises SpaceError where the space has no grid."""
    if method == "grid":
        return Listed(list(islice(space.grid(), trials)))
    if method == "random":
        return Uniform(space, seed)
    if method == "genetic":
        return Genetic(space, seed, population)
    if method == "nsga2":
        return NSGAIISampler(population_size=max(population, 2), seed=seed)
    return TPESampler(seed=seed, n_startup_trials=max(population, 10))


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """The axes as Optuna says them."""
    return {axis.name: _distribution(axis) for axis in space.axes}


def _distribution(axis: Axis) -> BaseDistribution:
    if axis.between is not None:
        return FloatDistribution(*axis.between)
    if not axis.ordered or len(axis.values) < 2 or not _even(axis.values):
        return CategoricalDistribution(axis.values)
    low, high, step = axis.values[0], axis.values[-1], axis.values[1] - axis.values[0]
    if isinstance(low, int):
        return IntDistribution(low, high, step=step)
    return FloatDistribution(low, high, step=float(f"{step:.12g}"))


def _even(values: Sequence[float]) -> bool:
    steps = np.diff(np.array(values, dtype=np.float64))
    return bool(steps[0] > 0 and np.allclose(steps, steps[0], rtol=1e-9))


def canonical(space: Space, drawn: Parameters) -> Parameters:
    """The nearest values of the axes: Optuna's 0.30000000000000004 is the 0.3 that was asked for."""
    found = {}
    for axis in space.axes:
        value = drawn[axis.name]
        if axis.between is None and axis.ordered:
            value = min(axis.values, key=lambda each: abs(each - value))  # used at once
        elif axis.between is not None:
            value = float(f"{value:.12g}")
        found[axis.name] = value
    return found


class _OneByOne(BaseSampler):
    """Draws whole parameter sets by the number of the trial."""

    def infer_relative_search_space(self, study: "Study", trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return {}

    def sample_relative(
        self, study: "Study", trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return {}

    def before_trial(self, study: "Study", trial: FrozenTrial) -> None:
        self._drawn = self.draw(study, trial.number)

    def sample_independent(
        self, study: "Study", trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return self._drawn[param_name]

    def draw(self, study: "Study", number: int) -> Parameters:
        raise AssertionError("every sampler draws")


class Listed(_OneByOne):
    """The grid, in order."""

    def __init__(self, points: Sequence[Parameters]) -> None:
        self.points = points

    def draw(self, study: "Study", number: int) -> Parameters:
        return self.points[number]


class Uniform(_OneByOne):
    """Any admitted set as likely as any other."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed

    def draw(self, study: "Study", number: int) -> Parameters:
        return _admitted(self._space, np.random.default_rng([self._seed, number]), _anything)


def _admitted(space: Space, generator: np.random.Generator, make: Callable[..., Parameters]) -> Parameters:
    for _ in range(_TRIES_MAX):
        made = make(space, generator)
        if space.admits(made):
            return made
    raise SpaceError("the constraints leave next to nothing of the ranges: widen one or the other")


def _anything(space: Space, generator: np.random.Generator) -> Parameters:
    return {axis.name: _anywhere(axis, generator) for axis in space.axes}


def _anywhere(axis: Axis, generator: np.random.Generator) -> Any:
    if axis.between is not None:
        low, high = axis.between
        return float(f"{generator.uniform(low, high):.12g}")
    return axis.values[int(generator.integers(len(axis.values)))]


class Genetic(_OneByOne):
    """A plain genetic algorithm: the best so far are parents, chosen by tournaments; children take each value from
    one of two parents, and change one now and then (Goldberg 1989; elitist as in Eshelman's CHC 1991)."""

    def __init__(self, space: Space, seed: int, population: int) -> None:
        self._space = space
        self._seed = seed
        self._population = max(population, 2)

    def draw(self, study: "Study", number: int) -> Parameters:
        generator = np.random.default_rng([self._seed, number])
        parents = self._parents(study, number - number % self._population)
        if len(parents) < 2:
            return _admitted(self._space, generator, _anything)
        known = {tuple(each.params.values()) for each in study.get_trials(deepcopy=False)}
        child: Parameters = {}
        for _ in range(_FRESH_TRIES):
            child = _admitted(self._space, generator, lambda space, draws: self._child(parents, draws))
            if tuple(child.values()) not in known:
                break
        return child

    def _parents(self, study: "Study", before: int) -> list[Parameters]:
        """The best of earlier generations, the best first."""
        ended = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        sign = -1 if study.directions[0].name == "MAXIMIZE" else 1
        earlier = sorted((each for each in ended if each.number < before), key=lambda each: sign * each.values[0])
        return [dict(each.params) for each in earlier[: self._population]]

    def _child(self, parents: Sequence[Parameters], generator: np.random.Generator) -> Parameters:
        one, two = (self._winner(parents, generator) for _ in range(2))
        crossed = generator.random() < _CROSSED
        child = {}
        for axis in self._space.axes:
            value = two[axis.name] if crossed and generator.random() < 0.5 else one[axis.name]
            if generator.random() < 1 / len(self._space.axes):
                value = _moved(axis, value, generator)
            child[axis.name] = value
        return child

    @staticmethod
    def _winner(parents: Sequence[Parameters], generator: np.random.Generator) -> Parameters:
        return parents[int(generator.integers(len(parents), size=_TOURNAMENT).min())]  # they are sorted


def _moved(axis: Axis, value: Any, generator: np.random.Generator) -> Any:
    """A value near by on a numeric axis (a tenth of its length is one standard deviation), any other on others."""
    if axis.between is not None:
        low, high = axis.between
        near = float(value) + generator.normal(0, (high - low) / 10)
        return float(f"{min(max(near, low), high):.12g}")
    if not axis.ordered:
        return _anywhere(axis, generator)
    last = len(axis.values) - 1
    away = round(generator.normal(0, max(last / 10, 1.0)))
    return axis.values[min(max(axis.values.index(value) + (away or 1), 0), last)]
