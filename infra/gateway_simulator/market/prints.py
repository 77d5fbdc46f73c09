"""A day's trades as columns, in order: what ticks, one-second bars and histograms are made of."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from infra.gateway_simulator.instruments.calendar import BAR_SECONDS
from infra.gateway_simulator.market.intraday import PRINT_OFFSETS, DayPath
from infra.gateway_simulator.market.noise import Floats, Integers


@dataclass(frozen=True, slots=True)
class Prints:
    """Every trade of a day: seconds after the session's open, price in units, size. Equal to `DayPath.prints`."""

    offset: Floats
    price: Integers
    size: Integers

    @classmethod
    def of(cls, path: DayPath, first: int = 0, last: int | None = None) -> Self:
        """The trades of the bars `first` to `last - 1`, by the rule of `DayPath.prints`."""
        opened, high, low, close = (column[first:last] for column in (path.open, path.high, path.low, path.close))
        volume = path.volume[first:last]
        rising = close >= opened
        way = np.stack([opened, np.where(rising, low, high), np.where(rising, high, low), close])
        turns = np.vstack([np.ones(len(opened), dtype=bool), way[1:] != way[:-1]])
        place = np.cumsum(turns, axis=0) - 1
        count = place[-1] + 1
        share = volume // count
        size = np.where(turns, share, 0)
        size += np.where(turns & (place == count - 1), volume - share * count, 0)
        offset = (first + np.arange(len(opened))) * BAR_SECONDS + np.array(PRINT_OFFSETS)[place]
        happened = (size > 0).T
        return cls(offset.T[happened], way.T[happened], size.T[happened])

    @classmethod
    def none(cls) -> Self:
        return cls(np.zeros(0), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))

    def between(self, begin: float, end: float) -> Self:
        """Those with `begin` <= offset < `end`."""
        first, last = np.searchsorted(self.offset, [begin, end])
        return type(self)(self.offset[first:last], self.price[first:last], self.size[first:last])

    def __len__(self) -> int:
        return len(self.offset)
