"""The report of a backtest: one HTML page that asks nobody for anything."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any

from engine.answer import UNKNOWN_SOURCE
from engine.charts import Line, chart, thinned
from engine.facts import to_datetime, to_microseconds
from engine.report_style import SCRIPT, STYLE
from schemas.backtest import BacktestFinished

_TRADES_MAX = 1_000
_HOVER_BUCKETS = 400
_MINUS = "\N{MINUS SIGN}"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Year")
_NOTHING = '<span class="dim">–</span>'

_GROUPS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "Return": (
        ("final_equity", "Final equity", "amount"),
        ("total_return", "Total return", "percent"),
        ("annualised_return", "A year", "percent"),
        ("best_session", "Best session", "percent"),
        ("worst_session", "Worst session", "percent"),
        ("exposure", "Time in the market", "share"),
        ("average_gross_exposure", "Mean gross exposure", "share"),
        ("turnover", "Turnover", "times"),
    ),
    "Risk": (
        ("annualised_volatility", "Volatility a year", "share"),
        ("sharpe", "Sharpe ratio", "number"),
        ("sortino", "Sortino ratio", "number"),
        ("calmar", "Calmar ratio", "number"),
        ("max_drawdown", "Deepest drawdown", "percent"),
        ("max_drawdown_days", "Longest drawdown, days", "count"),
        ("ulcer_index", "Ulcer index", "share"),
        ("var_95", "Value at risk 95 %", "percent"),
        ("cvar_95", "Expected shortfall 95 %", "percent"),
        ("skew", "Skew", "number"),
        ("kurtosis", "Excess kurtosis", "number"),
        ("tail_ratio", "Tail ratio", "number"),
    ),
    "Trades": (
        ("trades", "Closed trades", "count"),
        ("open_trades", "Still open", "count"),
        ("fills", "Fills", "count"),
        ("win_rate", "Won", "share"),
        ("profit_factor", "Profit factor", "number"),
        ("expectancy", "Mean profit", "money"),
        ("average_trade_return", "Mean return", "percent"),
        ("average_win", "Mean win", "money"),
        ("average_loss", "Mean loss", "money"),
        ("best_trade", "Best", "money"),
        ("worst_trade", "Worst", "money"),
        ("average_bars_held", "Bars held, mean", "number"),
        ("longest_losing_streak", "Longest losing streak", "count"),
    ),
    "Costs": (
        ("commission_paid", "Commission paid", "amount"),
        ("slippage_paid", "Slippage paid", "amount"),
        ("sessions", "Sessions", "count"),
        ("periods_per_year", "Sessions a year", "number"),
    ),
}
_CARDS = (
    ("total_return", "Total return", "percent"),
    ("annualised_return", "A year", "percent"),
    ("sharpe", "Sharpe", "number"),
    ("max_drawdown", "Deepest drawdown", "percent"),
    ("trades", "Closed trades", "count"),
    ("win_rate", "Won", "share"),
)


def page(done: BacktestFinished) -> str:
    """The whole page, at most about half a megabyte. Every text that comes from outside is escaped.

    Raises ValueError for a backtest that failed: there is nothing to show but its error.
    """
    if not done.succeeded:
        raise ValueError(f"the backtest failed: {done.error}")
    points = [(to_microseconds(datetime.fromisoformat(time)), equity) for time, equity in done.equity]
    title = f"{done.request.strategy} on {_symbols(done.request.symbols)}"
    body = "".join(
        (
            _header(done, title),
            _warnings(_to_know(done)),
            f'<section class="cards">{"".join(_card(done.metrics, *each) for each in _CARDS)}</section>',
            _charts(done, points),
            _months(points, done.request.cash),
            _metrics(done.metrics),
            _trades(done.round_trips),
            _footer(done),
        )
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'\">"
        f'<meta name="color-scheme" content="light dark"><title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><main>{body}</main><script>{SCRIPT}</script></body></html>"
    )


# sections, from top to bottom


def _header(done: BacktestFinished, title: str) -> str:
    first, last = done.equity[0][0][:10], done.equity[-1][0][:10]
    given = (f"{name}={value}" for name, value in done.request.parameters.items())
    parameters = " ".join(f"<code>{escape(each)}</code>" for each in given)
    return (
        f'<header><p class="over">SCIZOR backtest</p><h1>{escape(title)}</h1>'
        f"<p>{escape(first)} to {escape(last)} · {done.bars:,} bars of {escape(_size(done))} "
        f"{parameters}</p></header>"
    )


def _to_know(done: BacktestFinished) -> tuple[str, ...]:
    """The event's warnings; silence about the source of prices is never taken for real prices."""
    silent = not done.sources and UNKNOWN_SOURCE not in done.warnings
    return (UNKNOWN_SOURCE, *done.warnings) if silent else done.warnings


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(each)}</li>" for each in warnings)
    return f'<section class="warnings"><h2>Before you believe it</h2><ul>{items}</ul></section>'


def _card(metrics: Mapping[str, float | None], name: str, label: str, kind: str) -> str:
    value = metrics.get(name)
    return f'<div class="card"><span>{escape(label)}</span><b{_mood(value, kind)}>{_written(value, kind)}</b></div>'


def _charts(done: BacktestFinished, points: Sequence[tuple[int, float]]) -> str:
    below, high = [], done.request.cash
    for time_us, equity in points:
        high = max(high, equity)
        below.append((time_us, equity / high - 1))
    shown = [
        (time_us, round(equity, 2), round(depth, 5))
        for (time_us, equity), (_, depth) in zip(points, below, strict=True)
    ]
    kept = {time_us for time_us, _ in thinned(points, _HOVER_BUCKETS)}
    hover = json.dumps([each for each in shown if each[0] in kept], separators=(",", ":"))
    equity_line = Line(points, "Equity over time", "equity", lambda value: f"{value:,.0f}", 280)
    drawdown_line = Line(below, "Drawdown over time", "drawdown", lambda value: _signed(value, "{:.0%}"), 150, 0.0)
    return (
        f'<section class="panel hover" data-points="{escape(hover)}"><h2>Equity</h2>{chart(equity_line)}'
        f"<h2>Drawdown</h2>{chart(drawdown_line)}<output></output></section>"
    )


def _months(points: Sequence[tuple[int, float]], cash: float) -> str:
    ends: dict[tuple[int, int], float] = {}
    for time_us, equity in points:
        day = to_datetime(time_us - 1)  # midnight belongs to the date before
        ends[day.year, day.month] = equity
    before, returns = cash, dict[tuple[int, int], float | None]()
    for month, equity in ends.items():
        returns[month] = equity / before - 1 if before > 0 else None
        before = equity
    years = sorted({year for year, _ in returns})
    rows = []
    for year in years:
        of_year = [returns.get((year, month)) for month in range(1, 13)]
        whole = _compounded(each for each in of_year if each is not None)
        cells = "".join(_heat(each) for each in of_year)
        rows.append(f"<tr><th>{year}</th>{cells}{_heat(whole, css='year')}</tr>")
    names = "".join(f"<th>{name}</th>" for name in _MONTHS)
    return (
        '<section class="panel"><h2>Monthly returns</h2><div class="wide"><table class="months">'
        f"<thead><tr><th></th>{names}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _compounded(returns: Iterable[float]) -> float:
    whole = 1.0
    for each in returns:
        whole *= 1 + each
    return whole - 1


def _heat(value: float | None, css: str = "") -> str:
    if value is None:
        return f'<td class="{css}"></td>'
    strength = min(abs(value) / 0.08, 1.0) * 0.75
    side = "dim" if abs(value) < 0.0005 else "gain" if value > 0 else "loss"
    return f'<td class="{css} {side}" style="--heat:{strength:.2f}">{_signed(value, "{:.1%}")}</td>'


def _metrics(metrics: Mapping[str, float | None]) -> str:
    groups = "".join(
        f"<div><h3>{escape(group)}</h3><table>"
        f"{''.join(_figure(metrics.get(name), label, kind) for name, label, kind in rows)}</table></div>"
        for group, rows in _GROUPS.items()
    )
    return f'<section class="panel"><h2>Figures</h2><div class="groups">{groups}</div></section>'


def _figure(value: float | None, label: str, kind: str) -> str:
    return f"<tr><td>{escape(label)}</td><td{_mood(value, kind)}>{_written(value, kind)}</td></tr>"


def _trades(trips: Sequence[Mapping[str, Any]]) -> str:
    shown = trips[-_TRADES_MAX:]
    note = f"the last {len(shown):,} of {len(trips):,}" if len(shown) < len(trips) else f"{len(trips):,}"
    rows = "".join(_trade(number, trip) for number, trip in enumerate(shown, start=len(trips) - len(shown) + 1))
    names = ("", "Symbol", "", "Quantity", "Entered", "at", "Left", "at", "Bars", "Commission", "Profit", "Return")
    head = "".join(f"<th>{name}</th>" for name in names)
    empty = '<p class="dim">None: the strategy never traded.</p>' if not trips else ""
    return (
        f'<section class="panel"><h2>Round trips <small>{note}</small></h2>{empty}<div class="wide scroll">'
        f'<table class="trades"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>'
    )


def _trade(number: int, trip: Mapping[str, Any]) -> str:
    profit = float(Decimal(trip["pnl"]))
    left = '<span class="tag">open</span>' if trip["open"] else escape(_moment(trip["exit_time"]))
    cells = (
        f"{number}",
        f"<b>{escape(str(trip['symbol']))}</b>",
        f'<span class="tag {escape(str(trip["direction"]))}">{escape(str(trip["direction"]))}</span>',
        f"{Decimal(trip['quantity']):,f}",
        escape(_moment(trip["entry_time"])),
        f"{Decimal(trip['entry_price']):,.2f}",
        left,
        f"{Decimal(trip['exit_price']):,.2f}",
        f"{trip['bars']:,}",
        f"{Decimal(trip['commission']):,.2f}",
        f"<span{_mood(profit, 'money')}>{_written(profit, 'money')}</span>",
        f"<span{_mood(profit, 'money')}>{_written(trip['return'], 'percent')}</span>",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _footer(done: BacktestFinished) -> str:
    request = done.request
    facts = (
        ("Starting cash", f"{request.cash:,.2f}"),
        ("Full position", f"{request.quantity:,g} shares"),
        ("Commission", f"{request.commission_bps:g} bps of the traded value"),
        ("Slippage", f"{request.slippage_bps:g} bps of the price"),
        ("Fills", "market orders, at the open of the next bar"),
        ("Prices from", ", ".join(done.sources) or "unknown"),
        ("Backtest", done.backtest_id),
        ("Bars, SHA-256", done.data_digest),
        ("Fills and equity, SHA-256", done.result_hash),
        ("Code, SHA-256", done.code_hash or "unknown"),
    )
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts)
    return (
        f'<section class="panel"><h2>How it was run</h2><table class="facts">{rows}</table></section>'
        "<footer>Session returns are from one UTC date's last bar to the next; Sharpe and Sortino take a risk-free "
        "rate of 0. The past of a strategy is not its future.</footer>"
    )


# words and numbers


def _symbols(symbols: Sequence[str]) -> str:
    return ", ".join(symbols) if len(symbols) <= 4 else f"{', '.join(symbols[:3])} and {len(symbols) - 3} more"


def _size(done: BacktestFinished) -> str:
    seconds = int(done.request.bar_size.total_seconds())
    for length, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds % length == 0:
            count = seconds // length
            return f"{count} {name}{'s' if count > 1 else ''}"
    return f"{seconds} seconds"


def _moment(text: str) -> str:
    moment = datetime.fromisoformat(text)
    return f"{moment:%Y-%m-%d %H:%M}"


def _signed(value: float, form: str) -> str:
    text = form.format(value)
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", _MINUS)


def _written(value: float | None, kind: str) -> str:
    if value is None:
        return _NOTHING
    if kind == "percent":
        return _signed(value, "{:+.2%}")
    forms = {
        "amount": "{:,.2f}",
        "money": "{:,.2f}",
        "share": "{:.1%}",
        "times": "{:.1f} ×",
        "number": "{:,.2f}",
        "count": "{:,.0f}",
    }
    return _signed(value, forms[kind])


def _mood(value: float | None, kind: str) -> str:
    """Colour for what may be a gain or a loss."""
    if value is None or kind not in ("percent", "money") or value == 0:
        return ""
    return ' class="good"' if value > 0 else ' class="bad"'
