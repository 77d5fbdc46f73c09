"""An optimisation as it is asked for: checked, and turned into a space, a plan and stretches of time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.columns import BarColumns, Integers
from engine.declared_parameters import declared_config
from engine.research.evaluation import Objective, strategy_of
from engine.research.folds import FoldError, Window, walk_forward
from engine.research.search import Plan
from engine.research.space import Axis, Parameters, Space, SpaceError
from engine.research.stretches import Stretch, days_of
from engine.strategy import ParameterError, nearest
from schemas.research import TRIALS_MAX, OptimizationRequested

TRIALS = 100
VISIBLE_MIN = 30


@dataclass(frozen=True)
class Allowed:
    """A strategy's parameters with their defaults; `check` raises ParameterError for values that cannot be."""

    defaults: Mapping[str, Any]
    check: Callable[[Parameters], object]


def allowed_by(strategy: str, text: str = "") -> Allowed:
    """By the strategy's own word; `text` is that of a strategy in a file. Raises ValueError, in one line."""
    config = strategy_of(strategy, text).Config
    return Allowed({name: field.default for name, field in config.model_fields.items()}, config.parse)


def declared_by(defaults: Mapping[str, Any], schema: Mapping[str, Any]) -> Allowed:
    """By the schema of a strategy whose code must not run here, as far as that says it."""
    config = declared_config(schema, defaults)
    return Allowed(defaults, config.parse if config is not None else lambda given: None)


def plan_of(request: OptimizationRequested, allowed: Allowed) -> tuple[Space, Plan]:
    """Raises ValueError, in one line, for what cannot be searched like that."""
    axes = [Axis.parse(text) for text in request.axes]
    for axis in axes:
        if axis.name not in allowed.defaults:
            near = nearest(axis.name, allowed.defaults)
            raise SpaceError(f"{request.backtest.strategy} has no parameter {axis.name}{near}")
    searched = {axis.name for axis in axes}
    defaults = {name: default for name, default in allowed.defaults.items() if name not in searched}
    fixed = {**defaults, **request.backtest.parameters}
    space = Space(axes, request.constraints, fixed, lambda given: _possible(allowed, given))
    objectives = tuple(Objective.parse(text) for text in request.objectives)
    if request.method == "genetic" and len(objectives) > 1:
        raise SpaceError("genetic searches by one objective: nsga2 takes several")
    trials = request.trials or (TRIALS_MAX if request.method == "grid" else TRIALS)
    plan = Plan(request.method, objectives, trials, request.seed, request.batch, request.prune)
    _something_possible(allowed, space)
    return space, plan


def _possible(allowed: Allowed, given: Parameters) -> bool:
    try:
        allowed.check(given)
    except ParameterError:
        return False
    return True


def _something_possible(allowed: Allowed, space: Space) -> None:
    """When not even one end of the ranges can be, say what the strategy says about it."""
    ends: list[Parameters] = [
        {axis.name: _end(axis, each) for axis, each in zip(space.axes, way, strict=True)}
        for way in ([0] * len(space.axes), [1] * len(space.axes), [number % 2 for number in range(len(space.axes))])
    ]
    wrong = []
    for each in ends:
        try:
            allowed.check({**space.fixed, **each})
        except ParameterError as error:
            wrong.append(error)
    if len(wrong) == len(ends):
        raise wrong[0]


def _end(axis: Axis, which: int) -> Any:
    return axis.between[which] if axis.between is not None else axis.values[-which]


@dataclass(frozen=True)
class Cut:
    """How the time is divided: what the search sees, the folds inside it, and what is held out after it."""

    visible: Stretch
    folds: tuple[tuple[Stretch, Stretch], ...]
    held_out: Stretch | None


def cut(request: OptimizationRequested, columns: BarColumns) -> Cut:
    """Raises FoldError where there are too few sessions."""
    days: Integers = np.unique(days_of(columns.end_us))
    seen = len(days) - round(len(days) * request.holdout)
    if seen < VISIBLE_MIN:
        raise FoldError(f"{seen} sessions are too few to search in: at least {VISIBLE_MIN}")
    windows: Sequence[Window] = ()
    if (wanted := request.walk_forward) is not None:
        windows = walk_forward(seen, train=wanted.train, test=wanted.test, kind=wanted.kind, gap=wanted.gap)
    return Cut(
        visible=_stretch(days, 0, seen),
        folds=tuple(
            (
                _stretch(days, each.train_first, each.train_stop),
                _stretch(days, each.test_first, each.test_stop, warm=True),
            )
            for each in windows
        ),
        held_out=_stretch(days, seen, len(days), warm=True) if seen < len(days) else None,
    )


def half_of(columns: BarColumns, stretch: Stretch) -> Stretch:
    """The first half of a stretch's sessions."""
    days: Integers = np.unique(days_of(columns.end_us))
    inside = days[(days >= stretch.first) & (days < stretch.stop)]
    return _stretch(inside, 0, len(inside) // 2)


def _stretch(days: Integers, first: int, stop: int, *, warm: bool = False) -> Stretch:
    return Stretch(int(days[first]), int(days[stop - 1]) + 1, warm)
