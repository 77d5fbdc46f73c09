"""How much of a Sharpe ratio may be luck, from how many trials it was picked, and whether picking carries over.

Sharpe ratios here are per observation (not annualised) unless a name says otherwise.
Sources: Bailey and Lopez de Prado, "The Sharpe Ratio Efficient Frontier", Journal of Risk 15(2), 2012 (probabilistic
Sharpe, minimum track record); the same, "The Deflated Sharpe Ratio", Journal of Portfolio Management 40(5), 2014;
Bailey, Borwein, Lopez de Prado and Zhu, "The Probability of Backtest Overfitting", Journal of Computational Finance
20(4), 2017 (CSCV, first circulated 2013/2015).
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations, islice
from statistics import NormalDist

import numpy as np

from engine.columns import Floats

EULER_GAMMA = 0.5772156649015329
BLOCKS = 12
"""Into how many blocks of time CSCV cuts by default: 924 ways to choose half of them."""

_NORMAL = NormalDist()
_SPLITS_AT_ONCE = 256


@dataclass(frozen=True)
class SharpeEstimate:
    """A Sharpe ratio per observation with what its uncertainty depends on; `kurtosis` is 3 for a normal law."""

    value: float
    observations: int
    skew: float = 0.0
    kurtosis: float = 3.0

    @classmethod
    def of(cls, returns: Floats) -> "SharpeEstimate | None":
        """The estimate of a series; None when it is shorter than two or never moves."""
        deviation = float(returns.std(ddof=1)) if len(returns) > 1 else 0.0
        if deviation == 0 or not math.isfinite(deviation):
            return None
        standard = (returns - returns.mean()) / returns.std()
        skew, kurtosis = float(np.mean(standard**3)), float(np.mean(standard**4))
        return cls(float(returns.mean()) / deviation, len(returns), skew, kurtosis)

    @property
    def spread(self) -> float:
        """Its standard error times sqrt(observations - 1), after Mertens (2002): 1 for a normal law at Sharpe 0."""
        variance = 1 - self.skew * self.value + (self.kurtosis - 1) / 4 * self.value**2
        return math.sqrt(max(variance, 1e-12))  # zero only where skew and kurtosis are those of no sample

    def distance(self, benchmark: float = 0.0) -> float:
        """How many standard errors it lies above `benchmark`."""
        return (self.value - benchmark) * math.sqrt(max(self.observations - 1, 0)) / self.spread


def probabilistic_sharpe(estimate: SharpeEstimate, benchmark: float = 0.0) -> float:
    """Probability that the true ratio exceeds `benchmark` (2012, equation 6; 2014, equation 1)."""
    return _NORMAL.cdf(estimate.distance(benchmark))


def minimum_track_record(estimate: SharpeEstimate, benchmark: float = 0.0, confidence: float = 0.95) -> float | None:
    """Observations needed before the ratio exceeds `benchmark` with `confidence`; None when it does not exceed it.

    2012, equation 8: 1 + spread**2 * (z / (ratio - benchmark))**2.
    """
    above = estimate.value - benchmark
    return 1 + (estimate.spread * _NORMAL.inv_cdf(confidence) / above) ** 2 if above > 0 else None


def expected_best(trials: float, variance: float) -> float:
    """What the best of `trials` independent ones without any edge is expected to show (2014, equation 1).

    `variance` is that of the ratios across trials. Zero for a single trial.
    """
    if trials <= 1:
        return 0.0
    first, second = _NORMAL.inv_cdf(1 - 1 / trials), _NORMAL.inv_cdf(1 - 1 / (trials * math.e))
    return math.sqrt(variance) * max((1 - EULER_GAMMA) * first + EULER_GAMMA * second, 0.0)


def deflated_sharpe(estimate: SharpeEstimate, trials: float, variance: float) -> float:
    """Probability that the true ratio exceeds what the best of `trials` would show by luck alone (2014, equation 2)."""
    return probabilistic_sharpe(estimate, expected_best(trials, variance))


def luck(estimate: SharpeEstimate, trials: float) -> float:
    """Probability that the best of `trials` independent ones without any edge does at least this well.

    1 - probabilistic_sharpe ** trials (Sidak's correction), computed so that small probabilities survive.
    """
    above = 0.5 * math.erfc(estimate.distance() / math.sqrt(2))
    return 1.0 if above >= 1 else -math.expm1(max(trials, 1.0) * math.log1p(-above))


@dataclass(frozen=True, eq=False)
class Overfitting:
    """What combinatorially symmetric cross-validation found: one value per way to choose half of the blocks.

    `logits` are ln(w / (1 - w)), w the relative rank out of sample of the trial that was best in sample; `chosen`
    which trial that was; `inside` and `outside` its ratios per observation in the chosen half and in the other.
    """

    logits: Floats
    chosen: np.ndarray[tuple[int], np.dtype[np.int64]]
    inside: Floats
    outside: Floats

    @cached_property
    def probability(self) -> float:
        """PBO: how often what is best in sample is below the median out of sample."""
        return float(np.mean(self.logits <= 0))

    @cached_property
    def loss(self) -> float:
        """How often what is best in sample loses out of sample."""
        return float(np.mean(self.outside < 0))

    @cached_property
    def degradation(self) -> float | None:
        """Slope of the ratio out of sample against that in sample; None when the latter never changes."""
        spread = float(np.var(self.inside))
        return float(np.cov(self.inside, self.outside, ddof=0)[0, 1]) / spread if spread > 0 else None


def cross_validated(returns: Floats, blocks: int = BLOCKS) -> Overfitting | None:
    """CSCV over `returns` of shape (times, trials); None with fewer than two trials, or two times a block.

    Every way to choose half of the blocks is a training set, the other half its test. Blocks differ in length by one
    at most. Trials with the same returns are one trial: which of them is chosen says nothing of any. Ties in rank
    share their mean. Cost: splits x trials, in chunks.
    """
    assert blocks % 2 == 0, "half of the blocks are chosen"
    first = {series.tobytes(): place for place, series in reversed(list(enumerate(np.ascontiguousarray(returns.T))))}
    distinct = np.array(sorted(first.values()), dtype=np.int64)
    returns = returns[:, distinct]
    times, trials = returns.shape
    if trials < 2 or times < 2 * blocks:
        return None
    edges = np.linspace(0, times, blocks + 1).astype(np.int64)
    counts = np.diff(edges).astype(np.float64)
    sums = np.add.reduceat(returns, edges[:-1], axis=0)
    squares = np.add.reduceat(returns * returns, edges[:-1], axis=0)
    parts = [_ranked(each, counts, sums, squares) for each in _halves(blocks)]
    logits, chosen, inside, outside = (np.concatenate(each) for each in zip(*parts, strict=True))
    return Overfitting(logits, distinct[chosen.astype(np.int64)], inside, outside)


def _halves(blocks: int) -> Iterator[Floats]:
    """Chunks of a matrix (splits, blocks): 1 where a block is in the training half."""
    ways = combinations(range(blocks), blocks // 2)
    while some := list(islice(ways, _SPLITS_AT_ONCE)):
        chosen = np.zeros((len(some), blocks))
        np.put_along_axis(chosen, np.array(some), 1.0, axis=1)
        yield chosen


def _ranked(halves: Floats, counts: Floats, sums: Floats, squares: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    inside = _ratios(halves, counts, sums, squares)
    outside = _ratios(1 - halves, counts, sums, squares)
    best = np.argmax(inside, axis=1)
    rows = np.arange(len(best))
    own = outside[rows, best][:, None]
    rank = np.sum(outside < own, axis=1) + (np.sum(outside == own, axis=1) + 1) / 2
    relative = rank / (outside.shape[1] + 1)
    return np.log(relative / (1 - relative)), best.astype(np.float64), inside[rows, best], own[:, 0]


def _ratios(halves: Floats, counts: Floats, sums: Floats, squares: Floats) -> Floats:
    """Sharpe ratios (ddof 1) of each trial over the blocks of each half; zero where a series never moves."""
    number = (halves @ counts)[:, None]
    mean = halves @ sums / number
    variance = np.maximum((halves @ squares - number * mean * mean) / (number - 1), 0.0)
    still = variance <= 1e-14 * np.maximum(mean * mean, 1e-30)
    return np.where(still, 0.0, mean / np.sqrt(np.where(still, 1.0, variance)))
