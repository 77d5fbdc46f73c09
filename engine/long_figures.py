"""What an equity curve adds up to, piece after piece: the figures that look at every bar."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from engine.columns import COLUMNS, BarColumns, Floats, Integers
from engine.exchange import Execution
from engine.long_run import Played
from engine.statistics.figures import Sums
from engine.statistics.sessions import DAY_US

_NO_ENDS = np.empty(0, dtype=np.int64)


@dataclass
class CurveSums:
    """As `Sums.of` and `of_drawdowns` over the whole curve, means aside, which are summed up in another order."""

    cash: float
    _times: int = 0
    _first_us: int = 0
    _last_us: int = 0
    _final: float = 0.0
    _equity: float = 0.0
    _gross: float = 0.0
    _held: int = 0
    _traded: float = 0.0
    _commission: float = 0.0
    _slippage: float = 0.0
    _fills: int = 0
    lowest: float = math.inf

    def take(self, played: Played) -> None:
        """One piece more."""
        if not self._times:
            self._first_us = int(played.times_us[0])
        self._times += len(played.times_us)
        self._last_us, self._final = int(played.times_us[-1]), float(played.equity[-1])
        self._equity += float(played.equity.sum())
        self._gross += float(played.gross.sum())
        self._held += int(np.count_nonzero(played.gross))
        self.lowest = min(self.lowest, float(played.equity.min()))
        self._add(played.executions)

    def _add(self, executions: Iterable[Execution]) -> None:
        for each in executions:
            self._traded += abs(each.quantity * each.price)
            self._commission += each.commission
            self._slippage += abs(each.quantity) * each.slippage
            self._fills += 1

    @property
    def fills(self) -> int:
        """How many there were."""
        return self._fills

    def sums(self) -> Sums:
        """Of all pieces."""
        return Sums(
            self.cash,
            self._final,
            self._first_us,
            self._last_us,
            self._equity / self._times,
            self._gross / self._times,
            self._held / self._times,
            self._traded,
            self._commission,
            self._slippage,
            self._fills,
        )


@dataclass
class Depths:
    """Stays below a high, as `engine.statistics.drawdown` finds them in a whole curve."""

    high: float
    """The highest equity so far; at first the starting cash."""
    _times: int = 0
    _below: int = 0
    _squares: float = 0.0
    _deepest: float = 0.0
    _episodes: int = 0
    _depths: float = 0.0
    _lengths_us: int = 0
    _longest_us: int = 0
    _before_us: int = 0
    """The time before the one in hand."""
    _since_us: int | None = None
    _lowest: float = 0.0
    """Of the stay that is not over: since when, and how deep."""

    def take(self, times_us: Integers, equity: Floats) -> None:
        """More of the curve."""
        highs = np.maximum(np.maximum.accumulate(equity), self.high)
        below = equity / highs - 1
        self.high = float(highs[-1])
        if not self._times:
            self._before_us = int(times_us[0])
        self._times += len(below)
        self._below += int(np.count_nonzero(below < 0))
        self._squares += float(np.sum(below * below))
        self._deepest = min(self._deepest, float(below.min()))
        self._stays(times_us, below)
        self._before_us = int(times_us[-1])

    def _stays(self, times_us: Integers, below: Floats) -> None:
        """Each run of times below the high, or not below it."""
        under = below < 0
        edges = [0, *(np.flatnonzero(np.diff(under)) + 1).tolist(), len(under)]
        for first, stop in pairwise(edges):
            if not under[first]:
                if self._since_us is not None:
                    self._over(int(times_us[first]))
                continue
            if self._since_us is None:
                self._since_us = int(times_us[first - 1]) if first else self._before_us
            self._lowest = min(self._lowest, float(below[first:stop].min()))

    def _over(self, until_us: int) -> None:
        assert self._since_us is not None, "what is over has begun"
        length = until_us - self._since_us
        self._episodes += 1
        self._depths += self._lowest
        self._lengths_us += length
        self._longest_us = max(self._longest_us, length)
        self._since_us, self._lowest = None, 0.0

    def figures(self) -> dict[str, float | None]:
        """See `of_drawdowns`; what is not over ends here."""
        if self._since_us is not None:
            self._over(self._before_us)
        count = self._episodes
        return {
            "max_drawdown": self._deepest,
            "max_drawdown_days": self._longest_us / DAY_US,
            "average_drawdown": self._depths / count if count else 0.0,
            "average_drawdown_days": self._lengths_us / count / DAY_US if count else 0.0,
            "time_under_water": self._below / self._times,
            "ulcer_index": math.sqrt(self._squares / self._times),
        }


@dataclass
class Held:
    """A benchmark that was bought and is held, as `engine.statistics.benchmark.buy_and_hold` values it, over bars that
    come in the order of time."""

    cash: float
    contracts: tuple[int, ...]
    bars: Iterator[BarColumns] | None = None
    """Where it is not the run's own bars: its own, which may begin later and end earlier."""
    _first: dict[int, float] = field(default_factory=dict)
    _newest: dict[int, float] = field(default_factory=dict)
    _rest: BarColumns | None = None

    def values(self, columns: BarColumns, times_us: Integers) -> Floats:
        """At `times_us`, the ends of the bars of `columns`, which follow those of the call before."""
        if not self.contracts:
            return np.empty(0)
        known = [columns] if self.bars is None else list(self._until(int(times_us[-1])))
        part, value = self.cash / len(self.contracts), np.zeros(len(times_us))
        for contract_id in self.contracts:
            own = [each.rows[contract_id] for each in known if contract_id in each.rows]
            mine = [each for each in known if contract_id in each.rows]
            closes = np.concatenate([each.close[rows] for each, rows in zip(mine, own, strict=True)] or [np.empty(0)])
            ends = np.concatenate([each.end_us[rows] for each, rows in zip(mine, own, strict=True)] or [_NO_ENDS])
            value += self._worth(contract_id, part, closes, np.searchsorted(ends, times_us, side="right") - 1)
        return value

    def _worth(self, contract_id: int, part: float, closes: Floats, at: Integers) -> Floats:
        """Its part of the cash until its first bar has closed."""
        if contract_id not in self._first and len(closes):
            self._first[contract_id] = float(closes[0])
        first = self._first.get(contract_id, 0.0)
        newest = self._newest.get(contract_id)
        before = part if newest is None or not first > 0 else part * newest / first
        if len(closes):
            self._newest[contract_id] = float(closes[-1])
        if not len(closes) or not first > 0:
            return np.full(len(at), before)
        return np.where(at < 0, before, part * closes[np.maximum(at, 0)] / first)

    def _until(self, time_us: int) -> Iterator[BarColumns]:
        """Its bars that end by a moment, which have not been asked for yet."""
        assert self.bars is not None
        while (rest := self._rest or next(self.bars, None)) is not None:
            count = int(np.searchsorted(rest.end_us, time_us, side="right"))
            if count:
                yield cut(rest, 0, count)
            self._rest = cut(rest, count, len(rest)) if count < len(rest) else None
            if self._rest is not None:
                return


def cut(columns: BarColumns, first: int, stop: int) -> BarColumns:
    """Some of the rows."""
    return replace(columns, **{name: getattr(columns, name)[first:stop] for name in COLUMNS})
