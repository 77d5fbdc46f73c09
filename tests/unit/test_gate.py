"""The gate before trading, held to its calibration: noise seldom passes, an edge mostly does."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from engine.columns import Floats
from engine.research.families import families
from engine.research.gate import Evidence, Verdict, judge
from engine.research.overfitting import SharpeEstimate

YEARS, TRIALS, SEEDS = 10, 200, 200
SESSIONS, WEEKS = 252 * YEARS, 504
DAILY = 0.01


def _weekly(returns: Floats) -> Floats:
    found: Floats = np.add.reduceat(returns, np.arange(0, len(returns), len(returns) // WEEKS), axis=0)
    return found


def _verdict_on_the_best(returns: Floats) -> Verdict:
    ratios = returns.mean(axis=0) / returns.std(axis=0, ddof=1)
    candidate = SharpeEstimate.of(returns[:, int(ratios.argmax())])
    assert candidate is not None
    weekly = _weekly(returns)
    return judge(Evidence(candidate, weekly, ratios, weekly))


def _passing(make: Callable[[np.random.Generator], Floats], seeds: int = SEEDS) -> float:
    passed = [_verdict_on_the_best(make(np.random.default_rng(seed))).passed for seed in range(seeds)]
    return sum(passed) / seeds


def _noise(generator: np.random.Generator, trials: int = TRIALS) -> Floats:
    return generator.standard_normal((SESSIONS, trials), dtype=np.float32).astype(np.float64) * DAILY


def _edge(sharpe: float) -> float:
    return sharpe / math.sqrt(252) * DAILY


def test_the_best_of_200_strategies_of_pure_noise_passes_in_at_most_5_percent_of_200_seeds() -> None:
    assert _passing(_noise) <= 0.05


def test_an_edge_of_sharpe_1_5_over_ten_years_of_daily_bars_passes_in_at_least_80_percent_alone() -> None:
    assert _passing(lambda generator: _noise(generator, 1) + _edge(1.5)) >= 0.8


def test_the_same_edge_passes_in_at_least_80_percent_among_199_strategies_of_noise() -> None:
    def planted(generator: np.random.Generator) -> Floats:
        returns = _noise(generator)
        returns[:, 77] += _edge(1.5)
        return returns

    assert _passing(planted) >= 0.8


@pytest.mark.parametrize("alike", [0.3, 0.6, 0.9])
def test_noise_that_moves_together_is_no_way_around_the_gate(alike: float) -> None:
    def sweep(generator: np.random.Generator) -> Floats:
        shared = generator.standard_normal((SESSIONS, 1)) * DAILY
        return math.sqrt(alike) * shared + math.sqrt(1 - alike) * _noise(generator, 60)

    assert _passing(sweep) <= 0.05


def test_a_plateau_on_which_all_settings_earn_passes_though_the_best_of_them_changes() -> None:
    generator = np.random.default_rng(1)
    shared = generator.standard_normal((SESSIONS, 1)) * DAILY + _edge(1.8)

    verdict = _verdict_on_the_best(shared + 0.1 * _noise(generator, 40))

    assert verdict.passed, verdict.reasons
    assert verdict.counted.families == 1


def test_a_refusal_says_why_and_how_many_trials_were_counted() -> None:
    verdict = _verdict_on_the_best(_noise(np.random.default_rng(3)))

    assert not verdict.passed
    assert verdict.counted.trials == TRIALS
    assert verdict.counted.independent == pytest.approx(TRIALS)
    assert "200 independent trials" in verdict.reasons[0]


def test_the_same_figures_pass_as_one_trial_and_fail_as_the_best_of_many() -> None:
    noise = _noise(np.random.default_rng(5), 300)
    candidate = SharpeEstimate(1.0 / np.sqrt(252), SESSIONS)

    alone = judge(Evidence(candidate, noise[:WEEKS, :1], np.array([candidate.value]), noise[:WEEKS, :1]))
    picked = judge(Evidence(candidate, noise[:WEEKS], np.zeros(300), noise[:WEEKS, :1]))

    assert alone.passed
    assert not picked.passed


def test_trials_without_a_series_count_each_on_its_own() -> None:
    series = _noise(np.random.default_rng(5), 3)[:WEEKS]

    assert families(series, others=4).independent == pytest.approx(7)


def test_losing_on_the_bars_held_out_fails_whatever_the_rest_says() -> None:
    series = np.random.default_rng(2).standard_normal((WEEKS, 1))
    strong = SharpeEstimate(0.3, SESSIONS)

    lost = judge(Evidence(strong, series, np.array([0.3]), series, looks=2, held_out=-0.4))

    assert not lost.passed
    assert "held out" in lost.reasons[0]
    assert any("looked at 2 times" in each for each in lost.notes)


def test_too_short_a_record_fails_however_good() -> None:
    series = np.random.default_rng(2).standard_normal((60, 1))

    verdict = judge(Evidence(SharpeEstimate(0.9, 60), series, np.array([0.9]), series))

    assert verdict.reasons == ("60 sessions are too few to judge by: at least 250",)
