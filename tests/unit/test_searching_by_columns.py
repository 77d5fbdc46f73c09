"""A search runs by columns where it can, and nobody sees a difference but the time it takes."""

import random
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.backtest import run
from engine.columns import BarColumns
from engine.research.by_columns import Shelf
from engine.research.evaluation import (
    Objective,
    Task,
    about,
    arrays_of,
    evaluate_all,
    grounds_of,
    replay_all,
)
from engine.research.optimisation import DisagreementError, Workshop, optimise, spread
from engine.research.request import half_of
from engine.research.stretches import Stretch
from engine.statistics import Brief
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from infra.fan_out import Here
from tests.bars import columns_of, random_bars
from tests.builders import SEEN
from tests.unit.a_column_market import a_market, some_options, some_targets
from tests.unit.test_answer import a_request
from tests.unit.test_column_path import playing
from tests.unit.test_optimisation import Diary, an_optimization

ONE = columns_of(random_bars(5, 300))
SETS = [{"fast": fast, "slow": slow} for fast in (3, 5, 8) for slow in (10, 20, 30)]
WHOLE = Stretch(0, 10**6)

TWO_MINDS = '''
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal, searched

class TwoMinds(BaseStrategy):
    """Says one thing by columns and another bar by bar."""

    class Config(StrategyConfig):
        """How often."""

        every: int = searched(5, "5:9:2", ge=2)

    def on_bar(self, bar):
        return StrategySignal.long(bar.contract_id)

    def targets(self, columns):
        TARGETS
'''


def loaded(columns: BarColumns, source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return arrays_of(columns), about(columns)


LOAD = partial(loaded, ONE)


def a_task(
    *metrics: str, stretch: Stretch = WHOLE, load: Any = LOAD, text: str = "", name: str = "", **changes: Any
) -> Task:
    request = a_request(**{"parameters": {}, **({"strategy": name} if name else {}), **changes})
    objectives = tuple(Objective.parse(each) for each in metrics or ("sharpe",))
    return Task(load, "a", request, stretch, objectives, "c0de", SEEN, text=text)


def of_two_minds(targets: str) -> str:
    return TWO_MINDS.replace("TARGETS", targets)


@pytest.mark.parametrize(
    "rules",
    [{}, {"commission": "ib_tiered"}, {"slippage": "half_spread", "slippage_rate": "5"}, {"fill": "worst_of_bar"}],
)
def test_by_columns_and_bar_by_bar_give_the_same_entries_and_scores_to_the_last_digit(rules: dict[str, str]) -> None:
    metrics = ("sharpe", "total_return", "max_drawdown", "trades", "fills", "calmar", "turnover", "average_mae")
    for stretch in (WHOLE, half_of(ONE, WHOLE)):
        task = a_task(*metrics, stretch=stretch, rules=rules)

        found = evaluate_all(task, SETS)

        assert grounds_of(task) is not None
        assert found == replay_all(task, SETS)
        assert len({each.scores for each in found}) > 3


@pytest.mark.parametrize("count", [0, 1, 3, len(SETS)])
def test_sets_that_are_handed_out_in_parcels_come_back_in_their_order(count: int) -> None:
    task = a_task()

    assert list(spread(Here(), task, SETS[:count])) == evaluate_all(task, SETS[:count])


def test_rules_that_columns_do_not_know_are_run_bar_by_bar() -> None:
    task = a_task(rules={"sizing": "percent_of_equity", "sizing_percent": "50"})

    assert grounds_of(task) is None
    assert evaluate_all(task, SETS) == replay_all(task, SETS)
    assert all(each.trial is not None for each in evaluate_all(task, SETS))


def test_a_fixed_parameter_that_only_goes_with_others_than_the_defaults_is_no_obstacle() -> None:
    task = a_task(parameters={"slow": 8})

    (found,) = evaluate_all(task, [{"fast": 3}])

    assert found.trial is not None
    assert found.trial.parameters == {"fast": 3, "slow": 8, "short": False}


def test_a_winner_whose_targets_are_not_what_it_decides_bar_by_bar_ends_the_search() -> None:
    text = of_two_minds("""import numpy as np
        last = np.roll(columns.close, -1)  # sees the next bar
        return np.where(last > columns.close, 1.0, 0.0)""")
    request = an_optimization(
        backtest=a_request(parameters={}, strategy="two_minds", code_sha256="ab" * 32),
        axes=("every=5:9:2",),
        constraints=(),
    )

    with pytest.raises(DisagreementError, match=r"by columns and .* bar by bar\. Let `targets` say what `on_bar` does"):
        optimise(request, Workshop(ONE, LOAD, "a", Here(), "c0de", SEEN, text), Diary())


def test_targets_that_raise_are_an_outcome_with_the_strategys_words() -> None:
    text = of_two_minds("return columns.close[10_000]")

    (found,) = evaluate_all(a_task(text=text, name="two_minds"), [{"every": 5}])

    assert found.trial is None
    assert "TwoMinds.targets failed: IndexError" in found.error


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), contracts=st.integers(1, 3))
def test_the_few_figures_are_those_of_the_whole_report(seed: int, contracts: int) -> None:
    chance = random.Random(seed)
    columns = a_market(chance, contracts)
    targets = some_targets(chance, columns)

    result = run(columns, playing(columns, targets), None, some_options(chance))

    whole = result.metrics.model_dump()
    assert {name: result.brief.figure(name) for name in Brief.NAMES} == {name: whole[name] for name in Brief.NAMES}


def test_a_shelf_keeps_what_is_looked_at_and_never_more_than_fits() -> None:
    shelf = Shelf(bytes_max=3 * 80)
    for name in "abc":
        shelf[name] = np.zeros(10)

    assert len(shelf["a"]) == 10
    shelf["d"] = np.zeros(10)

    assert list(shelf) == ["c", "a", "d"]
    shelf["large"] = np.zeros(1000)
    assert list(shelf) == ["large"]
    shelf["e"] = np.zeros(10)
    assert list(shelf) == ["e"]


def test_a_column_made_of_others_leaves_the_shelf_before_they_do() -> None:
    shelf = Shelf(bytes_max=3 * 80)
    one, two = ("sma", "", "close", 3), ("sma", "", "close", 5)
    for key in (one, two, ("crossing", "", one, two)):
        shelf[key] = np.zeros(10)

    shelf["sma", "", "close", 8] = np.zeros(10)

    assert list(shelf) == [one, two, ("sma", "", "close", 8)]


def test_runs_that_share_indicators_are_the_runs_that_do_not() -> None:
    task = a_task()
    grounds = grounds_of(task)
    assert grounds is not None
    for each in SETS:
        config = MovingAverageCrossover.Config.parse(each)
        assert grounds.run(config).result_hash == run(ONE, MovingAverageCrossover, config, grounds.options).result_hash
