"""The figures of a run, as typed fields with their definitions."""

import math
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

_DIGITS = 12


def rounded(value: float | None) -> float | None:
    """To 12 significant digits: below that, processors differ in the last bits of logarithms and powers."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{_DIGITS}g}")


Figure = Annotated[float | None, BeforeValidator(rounded)]


class StrategyMetrics(BaseModel):
    """The figures of one run; None where the run is too short or a divisor is zero.

    A session is a UTC date on which a bar ended (at midnight: the date before). Session returns are
    `equity / equity of the session before - 1`, the first against the starting cash. `periods_per_year` is 252 for
    daily sessions, 365 when at least a tenth of them fall on Saturdays and Sundays, and 365.25 over their median
    distance in days when that exceeds 4 days. The risk-free rate is 0. Trades are closed round trips, net of
    commission and slippage. Figures against a benchmark are None without one. Fractions, not per cent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    final_equity: Figure
    total_return: Figure
    """final_equity / starting cash - 1."""
    annualised_return: Figure
    """(1 + total_return) ** (periods_per_year / sessions) - 1."""
    cagr: Figure
    """(1 + total_return) ** (365.25 / days from the first bar's end to the last) - 1; None within less than 30 days."""
    annualised_volatility: Figure
    """Standard deviation (ddof 1) of session returns times sqrt(periods_per_year)."""
    downside_deviation: Figure
    """Root of the mean square of negative session returns (others count as 0), times sqrt(periods_per_year)."""
    sharpe: Figure
    """Mean over standard deviation (ddof 1) of session returns, times sqrt(periods_per_year)."""
    sortino: Figure
    """Mean session return times periods_per_year over downside_deviation (Sortino and Price 1994, target 0)."""
    omega: Figure
    """Sum of positive session returns over the size of the sum of negative ones (Keating and Shadwick 2002,
    threshold 0)."""
    calmar: Figure
    """annualised_return over the size of max_drawdown."""
    max_drawdown: Figure
    """Least of equity / highest equity so far - 1, at every bar; zero or negative."""
    max_drawdown_days: Figure
    """Longest time from a high of equity until it is reached again, or until the end, in days."""
    average_drawdown: Figure
    """Mean of the deepest points of all drawdowns, each from leaving a high until it is reached again."""
    average_drawdown_days: Figure
    """Mean length of those drawdowns, in days; the last may be unfinished."""
    time_under_water: Figure
    """Fraction of the bars' ends below a high."""
    recovery_factor: Figure
    """total_return over the size of max_drawdown."""
    ulcer_index: Figure
    """Root mean square of the drawdown at every bar (Martin 1987)."""
    trades: Figure
    open_trades: Figure
    fills: Figure
    win_rate: Figure
    """Trades with a profit, as a fraction of all."""
    profit_factor: Figure
    """Sum of profits over the sum of losses."""
    payoff_ratio: Figure
    """average_win over the size of average_loss."""
    kelly: Figure
    """Kelly's fraction: win_rate - (1 - win_rate) / payoff_ratio."""
    sqn: Figure
    """System quality number (Tharp): mean over standard deviation (ddof 1) of the profits of trades, times the square
    root of their number."""
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
    longest_winning_streak: Figure
    longest_losing_streak: Figure
    average_mae: Figure
    """Mean of the trades' maximum adverse excursions: worst price seen while held against the entry price, as a
    fraction of it, zero or negative (Sweeney 1996)."""
    average_mfe: Figure
    """Mean of the trades' maximum favourable excursions, zero or positive."""
    exposure: Figure
    """Fraction of the bars' ends at which anything was held."""
    average_gross_exposure: Figure
    """Mean of gross positions over equity."""
    turnover: Figure
    """Traded value over mean equity, over the whole run."""
    best_session: Figure
    worst_session: Figure
    best_month: Figure
    worst_month: Figure
    positive_months: Figure
    """Fraction of the calendar months (UTC) with a return above zero."""
    skew: Figure
    """Third standardised moment of session returns (population)."""
    kurtosis: Figure
    """Fourth standardised moment of session returns (population) minus 3."""
    var_95: Figure
    """The 5 % quantile of session returns, linearly interpolated; usually negative."""
    cvar_95: Figure
    """Mean of the session returns at or below var_95 (expected shortfall)."""
    var_99: Figure
    cvar_99: Figure
    """The same at 1 %."""
    tail_ratio: Figure
    """The 95 % quantile over the size of the 5 % quantile of session returns."""
    commission_paid: Figure
    slippage_paid: Figure
    cost_share: Figure
    """Commission and slippage over what the closed trades earned before them; None when they earned nothing."""
    sessions: Figure
    periods_per_year: Figure
    benchmark_return: Figure
    """Total return of the benchmark over the same sessions."""
    benchmark_sharpe: Figure
    benchmark_max_drawdown: Figure
    """Of the benchmark, from session to session."""
    excess_return: Figure
    """total_return - benchmark_return."""
    alpha: Figure
    """Jensen's (1968), risk-free rate 0: (mean session return - beta * the benchmark's) times periods_per_year."""
    beta: Figure
    """Covariance of session returns with the benchmark's over the benchmark's variance."""
    correlation: Figure
    """Pearson's, of the session returns with the benchmark's."""
    tracking_error: Figure
    """Standard deviation (ddof 1) of the differences of session returns, times sqrt(periods_per_year)."""
    information_ratio: Figure
    """Mean of those differences times periods_per_year over tracking_error."""
    up_capture: Figure
    """Geometric mean session return over the benchmark's, in the sessions in which the benchmark rose (Morningstar)."""
    down_capture: Figure
    """The same where it fell."""
