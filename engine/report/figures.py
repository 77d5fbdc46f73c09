"""The figures of a run as a table, with the intervals of those that have one."""

from collections.abc import Mapping
from html import escape

from engine.report.words import mood, written
from schemas.backtest import BacktestFinished

GROUPS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "Return": (
        ("final_equity", "Final equity", "amount"),
        ("total_return", "Total return", "percent"),
        ("annualised_return", "A year, by sessions", "percent"),
        ("cagr", "A year, by the calendar", "percent"),
        ("best_session", "Best session", "percent"),
        ("worst_session", "Worst session", "percent"),
        ("best_month", "Best month", "percent"),
        ("worst_month", "Worst month", "percent"),
        ("positive_months", "Months with a gain", "share"),
        ("exposure", "Time in the market", "share"),
        ("average_gross_exposure", "Mean gross exposure", "share"),
        ("turnover", "Turnover", "times"),
    ),
    "Risk": (
        ("annualised_volatility", "Volatility a year", "share"),
        ("downside_deviation", "Downside deviation a year", "share"),
        ("sharpe", "Sharpe ratio", "number"),
        ("sortino", "Sortino ratio", "number"),
        ("calmar", "Calmar ratio", "number"),
        ("omega", "Omega ratio", "number"),
        ("var_95", "Value at risk 95 %", "percent"),
        ("cvar_95", "Expected shortfall 95 %", "percent"),
        ("var_99", "Value at risk 99 %", "percent"),
        ("cvar_99", "Expected shortfall 99 %", "percent"),
        ("skew", "Skew", "number"),
        ("kurtosis", "Excess kurtosis", "number"),
        ("tail_ratio", "Tail ratio", "number"),
    ),
    "Drawdown": (
        ("max_drawdown", "Deepest drawdown", "percent"),
        ("average_drawdown", "Mean drawdown", "percent"),
        ("max_drawdown_days", "Longest, days", "count"),
        ("average_drawdown_days", "Mean, days", "count"),
        ("time_under_water", "Time below a high", "share"),
        ("recovery_factor", "Recovery factor", "number"),
        ("ulcer_index", "Ulcer index", "share"),
    ),
    "Against the benchmark": (
        ("benchmark_return", "The benchmark's return", "percent"),
        ("benchmark_sharpe", "Its Sharpe ratio", "number"),
        ("benchmark_max_drawdown", "Its deepest drawdown", "percent"),
        ("excess_return", "Return beyond it", "percent"),
        ("alpha", "Alpha a year", "percent"),
        ("beta", "Beta", "number"),
        ("correlation", "Correlation", "number"),
        ("tracking_error", "Tracking error a year", "share"),
        ("information_ratio", "Information ratio", "number"),
        ("up_capture", "Captured when it rose", "share"),
        ("down_capture", "Captured when it fell", "share"),
    ),
    "Trades": (
        ("trades", "Closed trades", "count"),
        ("open_trades", "Still open", "count"),
        ("fills", "Fills", "count"),
        ("win_rate", "Won", "share"),
        ("profit_factor", "Profit factor", "number"),
        ("payoff_ratio", "Payoff ratio", "number"),
        ("sqn", "System quality number", "number"),
        ("kelly", "Kelly fraction", "share"),
        ("expectancy", "Mean profit", "money"),
        ("average_trade_return", "Mean return", "percent"),
        ("average_win", "Mean win", "money"),
        ("average_loss", "Mean loss", "money"),
        ("best_trade", "Best", "money"),
        ("worst_trade", "Worst", "money"),
        ("average_mae", "Mean excursion against", "percent"),
        ("average_mfe", "Mean excursion in favour", "percent"),
        ("average_bars_held", "Bars held, mean", "number"),
        ("longest_winning_streak", "Longest winning streak", "count"),
        ("longest_losing_streak", "Longest losing streak", "count"),
    ),
    "Costs": (
        ("commission_paid", "Commission paid", "amount"),
        ("slippage_paid", "Slippage paid", "amount"),
        ("cost_share", "Costs, of what was earned before them", "share"),
        ("sessions", "Sessions", "count"),
        ("periods_per_year", "Sessions a year", "number"),
    ),
}
KINDS = {name: (label, kind) for rows in GROUPS.values() for name, label, kind in rows}

_CARDS = ("total_return", "annualised_return", "sharpe", "max_drawdown", "trades", "win_rate")


def cards(done: BacktestFinished) -> str:
    """The six figures that everybody looks at first."""
    return f'<section class="cards">{"".join(_card(done, name) for name in _CARDS)}</section>'


def table(done: BacktestFinished) -> str:
    groups = "".join(
        f"<div><h3>{escape(group)}</h3><table>"
        f"{''.join(_row(done, name, label, kind) for name, label, kind in rows)}</table></div>"
        for group, rows in GROUPS.items()
    )
    note = " <small>small: 95 % of what chance alone makes of the same sessions</small>" if done.confidence else ""
    return f'<section class="panel"><h2>Figures{note}</h2><div class="groups">{groups}</div></section>'


def _card(done: BacktestFinished, name: str) -> str:
    label, kind = KINDS[name]
    value = done.metrics.get(name)
    between = _between(done, name, kind)
    return (
        f'<div class="card"><span>{escape(label)}</span><b{mood(value, kind)}>{written(value, kind)}</b>{between}</div>'
    )


def _row(done: BacktestFinished, name: str, label: str, kind: str) -> str:
    value = done.metrics.get(name)
    between = _between(done, name, kind)
    return f"<tr><td>{escape(label)}</td><td{mood(value, kind)}>{written(value, kind)}{between}</td></tr>"


def _between(done: BacktestFinished, name: str, kind: str) -> str:
    if name not in done.confidence:
        return ""
    low, high = (written(each, kind) for each in done.confidence[name])
    return f"<small>{low} to {high}</small>"
