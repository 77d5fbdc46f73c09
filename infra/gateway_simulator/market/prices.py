"""Prices as whole numbers, and the increments in which exchanges quote them.

A price is a whole number of hundred-thousandths of its currency (`UNITS` to the dollar), so that half a pip fits.
"""

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.gateway_simulator.market.noise import Floats, Integers

UNITS = 100_000
CENT = UNITS // 100


@dataclass(frozen=True)
class PriceRule:
    """One of IB's market rules: from each low edge on, prices are multiples of an increment. In units, rising."""

    number: int
    steps: tuple[tuple[int, int], ...]

    @cached_property
    def least(self) -> int:
        """The smallest increment, which is also the lowest price."""
        return min(step for _, step in self.steps)

    @property
    def min_tick(self) -> Decimal:
        return Decimal(self.least) / UNITS

    def step_at(self, price: int) -> int:
        found = self.steps[0][1]
        for edge, step in self.steps:
            if price >= edge:
                found = step
        return found

    def fits(self, price: Decimal) -> bool:
        """Whether an order may have that price."""
        units = abs(price) * UNITS
        return units % self.step_at(int(units)) == 0

    def bid_of(self, last: int) -> int:
        """The best bid beside a last trade: an increment below."""
        step = self.step_at(max(last - self.least, 0))
        return max(last // step - 1, 1) * step

    def ask_of(self, last: int) -> int:
        """The best offer beside a last trade: an increment above."""
        step = self.step_at(last)
        return max(-(-last // step) + 1, 2) * step

    def steps_of(self, prices: npt.NDArray[Any]) -> Integers | int:
        """The increment at each price; one number where the rule has but one."""
        if len(self.steps) == 1:
            return self.steps[0][1]
        edges = np.array([edge for edge, _ in self.steps], dtype=np.int64)
        sizes = np.array([step for _, step in self.steps], dtype=np.int64)
        found: Integers = sizes[np.maximum(np.searchsorted(edges, prices, side="right") - 1, 0)]
        return found

    def whole(self, prices: Integers) -> Integers:
        """Prices rounded down to the increments that hold where they are."""
        if len(self.steps) == 1:
            return prices  # an increment more or less is whole as well
        found: Integers = prices // self.steps_of(prices) * self.steps_of(prices)
        return found

    def nearest(self, prices: npt.NDArray[np.floating[Any]]) -> Floats:
        """Prices rounded to the increments that hold where they are."""
        step = self.steps_of(prices)
        rounded: Floats = np.rint(prices / step) * step
        return rounded


def in_steps(number: int, *steps: tuple[str, str]) -> PriceRule:
    """A rule from its low edges and increments as decimals."""
    return PriceRule(number, tuple((int(Decimal(edge) * UNITS), int(Decimal(step) * UNITS)) for edge, step in steps))


US_STOCKS = in_steps(26, ("0", "0.01"))
