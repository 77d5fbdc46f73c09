"""A search over a stranger's text: its parameter sets run inside, and what one of them does costs no other."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from consumers.backtester.inside import InsideCrew, Scene
from consumers.backtester.searching import CanceledError
from consumers.backtester.uploaded import Text
from engine.answer import options_of, prepared
from engine.research.optimisation import NothingFoundError, Workshop, optimise
from infra.clock import SystemClock
from infra.fan_out import Here
from schemas.research import OptimizationFinished, OptimizationRequested, WalkForward
from tests.builders import SEEN
from tests.integration.a_sandbox import shipped, the_sandbox
from tests.unit.test_optimisation import COLUMNS, Diary, Notebook, _load, an_optimization

MINE = shipped("moving_average_crossover")
WALKED = an_optimization(
    method="tpe", trials=12, batch=4, holdout=0.2, read_holdout=True, walk_forward=WalkForward(train=150, test=60)
)
BY_NUMBER = """\
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal


class Mine(BaseStrategy):
    class Config(StrategyConfig):
        number: int = 0

    def on_bar(self, bar):
        number = self.config.number
        {doing}
        return StrategySignal.target(bar.contract_id, (bar.start_us // 86_400_000_000 + number) % 3 / 2)
"""


@contextmanager
def a_crew(request: OptimizationRequested, source: str, workers: int = 1) -> Iterator[InsideCrew]:
    columns, _ = prepared(request.backtest, COLUMNS)
    scene = Scene(
        the_sandbox(),
        SystemClock(),
        Text("mine", source, {}),
        request.backtest,
        columns,
        options_of(request.backtest),
    )
    with closing(InsideCrew(scene, workers)) as crew:
        yield crew


def searched_inside(request: OptimizationRequested, source: str, **changes: Any) -> OptimizationFinished:
    with a_crew(request, source, **changes) as crew:
        return optimise(request, Workshop(COLUMNS, _load, "a", Here(), "c0de", SEEN, crew=crew), Diary())


def by_number(doing: str) -> OptimizationFinished:
    request = an_optimization(axes=("number=0:5:1",), constraints=())
    return searched_inside(request, BY_NUMBER.format(doing=doing))


@pytest.mark.parametrize("workers", [1, 2])
def test_it_finds_inside_what_it_finds_outside(workers: int) -> None:
    inside = searched_inside(WALKED, MINE, workers=workers)
    outside = optimise(WALKED, Workshop(COLUMNS, _load, "a", Here(), "c0de", SEEN), Diary())

    assert len(outside.result["walk_forward"]["folds"]) >= 2
    assert inside.trials_hash == outside.trials_hash
    assert inside.result == outside.result


def test_a_search_that_is_interrupted_goes_on_with_the_same_processes_and_ends_the_same() -> None:
    kept: dict[str, dict[str, Any]] = {}
    request = an_optimization(method="tpe", trials=16, batch=8, axes=("fast=2:30", "slow=10:90"))
    with a_crew(request, MINE) as crew:
        shop = Workshop(COLUMNS, _load, "a", Here(), "c0de", SEEN, crew=crew)
        with pytest.raises(KeyboardInterrupt):
            optimise(request, shop, Diary(partial(Notebook, kept), stop_after=12))
        second = Diary(partial(Notebook, kept))
        resumed = optimise(request, shop, second)

    assert 0 < len(second.trials) < 16
    assert resumed.trials_hash == optimise(request, replace(shop, crew=None), Diary()).trials_hash


ONE_BAD = {
    "does not end": ("while number == 3: pass", "on_bar computed for more than 1 s (mine.py, line 10)"),
    "crashes": ("number == 3 and __import__('ctypes').string_at(0)", "it crashed the interpreter (SIGSEGV)"),
    "raises": ("1 / (number - 3)", "ZeroDivisionError: division by zero (mine.py, line 10)"),
    "leaves": ("number == 3 and __import__('os')._exit(0)", "the strategy's process ended"),
}


@pytest.mark.parametrize(("doing", "why"), ONE_BAD.values(), ids=ONE_BAD)
def test_the_search_goes_on_after_a_set_that(doing: str, why: str) -> None:
    done = by_number(doing)

    failed = [each for each in done.result["trials"] if each["state"] == "failed"]
    assert [each["parameters"] for each in failed] == [{"number": 3}]
    assert why in failed[0]["error"]
    assert len(done.result["trials"]) == 6


def test_a_search_in_which_nothing_runs_says_why() -> None:
    with pytest.raises(NothingFoundError, match="FileNotFoundError"):
        by_number("open('/etc/passwd')")


def test_whoever_does_not_want_it_any_more_does_not_wait_for_a_run() -> None:
    request = an_optimization(axes=("number=0:5:1",), constraints=())
    with a_crew(request, BY_NUMBER.format(doing="import re; re.match('(a*)*b', 'a' * 40)")) as crew:

        def unwanted() -> None:
            raise CanceledError("canceled by me")

        assert crew.allowed.defaults == {"number": 0}
        crew.on_wait = unwanted
        with pytest.raises(CanceledError, match="canceled by me"):
            optimise(request, Workshop(COLUMNS, _load, "a", Here(), "c0de", SEEN, crew=crew), Diary())
