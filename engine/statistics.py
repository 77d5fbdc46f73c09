"""What a backtest's equity and round trips amount to, as typed figures with their definitions."""

import math
from collections.abc import Sequence
from typing import Annotated

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict

from engine.columns import Floats, Integers
from engine.exchange import Execution
from engine.ledger import Curve, RoundTrip

_DAY_US = 86_400_000_000
_DIGITS = 12


def _rounded(value: float | None) -> float | None:
    """To 12 significant digits: below that, processors differ in the last bits of logarithms and powers."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


Figure = Annotated[float | None, BeforeValidator(_rounded)]


class StrategyMetrics(BaseModel):
    """The figures of one run; None where the run is too short or a divisor is zero.

    A session is a UTC date on which a bar ended (at midnight: the date before). Session returns are
    `equity / equity of the session before - 1`, the first against the starting cash. `periods_per_year` is 252 for
    daily sessions, 365 when at least a tenth of them fall on Saturdays and Sundays, and 365.25 over their median
    distance in days when that exceeds 4 days. The risk-free rate is 0. Trades are closed round trips, net of
    commission and slippage. Fractions, not per cent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    final_equity: Figure
    total_return: Figure
    """final_equity / starting cash - 1."""
    annualised_return: Figure
    """(1 + total_return) ** (periods_per_year / sessions) - 1."""
    annualised_volatility: Figure
    """Standard deviation (ddof 1) of session returns times sqrt(periods_per_year)."""
    sharpe: Figure
    """Mean over standard deviation (ddof 1) of session returns, times sqrt(periods_per_year)."""
    sortino: Figure
    """Mean over the root of the mean square of negative session returns, times sqrt(periods_per_year)."""
    calmar: Figure
    """annualised_return over the size of max_drawdown."""
    max_drawdown: Figure
    """Least of equity / highest equity so far - 1, at every bar; zero or negative."""
    max_drawdown_days: Figure
    """Longest time from a high of equity until it is reached again, or until the end, in days."""
    ulcer_index: Figure
    """Root mean square of the drawdown at every bar."""
    trades: Figure
    open_trades: Figure
    fills: Figure
    win_rate: Figure
    """Trades with a profit, as a fraction of all."""
    profit_factor: Figure
    """Sum of profits over the sum of losses."""
    expectancy: Figure
    """Mean profit of a trade, in money."""
    average_win: Figure
    average_loss: Figure
    """Mean of the losing trades, negative, in money."""
    best_trade: Figure
    worst_trade: Figure
    average_trade_return: Figure
    """Mean profit of a trade as a fraction of what was put in."""
    average_bars_held: Figure
    longest_losing_streak: Figure
    exposure: Figure
    """Fraction of the bars' ends at which anything was held."""
    average_gross_exposure: Figure
    """Mean of gross positions over equity."""
    turnover: Figure
    """Traded value over mean equity, over the whole run."""
    best_session: Figure
    worst_session: Figure
    skew: Figure
    """Third standardised moment of session returns (population)."""
    kurtosis: Figure
    """Fourth standardised moment of session returns (population) minus 3."""
    var_95: Figure
    """The 5 % quantile of session returns, linearly interpolated; usually negative."""
    cvar_95: Figure
    """Mean of the session returns at or below var_95."""
    tail_ratio: Figure
    """The 95 % quantile over the size of the 5 % quantile of session returns."""
    commission_paid: Figure
    slippage_paid: Figure
    sessions: Figure
    periods_per_year: Figure


def metrics(curve: Curve, trips: Sequence[RoundTrip], executions: Sequence[Execution]) -> StrategyMetrics:
    """All figures of a run."""
    ends = session_ends(curve.times_us)
    periods = periods_per_year(curve.times_us[ends])
    equity = np.concatenate(([curve.cash], curve.equity[ends]))
    final = float(curve.equity[-1])
    total = final / curve.cash - 1
    annual = _power(1 + total, periods / len(ends)) if periods is not None else None
    depth, days, ulcer = _drawdown(curve)
    figures: dict[str, float | None] = {
        "final_equity": final,
        "total_return": total,
        "annualised_return": annual,
        "max_drawdown": depth,
        "max_drawdown_days": days,
        "ulcer_index": ulcer,
        "calmar": _ratio(annual, -depth),
        "exposure": float(np.count_nonzero(curve.gross) / len(curve.gross)),
        "average_gross_exposure": _ratio(float(curve.gross.mean()), float(curve.equity.mean())),
        "turnover": _ratio(sum(abs(each.quantity * each.price) for each in executions), float(curve.equity.mean())),
        "commission_paid": sum(each.commission for each in executions),
        "slippage_paid": sum(abs(each.quantity) * each.slippage for each in executions),
        "fills": len(executions),
        "sessions": len(ends),
        "periods_per_year": periods,
    }
    usable = len(equity) > 2 and bool((equity > 0).all())
    returns = equity[1:] / equity[:-1] - 1 if usable else np.empty(0)
    return StrategyMetrics(**figures, **_of_returns(returns, periods), **_of_trades(trips))


def session_ends(times_us: Integers) -> Integers:
    """Positions of the last time of each UTC date; midnight belongs to the date before."""
    days = (times_us - 1) // _DAY_US
    return np.append(np.flatnonzero(np.diff(days)), len(times_us) - 1)


def periods_per_year(ends_us: Integers) -> float | None:
    """How many sessions a year has, from where they end; None for fewer than two."""
    if len(ends_us) < 2:
        return None
    distance = float(np.median(np.diff(ends_us))) / _DAY_US
    if distance > 4:
        return 365.25 / distance
    weekday = ((ends_us - 1) // _DAY_US + 3) % 7  # 1970-01-01 was a Thursday; Monday is 0
    return 365.0 if np.count_nonzero(weekday >= 5) >= 0.1 * len(ends_us) else 252.0


def drawdowns(curve: Curve) -> Floats:
    """`equity / highest equity so far - 1` at every time, the starting cash counted as the first high."""
    high = np.maximum(np.maximum.accumulate(curve.equity), curve.cash)
    return curve.equity / high - 1


def _drawdown(curve: Curve) -> tuple[float, float, float]:
    """Depth, longest duration in days, and root mean square."""
    below = drawdowns(curve)
    at_high = np.flatnonzero(below >= 0)
    highs = np.concatenate((curve.times_us[:1], curve.times_us[at_high], curve.times_us[-1:]))
    longest = float(np.diff(highs).max()) / _DAY_US if below.min() < 0 else 0.0
    return float(below.min()), longest, math.sqrt(float(np.mean(below * below)))


def _of_returns(returns: Floats, periods: float | None) -> dict[str, float | None]:
    names = (
        "annualised_volatility", "sharpe", "sortino", "best_session", "worst_session", "skew", "kurtosis", "var_95",
        "cvar_95", "tail_ratio",
    )  # fmt: skip
    if len(returns) < 2 or periods is None:
        return dict.fromkeys(names)
    year = math.sqrt(periods)
    mean, deviation = float(returns.mean()), float(returns.std(ddof=1))
    downside = math.sqrt(float(np.mean(np.minimum(returns, 0) ** 2)))
    population = float(returns.std())
    standard = (returns - mean) / population if population > 0 else None
    low, high = (float(each) for each in np.quantile(returns, (0.05, 0.95)))
    sharpe, sortino = _ratio(mean, deviation), _ratio(mean, downside)
    return {
        "annualised_volatility": deviation * year,
        "sharpe": None if sharpe is None else sharpe * year,
        "sortino": None if sortino is None else sortino * year,
        "best_session": float(returns.max()),
        "worst_session": float(returns.min()),
        "skew": None if standard is None else float(np.mean(standard**3)),
        "kurtosis": None if standard is None else float(np.mean(standard**4)) - 3,
        "var_95": low,
        "cvar_95": float(returns[returns <= low].mean()),
        "tail_ratio": _ratio(high, abs(low)),
    }


def _of_trades(trips: Sequence[RoundTrip]) -> dict[str, float | None]:
    closed = [trip for trip in trips if not trip.open]
    profits = [trip.pnl for trip in closed]
    wins, losses = [each for each in profits if each > 0], [each for each in profits if each < 0]
    gains = [trip.gain for trip in closed if trip.gain is not None]
    return {
        "trades": len(closed),
        "open_trades": len(trips) - len(closed),
        "win_rate": _ratio(len(wins), len(closed)),
        "profit_factor": _ratio(sum(wins), -sum(losses)),
        "expectancy": _ratio(sum(profits), len(closed)),
        "average_win": _ratio(sum(wins), len(wins)),
        "average_loss": _ratio(sum(losses), len(losses)),
        "best_trade": max(profits, default=None),
        "worst_trade": min(profits, default=None),
        "average_trade_return": _ratio(sum(gains), len(gains)),
        "average_bars_held": _ratio(sum(trip.bars for trip in closed), len(closed)),
        "longest_losing_streak": _longest_streak(profits),
    }


def _longest_streak(profits: Sequence[float]) -> int:
    longest = running = 0
    for profit in profits:
        running = running + 1 if profit < 0 else 0
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
