"""An optimisation over made-up prices, whole, in this process."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from optuna.trial import FrozenTrial

from engine.research.evaluation import (
    Objective,
    ObjectiveError,
    Task,
    about,
    arrays_of,
    evaluate,
    run_over,
)
from engine.research.folds import FoldError
from engine.research.judging import candidate_of, evidence_of, gate
from engine.research.optimisation import NothingFoundError, Workshop, optimise
from engine.research.page import page
from engine.research.request import allowed_by, plan_of
from engine.research.search import Forgetful, Memory
from engine.research.space import SpaceError
from engine.research.stretches import Stretch, days_of
from infra.fan_out import Here, executor
from producers.cli.search_view import lines
from schemas.backtest import Trial
from schemas.research import OptimizationFinished, OptimizationRequested, WalkForward
from tests.bars import columns_of, random_bars
from tests.builders import SEEN
from tests.unit.test_answer import a_request

COLUMNS = columns_of(random_bars(3, 700))


def _load(source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return arrays_of(COLUMNS), about(COLUMNS)


class Diary:
    """A bureau that writes down what it is told, and stops when it has been told enough."""

    def __init__(
        self, memory: Callable[[], Memory] = Forgetful, stop_after: int = 10**9, past: Sequence[Trial] = ()
    ) -> None:
        self.trials: list[Trial] = []
        self.progress: list[tuple[str, int, int]] = []
        self._memory = memory
        self._stop_after = stop_after
        self._past = past

    def memory(self, study: str, objectives: Sequence[Objective]) -> Memory:
        return self._memory()

    def past(self) -> Sequence[Trial]:
        return self._past

    def told(self, phase: str, done: int, total: int, best: float | None) -> None:
        self.progress.append((phase, done, total))
        if len(self.progress) >= self._stop_after:
            raise KeyboardInterrupt

    def ran(self, trial: Trial) -> None:
        self.trials.append(trial)

    def settle(self) -> None:
        """Nothing is waiting."""


class Notebook:
    """A memory that outlives a search, as far as it was kept."""

    def __init__(self, kept: dict[str, dict[str, Any]]) -> None:
        self.known = dict(kept)
        self._kept = kept

    def keep(self, trials: Sequence[FrozenTrial]) -> None:
        for each in trials:
            self._kept[each.user_attrs["key"]] = json.loads(json.dumps(each.user_attrs["evaluation"]))


def an_optimization(**changes: Any) -> OptimizationRequested:
    given: dict[str, Any] = {
        "event_time": SEEN,
        "ingest_time": SEEN,
        "optimization_id": "o1",
        "backtest": a_request(parameters={}),
        "axes": ("fast=2:10:2", "slow=10:40:10"),
        "constraints": ("fast < slow",),
        "requested_by": "test",
    }
    return OptimizationRequested.model_validate({**given, **changes})


def optimised(
    request: OptimizationRequested,
    diary: Diary | None = None,
    workers: int = 1,
) -> OptimizationFinished:
    with executor("process", workers) as pool:
        shop = Workshop(COLUMNS, _load, "a", pool, "c0de", SEEN)
        return optimise(request, shop, diary or Diary())


def test_a_grid_runs_every_admitted_set_once_and_names_the_best() -> None:
    diary = Diary()

    done = optimised(an_optimization(), diary)

    trials = done.result["trials"]
    assert len(trials) == 19  # 5 x 4 without fast=10, slow=10
    best = max(each["scores"]["sharpe"] for each in trials)
    assert done.result["best"]["scores"]["sharpe"] == best
    assert [each.sharpe for each in diary.trials] == [each["scores"]["sharpe"] for each in trials]
    assert diary.progress[-1][0] == "judging"
    assert {each.purpose for each in diary.trials} == {"search"}
    json.dumps(done.model_dump(mode="json"))


@pytest.mark.parametrize("method", ["random", "tpe", "nsga2", "genetic"])
def test_the_same_seed_tries_the_same_sets_whatever_the_workers_and_another_seed_others(method: Any) -> None:
    request = an_optimization(method=method, trials=24, batch=8, axes=("fast=2:30", "slow=10:90"))

    once, again = optimised(request), optimised(request, workers=2)
    other = optimised(an_optimization(method=method, trials=24, batch=8, seed=2, axes=("fast=2:30", "slow=10:90")))

    assert once.trials_hash == again.trials_hash
    assert once.result == again.result
    assert once.trials_hash != other.trials_hash
    assert len(once.result["trials"]) == 24
    assert all(each["parameters"]["fast"] < each["parameters"]["slow"] for each in once.result["trials"])


@pytest.mark.parametrize(
    ("method", "trials", "stop_after"), [("random", 100, 150), ("tpe", 32, 40), ("genetic", 32, 40)]
)
def test_an_interrupted_search_goes_on_where_it_ended_and_ends_as_if_nothing_had_happened(
    method: Any, trials: int, stop_after: int
) -> None:
    request = an_optimization(method=method, trials=trials, batch=8, axes=("fast=2:30", "slow=10:90"), prune=True)
    kept: dict[str, dict[str, Any]] = {}
    first = Diary(partial(Notebook, kept), stop_after=stop_after)

    with pytest.raises(KeyboardInterrupt):
        optimised(request, first)
    second = Diary(partial(Notebook, kept))
    resumed = optimised(request, second)

    undisturbed = optimised(request)
    assert resumed.trials_hash == undisturbed.trials_hash
    ran = {each.trial_id for each in first.trials} | {each.trial_id for each in second.trials}
    whole = Diary()
    optimised(request, whole)
    assert ran == {each.trial_id for each in whole.trials}
    assert len(second.trials) < len(whole.trials)


def test_several_objectives_give_a_front_that_no_other_set_beats() -> None:
    done = optimised(
        an_optimization(method="nsga2", trials=30, batch=10, objectives=("total_return", "max_drawdown", "turnover"))
    )

    signs = {"total_return": 1, "max_drawdown": 1, "turnover": -1}
    every = [[signs[name] * value for name, value in each["scores"].items()] for each in done.result["trials"]]
    front = [[signs[name] * value for name, value in each["scores"].items()] for each in done.result["front"]]
    assert front
    for each in front:
        assert not any(all(a >= b for a, b in zip(other, each, strict=True)) and other != each for other in every)


def test_pruning_gives_up_on_some_over_half_of_the_time_and_counts_them_as_trials() -> None:
    diary = Diary()

    done = optimised(an_optimization(method="random", trials=80, prune=True, axes=("fast=2:30", "slow=10:90")), diary)

    states = done.result["states"]
    assert states["pruned"] > 5
    assert states["done"] > 5
    assert states["pruned"] + states["done"] == 80
    half = [each for each in diary.trials if each.observations < 400]
    assert len(half) >= states["pruned"]


def test_a_walk_forward_tests_each_choice_on_what_follows_and_stitches_the_tests() -> None:
    diary = Diary()

    done = optimised(an_optimization(walk_forward=WalkForward(train=200, test=100)), diary)

    walk = done.result["walk_forward"]
    assert len(walk["folds"]) == 5
    for fold in walk["folds"]:
        assert fold["train"][1] < fold["test"][0]
    assert walk["sessions"] == 500
    assert len(walk["equity"]["time"]) == 500
    grown = np.prod([1 + fold["total_return"] for fold in walk["folds"]]) - 1
    assert walk["total_return"] == pytest.approx(grown)
    assert sum(each.purpose == "test" for each in diary.trials) == 5
    assert sum(each.purpose == "train" for each in diary.trials) == 5 * 19
    assert done.result["overfitting"]["trials"] == 19  # to train on parts of the time is no chance more
    assert done.result["trials_run"] == 19
    assert "no search has seen them" in page(done)


def test_folds_that_never_trade_are_told_and_a_walk_of_nothing_else_passes_no_gate() -> None:
    crossings = an_optimization(axes=("fast=20:30:10", "slow=60"), walk_forward=WalkForward(train=300, test=20))
    some = optimised(crossings)
    diary = Diary()
    none = optimised(
        crossings.revised(axes=("fast=20", "slow=60:90:30"), walk_forward=WalkForward(train=660, test=20)), diary
    )

    walk = some.result["walk_forward"]
    assert 0 < walk["idle_folds"] == sum(not fold["executions"] for fold in walk["folds"]) < len(walk["folds"])
    assert f"{walk['idle_folds']} of {len(walk['folds'])} folds never traded" in some.warnings[0]
    assert page(some).count("<td>never traded</td>") == walk["idle_folds"]
    assert f"folds ({walk['idle_folds']} never traded), return" in "\n".join(lines(some))
    assert any(f"in {walk['idle_folds']} of the" in note for note in some.result["gate"]["notes"])
    assert none.result["walk_forward"]["idle_folds"] == 2
    assert "it never traded in any of the 2 tests of its walk forward" in str(none.result["gate"]["reasons"])
    judged = gate([*diary.trials, *diary.trials])[1]
    assert "any of the 2 tests" in judged.reasons[-1], "also from the ledger, each test once"


def test_bars_held_out_on_which_nothing_was_traded_are_no_proof_and_were_read() -> None:
    idle = an_optimization(axes=("fast=20", "slow=60:90:30"), holdout=0.03, read_holdout=True)

    done = optimised(idle)

    assert "it never traded on them, at the first reading" in str(done.result["gate"]["notes"])
    assert "since 2014-11-17, never traded; looks before: 0" in "\n".join(lines(done))


def test_what_ran_before_a_walk_forward_makes_its_folds_no_chance_more() -> None:
    walk = an_optimization(axes=("fast=2:6:2", "slow=20"), walk_forward=WalkForward(train=300, test=100))
    first, second = Diary(), Diary()

    optimised(walk.revised(walk_forward=WalkForward(train=200, test=200)), first)
    done = optimised(walk.revised(optimization_id="o2"), Diary(past=first.trials))
    alone = optimised(walk, second)

    assert done.result["overfitting"]["trials"] == alone.result["overfitting"]["trials"] == 3


def test_a_test_begins_to_trade_on_its_first_bar_because_its_indicators_are_warm() -> None:
    days = days_of(COLUMNS.end_us)
    task = Task(_load, "a", a_request(parameters={}), Stretch(int(days[300]), int(days[400]), warm=True), (), "c", SEEN)

    result = run_over(task, {"fast": 5, "slow": 50})

    assert len(result.columns) == 100 + 50  # a crossing needs one bar more than the slow average
    assert len(result.curve.times_us) == 100
    assert result.metrics.sessions == 100


def test_what_is_held_out_is_never_seen_by_the_search_and_each_reading_is_on_record() -> None:
    first = Diary()
    request = an_optimization(holdout=0.2)
    days = sorted(set(days_of(COLUMNS.end_us).tolist()))

    unread = optimised(request, first)
    second = Diary(past=first.trials)
    read = optimised(request.revised(read_holdout=True, optimization_id="o2"), second)
    again = optimised(request.revised(read_holdout=True, optimization_id="o3"), Diary(past=second.trials))

    since = unread.result["holdout"]["since"]
    assert str(np.datetime64(days[560], "D")) == since
    assert all(each.end is not None and each.end.date().isoformat() < since for each in first.trials)
    assert unread.result["holdout"]["reading"] is None
    assert read.result["holdout"]["looks_before"] == 0
    (reading,) = (each for each in second.trials if each.purpose == "holdout")
    assert reading.start is not None
    assert reading.start.date().isoformat() == since
    evidence = evidence_of(candidate_of(second.trials), second.trials)
    assert (evidence.looks, evidence.held_out) == (1, reading.sharpe)
    assert again.result["holdout"]["looks_before"] == 1
    assert again.result["holdout"]["looked_at_by"][0]["study_id"] == "o2"
    assert any("no test any more" in each for each in again.warnings)
    assert again.result["holdout"]["reading"]["sharpe"] == read.result["holdout"]["reading"]["sharpe"]


def test_a_plain_backtest_over_what_is_held_out_is_a_look_at_it_too() -> None:
    whole = Diary()
    optimised(an_optimization(axes=("fast=3",), constraints=()), whole)

    held = optimised(an_optimization(holdout=0.2), Diary(past=whole.trials))

    assert held.result["holdout"]["looks_before"] == 1


def test_past_trials_of_the_strategy_count_in_what_the_best_is_worth() -> None:
    diary = Diary()
    first = optimised(an_optimization(axes=("fast=2:30:3", "slow=10:90:10")), diary)
    second = optimised(an_optimization(axes=("fast=4", "slow=25")), Diary(past=diary.trials))

    assert second.result["overfitting"]["trials"] == first.result["overfitting"]["trials"] + 1
    assert second.result["overfitting"]["independent_trials"] > 1


def test_a_set_that_cannot_be_run_is_told_and_the_others_go_on() -> None:
    days = days_of(COLUMNS.end_us)
    task = Task(partial(_load), "a", a_request(parameters={}), Stretch(int(days[0]), int(days[-1])), (), "c", SEEN)

    found = evaluate(task, {"fast": 50, "slow": 20})

    assert found.trial is None
    assert "fast=50 must be smaller" in found.error


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"axes": ("fats=1:5",)}, SpaceError, "did you mean fast"),
        ({"objectives": ("sharp",)}, ObjectiveError, "did you mean sharpe"),
        ({"objectives": ("sharpe:up",)}, ObjectiveError, "sharpe:max"),
        ({"method": "genetic", "objectives": ("sharpe", "turnover")}, SpaceError, "nsga2"),
        ({"axes": ("fast=0:0",)}, ValueError, "fast=0"),
        ({"constraints": ("fast < slwo",)}, ValueError, "did you mean slow"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_words(changes: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        plan_of(an_optimization(**changes), allowed_by("moving_average_crossover"))


def test_a_search_that_finds_nothing_says_why() -> None:
    with pytest.raises(NothingFoundError, match="never traded"):
        optimised(an_optimization(axes=("fast=600", "slow=690"), constraints=()))
    with pytest.raises(SpaceError, match="leave nothing"):
        optimised(an_optimization(constraints=("fast > slow",)))
    with pytest.raises(FoldError, match="sessions are too few"):
        _short()


def _short() -> OptimizationFinished:
    short = columns_of(random_bars(3, 20))
    shop = Workshop(short, _load, "b", Here(), "c0de", SEEN)
    return optimise(an_optimization(), shop, Diary())
