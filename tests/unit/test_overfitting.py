"""Statistics of luck, held to the published examples and to formulas written out by hand."""

import math
from itertools import combinations
from statistics import NormalDist

import numpy as np
import pytest

from engine.research.families import families
from engine.research.overfitting import (
    SharpeEstimate,
    cross_validated,
    deflated_sharpe,
    expected_best,
    luck,
    minimum_track_record,
    probabilistic_sharpe,
)


def test_the_example_of_the_deflated_sharpe_ratio_paper() -> None:
    estimate = SharpeEstimate(2.5 / math.sqrt(250), 1250, skew=-3, kurtosis=10)

    assert expected_best(100, 0.5 / 250) == pytest.approx(0.1132, abs=5e-5)
    assert deflated_sharpe(estimate, 100, 0.5 / 250) == pytest.approx(0.9004, abs=5e-5)
    assert deflated_sharpe(estimate, 46, 0.5 / 250) == pytest.approx(0.9505, abs=5e-5)


def test_the_example_of_the_sharpe_ratio_efficient_frontier_paper() -> None:
    assert probabilistic_sharpe(SharpeEstimate(0.458, 24)) == pytest.approx(0.982, abs=1e-3)
    assert probabilistic_sharpe(SharpeEstimate(0.458, 24, -2.448, 10.164)) == pytest.approx(0.913, abs=1e-3)


@pytest.mark.parametrize(("periods", "years"), [(252, 2.73), (52, 2.83), (12, 3.24)])
def test_how_long_a_sharpe_ratio_of_2_must_last_to_be_above_1(periods: int, years: float) -> None:
    needed = minimum_track_record(SharpeEstimate(2 / math.sqrt(periods), 100), 1 / math.sqrt(periods))

    assert needed is not None
    assert needed / periods == pytest.approx(years, abs=0.01)
    assert minimum_track_record(SharpeEstimate(0.1, 100), 0.2) is None


def test_the_expected_best_is_that_of_drawing_it() -> None:
    draws = np.random.default_rng(1).standard_normal((20_000, 100)).max(axis=1)

    assert expected_best(100, 1.0) == pytest.approx(float(draws.mean()), abs=0.03)
    assert expected_best(1, 1.0) == 0


def test_luck_is_sidaks_and_keeps_its_digits_where_it_is_small() -> None:
    estimate = SharpeEstimate(0.1, 901, kurtosis=1)  # a spread of 1: three standard errors

    above = 1 - NormalDist().cdf(3)
    assert luck(estimate, 1) == pytest.approx(above)
    assert luck(estimate, 50) == pytest.approx(1 - (1 - above) ** 50)
    assert 0 < luck(SharpeEstimate(1.0, 901, kurtosis=1), 10) < 1e-190
    assert luck(SharpeEstimate(-1.0, 900), 3) == pytest.approx(1)


def test_an_estimate_has_the_moments_of_its_series() -> None:
    returns = np.random.default_rng(3).gamma(2.0, size=500) - 1.5

    found = SharpeEstimate.of(returns)

    assert found is not None
    centred = returns - returns.mean()
    second = np.mean(centred**2)
    assert found.value == pytest.approx(returns.mean() / np.std(returns, ddof=1))
    assert found.skew == pytest.approx(np.mean(centred**3) / second**1.5)
    assert found.kurtosis == pytest.approx(np.mean(centred**4) / second**2)
    assert SharpeEstimate.of(np.zeros(10)) is None
    assert SharpeEstimate.of(np.ones(1)) is None


def test_cross_validation_agrees_with_doing_it_split_by_split() -> None:
    returns = np.random.default_rng(4).standard_normal((59, 7)) + np.linspace(0, 0.2, 7)

    found = cross_validated(returns, blocks=6)

    assert found is not None
    parts = np.split(returns, np.linspace(0, 59, 7).astype(int)[1:-1])
    logits, losses = [], 0
    for chosen in combinations(range(6), 3):
        inside = np.concatenate([parts[each] for each in chosen])
        outside = np.concatenate([parts[each] for each in range(6) if each not in chosen])
        best = int(np.argmax(inside.mean(axis=0) / inside.std(axis=0, ddof=1)))
        ratios = outside.mean(axis=0) / outside.std(axis=0, ddof=1)
        rank = sorted(ratios).index(ratios[best]) + 1
        logits.append(math.log(rank / (8 - rank)))
        losses += ratios[best] < 0
    assert found.logits == pytest.approx(np.array(logits))
    assert found.probability == pytest.approx(np.mean([each <= 0 for each in logits]))
    assert found.loss == pytest.approx(losses / 20)


def test_overfitting_is_a_toss_of_a_coin_with_noise_and_rare_with_an_edge() -> None:
    noise = [np.random.default_rng(seed).standard_normal((500, 50)) for seed in range(20)]
    edge = noise[0].copy()
    edge[:, 5] += 0.6

    found = [cross_validated(each, blocks=8) for each in noise]
    planted = cross_validated(edge)

    assert np.mean([each.probability for each in found if each]) == pytest.approx(0.5, abs=0.1)
    assert planted is not None
    assert planted.probability == 0
    assert planted.loss == 0


def test_too_little_is_not_cross_validated() -> None:
    assert cross_validated(np.ones((100, 1))) is None
    assert cross_validated(np.ones((20, 3))) is None


def test_trials_that_are_the_same_count_once_and_independent_ones_all() -> None:
    generator = np.random.default_rng(6)
    noise = generator.standard_normal((400, 30))

    assert families(noise).independent == pytest.approx(30, abs=0.5)
    same = families(np.repeat(noise[:, :3], 10, axis=1))
    assert (same.trials, same.families) == (30, 3)
    assert same.independent == pytest.approx(3)
    sweep = np.sqrt(0.7) * generator.standard_normal((400, 1)) + np.sqrt(0.3) * generator.standard_normal((400, 20))
    once, again = families(sweep), families(np.repeat(sweep, 3, axis=1))
    assert again.trials == 60
    assert again.independent == pytest.approx(once.independent)


def test_neighbours_are_one_family_that_counts_for_more_than_one_and_less_than_all() -> None:
    generator = np.random.default_rng(7)
    shared = generator.standard_normal((400, 1))
    found = families(np.sqrt(0.9) * shared + np.sqrt(0.1) * generator.standard_normal((400, 50)))

    assert found.families == 1
    assert 1 < found.independent < 25


def test_trials_that_never_traded_are_one_family_together() -> None:
    series = np.concatenate((np.zeros((100, 9)), np.random.default_rng(8).standard_normal((100, 1))), axis=1)

    assert families(series).independent == pytest.approx(2)
    assert families(np.empty((0, 0)), others=3).independent == 3


def test_the_same_trial_twice_is_cross_validated_as_one() -> None:
    noise = np.random.default_rng(5).normal(size=(160, 3))
    twice = noise[:, [2, 0, 0, 1, 2]]

    once, found = cross_validated(noise[:, [2, 0, 1]], blocks=8), cross_validated(twice, blocks=8)

    assert once is not None
    assert found is not None
    assert np.array_equal(found.logits, once.logits)
    assert set(found.chosen) <= {0, 1, 3}, "the first of those that are the same"
    assert cross_validated(noise[:, [1, 1, 1]], blocks=8) is None
