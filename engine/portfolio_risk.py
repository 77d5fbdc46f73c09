"""What positions could lose: exposure, concentration, value at risk and expected shortfall.

Value at risk by historical simulation: today's positions over the price changes of past sessions (J. C. Hull, Options,
Futures, and Other Derivatives, the chapter on value at risk). Expected shortfall is the mean of the losses in the tail
that value at risk cuts off (C. Acerbi and D. Tasche, On the coherence of expected shortfall, 2002). No distribution is
assumed, and nothing that has not happened in those sessions is foreseen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.columns import Floats

SESSIONS_MIN = 60
"""Fewer past sessions than this say nothing about a tail."""


@dataclass(frozen=True)
class Tail:
    """Losses of one day, positive, in the currency of the values that came in."""

    confidence: float
    value_at_risk: float
    expected_shortfall: float


@dataclass(frozen=True)
class Concentration:
    """How much of the gross value is in how few hands."""

    largest_share: float
    herfindahl: float
    """Sum of squared shares: 1 for a single position, 1/n for n equal ones."""


def tail_of(outcomes: Floats, confidence: float) -> Tail:
    """Of profits and losses, one a session: the loss that is passed in a share of 1 - `confidence` of them."""
    if not 0.5 <= confidence < 1:
        raise ValueError(f"a confidence of {confidence} leaves no tail: it lies from 0.5 to below 1")
    if len(outcomes) == 0:
        raise ValueError("without past sessions there is no value at risk")
    losses = np.sort(-outcomes)[::-1]
    # of n losses the worst k = floor(n (1 - c)) lie beyond; the smallest of the tail is the value at risk
    beyond = max(1, int(np.floor(len(losses) * (1 - confidence) + 1e-9)))
    tail = losses[:beyond]
    return Tail(confidence, max(0.0, float(tail[-1])), max(0.0, float(tail.mean())))


def outcomes_of(values: Mapping[int, float], closes: Mapping[int, Mapping[str, float]]) -> Floats:
    """What `values` (by contract, signed) would have earned over each session for which every contract has a close
    that day and the session before."""
    held = [contract for contract, value in values.items() if value]
    if not held or any(contract not in closes for contract in held):
        return np.empty(0, dtype=np.float64)
    days = sorted(set.intersection(*(set(closes[contract]) for contract in held)))
    prices = np.array([[closes[contract][day] for day in days] for contract in held], dtype=np.float64)
    if prices.shape[1] < 2:
        return np.empty(0, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = prices[:, 1:] / prices[:, :-1] - 1
    returns = returns[:, np.isfinite(returns).all(axis=0)]
    worth = np.array([values[contract] for contract in held], dtype=np.float64)
    found: Floats = worth @ returns
    return found


def concentration_of(values: Sequence[float]) -> Concentration | None:
    """None when nothing is held."""
    sizes = np.abs(np.array(values, dtype=np.float64))
    total = float(sizes.sum())
    if not total:
        return None
    shares = sizes / total
    return Concentration(float(shares.max()), float(np.square(shares).sum()))
