"""The figures of a run, computed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.columns import BarColumns, Floats, Integers
from engine.exchange import Execution
from engine.executions import ExecutionColumns
from engine.ledger import Curve, RoundTrip
from engine.statistics.benchmark import against
from engine.statistics.drawdown import of_drawdowns
from engine.statistics.excursions import excursions
from engine.statistics.model import StrategyMetrics
from engine.statistics.sessions import DAY_US, periods_per_year, session_ends, session_returns

_DAYS_MIN = 30
_RETURNS = (
    "annualised_volatility", "downside_deviation", "sharpe", "sortino", "omega", "best_session", "worst_session",
    "best_month", "worst_month", "positive_months", "skew", "kurtosis", "var_95", "cvar_95", "var_99", "cvar_99",
    "tail_ratio",
)  # fmt: skip


def metrics(
    curve: Curve,
    trips: Sequence[RoundTrip],
    executions: Sequence[Execution],
    columns: BarColumns | None = None,
    benchmark: Floats | None = None,
) -> StrategyMetrics:
    """All figures of a run. `columns` are the bars that trips were held over (without them excursions are None),
    `benchmark` the value of a benchmark at each of the curve's times.
    """
    ends = session_ends(curve.times_us)
    periods = periods_per_year(curve.times_us[ends])
    returns = session_returns(curve, ends)
    theirs = np.empty(0) if benchmark is None else session_returns(_like(curve, benchmark), ends)
    return StrategyMetrics(
        **of_money(Sums.of(curve, executions), of_drawdowns(curve), periods, len(ends)),
        **of_returns(returns, curve.times_us[ends], periods),
        **of_trades(Closed.of(trips)),
        **_of_excursions(columns, trips),
        **against(returns, theirs, periods),
    )


@dataclass(frozen=True)
class Sums:
    """What a curve and its executions add up to."""

    began_with: float
    final: float
    first_us: int
    last_us: int
    mean_equity: float
    mean_gross: float
    exposure: float
    traded: float
    commission: float
    slippage: float
    fills: int

    @classmethod
    def of(cls, curve: Curve, executions: Sequence[Execution]) -> "Sums":
        """Of a whole run."""
        done = ExecutionColumns.of(executions)
        return cls(
            curve.cash,
            float(curve.equity[-1]),
            int(curve.times_us[0]),
            int(curve.times_us[-1]),
            float(curve.equity.mean()),
            float(curve.gross.mean()),
            float(np.count_nonzero(curve.gross) / len(curve.gross)),
            float(np.abs(done.quantity * done.price).sum()),
            float(done.commission.sum()),
            float((np.abs(done.quantity) * done.slippage).sum()),
            len(executions),
        )


@dataclass(frozen=True)
class Closed:
    """Of each closed round trip, in the order of their end, what figures are made of; and how many are open."""

    profits: Sequence[float]
    gains: Sequence[float]
    """Where there is one: see `RoundTrip.gain`."""
    bars: Sequence[float]
    costs: Sequence[float]
    still_open: int

    @classmethod
    def of(cls, trips: Sequence[RoundTrip]) -> "Closed":
        """Of all round trips."""
        closed = [trip for trip in trips if not trip.open]
        return cls(
            [trip.pnl for trip in closed],
            [trip.gain for trip in closed if trip.gain is not None],
            [trip.bars for trip in closed],
            [trip.commission + trip.slippage for trip in closed],
            len(trips) - len(closed),
        )


def _like(curve: Curve, benchmark: Floats) -> Curve:
    return Curve(curve.times_us, benchmark, np.zeros(len(benchmark)), curve.cash)


def of_money(
    sums: Sums, below: Mapping[str, float | None], periods: float | None, sessions: int
) -> dict[str, float | None]:
    """The figures about equity and costs; `below` are those of `of_drawdowns`."""
    total = sums.final / sums.began_with - 1
    annual = _power(1 + total, periods / sessions) if periods is not None else None
    days = float(sums.last_us - sums.first_us) / DAY_US
    return {
        **below,
        "final_equity": sums.final,
        "total_return": total,
        "annualised_return": annual,
        "cagr": _power(1 + total, 365.25 / days) if days >= _DAYS_MIN else None,
        "calmar": _ratio(annual, -(below["max_drawdown"] or 0.0)),
        "recovery_factor": _ratio(total, -(below["max_drawdown"] or 0.0)),
        "exposure": sums.exposure,
        "average_gross_exposure": _ratio(sums.mean_gross, sums.mean_equity),
        "turnover": _ratio(sums.traded, sums.mean_equity),
        "commission_paid": sums.commission,
        "slippage_paid": sums.slippage,
        "fills": sums.fills,
        "sessions": sessions,
        "periods_per_year": periods,
    }


def of_returns(returns: Floats, ends_us: Integers, periods: float | None) -> dict[str, float | None]:
    """The figures about session returns."""
    if len(returns) < 2 or periods is None:
        return dict.fromkeys(_RETURNS)
    year = math.sqrt(periods)
    mean, deviation = float(returns.mean()), float(returns.std(ddof=1))
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0) ** 2)))
    population = float(returns.std())
    standard = (returns - mean) / population if population > 0 else None
    lowest, low, high = (float(each) for each in np.quantile(returns, (0.01, 0.05, 0.95)))
    sortino = _ratio(mean, downside)
    months = _months(returns, ends_us)
    return {
        "annualised_volatility": deviation * year,
        "downside_deviation": downside * year,
        "sharpe": sharpe_of(returns, periods),
        "sortino": None if sortino is None else sortino * year,
        "omega": _ratio(float(np.maximum(returns, 0).sum()), -float(np.minimum(returns, 0).sum())),
        "best_session": float(returns.max()),
        "worst_session": float(returns.min()),
        "best_month": float(months.max()),
        "worst_month": float(months.min()),
        "positive_months": float(np.count_nonzero(months > 0) / len(months)),
        "skew": None if standard is None else float(np.mean(standard**3)),
        "kurtosis": None if standard is None else float(np.mean(standard**4)) - 3,
        "var_95": low,
        "cvar_95": float(returns[returns <= low].mean()),
        "var_99": lowest,
        "cvar_99": float(returns[returns <= lowest].mean()),
        "tail_ratio": _ratio(high, abs(low)),
    }


def sharpe_of(returns: Floats, periods: float | None) -> float | None:
    """Of session returns, per year."""
    if len(returns) < 2 or periods is None:
        return None
    sharpe = _ratio(float(returns.mean()), float(returns.std(ddof=1)))
    return None if sharpe is None else sharpe * math.sqrt(periods)


def _months(returns: Floats, ends_us: Integers) -> Floats:
    """Compounded returns of the calendar months."""
    months = (ends_us - 1).astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    begins = np.concatenate(([0], np.flatnonzero(np.diff(months)) + 1))
    return np.multiply.reduceat(1 + returns, begins) - 1


def _of_excursions(columns: BarColumns | None, trips: Sequence[RoundTrip]) -> dict[str, float | None]:
    closed = [trip for trip in trips if not trip.open]
    if columns is None or not closed:
        return {"average_mae": None, "average_mfe": None}
    adverse, favourable = excursions(columns, closed)
    return {"average_mae": float(adverse.mean()), "average_mfe": float(favourable.mean())}


def of_trades(closed: Closed) -> dict[str, float | None]:
    """The figures about round trips."""
    profits, gains, count = closed.profits, closed.gains, len(closed.profits)
    wins, losses = [each for each in profits if each > 0], [each for each in profits if each < 0]
    rate, payoff = _ratio(len(wins), count), _payoff(wins, losses)
    costs = sum(closed.costs)
    before = sum(profits) + costs
    return {
        "trades": count,
        "open_trades": closed.still_open,
        "win_rate": rate,
        "profit_factor": _ratio(sum(wins), -sum(losses)),
        "payoff_ratio": payoff,
        "kelly": rate - (1 - rate) / payoff if rate is not None and payoff else None,
        "sqn": _sqn(profits),
        "expectancy": _ratio(sum(profits), count),
        "average_win": _ratio(sum(wins), len(wins)),
        "average_loss": _ratio(sum(losses), len(losses)),
        "best_trade": max(profits, default=None),
        "worst_trade": min(profits, default=None),
        "average_trade_return": _ratio(sum(gains), len(gains)),
        "average_bars_held": _ratio(sum(closed.bars), count),
        "longest_winning_streak": _longest_streak([profit > 0 for profit in profits]),
        "longest_losing_streak": _longest_streak([profit < 0 for profit in profits]),
        "cost_share": costs / before if before > 0 else None,
    }


def _payoff(wins: Sequence[float], losses: Sequence[float]) -> float | None:
    return (sum(wins) / len(wins)) / (-sum(losses) / len(losses)) if wins and losses else None


def _sqn(profits: Sequence[float]) -> float | None:
    if len(profits) < 2:
        return None
    deviation = float(np.std(profits, ddof=1))
    return float(np.mean(profits)) / deviation * math.sqrt(len(profits)) if deviation > 0 else None


def _longest_streak(held: Sequence[bool]) -> int:
    longest = running = 0
    for holds in held:
        running = running + 1 if holds else 0
        longest = max(longest, running)
    return longest


def _ratio(part: float | None, whole: float) -> float | None:
    return part / whole if part is not None and whole else None


def _power(base: float, exponent: float) -> float | None:
    if base <= 0:
        return None
    try:
        return float(base**exponent) - 1
    except OverflowError:
        return None
