"""The few figures that are kept of every run, without those that nobody asked for; the same to the last digit."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from engine.columns import Floats, Integers
from engine.exchange import Execution
from engine.executions import ExecutionColumns
from engine.ledger import Curve, RoundTrip
from engine.statistics.drawdown import drawdowns
from engine.statistics.figures import sharpe_of
from engine.statistics.model import rounded
from engine.statistics.sessions import periods_per_year, session_ends, session_returns

_EXACT_MAX = 2.0**52


class Brief:
    """Each figure as in `StrategyMetrics`, computed when it is asked for. `trips` gives the round trips where they
    are needed."""

    NAMES = frozenset(
        {"final_equity", "total_return", "sharpe", "max_drawdown", "fills", "trades", "sessions", "periods_per_year"}
    )
    """What there is."""

    def __init__(
        self, curve: Curve, executions: Sequence[Execution], trips: Callable[[], Sequence[RoundTrip]], *, turned: bool
    ) -> None:
        self._curve = curve
        self._executions = executions
        self._trips = trips
        self._turned = turned  # splits change what is held, which executions alone do not tell

    def figure(self, name: str) -> float | None:
        """One of NAMES."""
        found: float | None = getattr(self, name)
        return found

    @cached_property
    def ends(self) -> Integers:
        """See `session_ends`."""
        return session_ends(self._curve.times_us)

    @cached_property
    def returns(self) -> Floats:
        """See `session_returns`."""
        return session_returns(self._curve, self.ends)

    @property
    def final_equity(self) -> float | None:
        return rounded(float(self._curve.equity[-1]))

    @property
    def total_return(self) -> float | None:
        return rounded(float(self._curve.equity[-1]) / self._curve.cash - 1)

    @cached_property
    def sharpe(self) -> float | None:
        return rounded(sharpe_of(self.returns, self._periods))

    @property
    def max_drawdown(self) -> float | None:
        return rounded(float(drawdowns(self._curve).min()))

    @property
    def fills(self) -> float | None:
        return float(len(self._executions))

    @cached_property
    def trades(self) -> float | None:
        done = ExecutionColumns.of(self._executions)
        size = float(np.abs(done.quantity).sum())
        if self._turned or size > _EXACT_MAX or not bool((done.quantity == np.rint(done.quantity)).all()):
            return float(sum(not trip.open for trip in self._trips()))
        return float(_ended(done))

    @property
    def sessions(self) -> float | None:
        return float(len(self.ends))

    @property
    def periods_per_year(self) -> float | None:
        return rounded(self._periods)

    @cached_property
    def _periods(self) -> float | None:
        return periods_per_year(self._curve.times_us[self.ends])


def _ended(done: ExecutionColumns) -> int:
    """How many of them ended a round trip, of whole shares: sums are exact."""
    quantity, contract = done.quantity, done.contract_id
    if not len(quantity):
        return 0
    order = np.argsort(contract, kind="stable")
    quantity, contract = quantity[order], contract[order]
    after = np.cumsum(quantity)
    begins = np.flatnonzero(np.diff(contract, prepend=contract[0] - 1))
    earlier = after[begins] - quantity[begins]  # what contracts before this one hold
    after = after - np.repeat(earlier, np.diff(begins, append=len(quantity)))
    before = after - quantity
    return int(np.count_nonzero((before != 0) & (before * after <= 0)))
