"""Daily bars as columns."""

from dataclasses import dataclass

from infra.gateway_simulator.market.noise import Floats, Integers


@dataclass(frozen=True)
class Rows:
    """One day a row; prices in units.

    `adjusted` is the close with all later splits and dividends taken out, in whole currency; None where there are none.
    """

    days: Integers  # proleptic ordinals, rising
    prices: Integers  # (days, 4): open, high, low, close
    volumes: Integers
    adjusted: Floats | None = None
