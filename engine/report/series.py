"""What happened over time: equity, drawdown, rolling figures, months, prices with their trades, distributions."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape
from itertools import pairwise
from statistics import fmean, stdev
from typing import Any

from engine.report.charts import Frame, Line, Mark, Points, chart, histogram, thinned
from engine.report.words import benchmark_name, signed
from schemas.backtest import BacktestFinished
from schemas.moments import to_datetime, to_microseconds

_HOVER_BUCKETS = 400
_MARKS_MAX = 400
_COLOURS = 4
_APART_MAX = 3
"""Of so many indicators that do not lie where prices do, the course is shown below them."""
_ROLLING = 126
"""Sessions of a rolling figure: half a year."""
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Year")


def equity_points(done: BacktestFinished) -> list[tuple[int, float]]:
    return [(microseconds(time), equity) for time, equity in done.equity]


def microseconds(time: str) -> int:
    return to_microseconds(datetime.fromisoformat(time))


def equity(done: BacktestFinished, points: Points) -> str:
    below = _below(points, done.request.cash)
    shown = [
        (time_us, round(value, 2), round(depth, 5)) for (time_us, value), (_, depth) in zip(points, below, strict=True)
    ]
    kept = {time_us for time_us, _ in thinned(points, _HOVER_BUCKETS)}
    hover = json.dumps([each for each in shown if each[0] in kept], separators=(",", ":"))
    lines = [Line(points, "equity", "strategy" if done.benchmark else "", area=True)]
    if done.benchmark:
        theirs = [(time_us, worth) for (time_us, _), worth in zip(points, done.benchmark, strict=True)]
        lines.insert(0, Line(theirs, "benchmark", benchmark_name(done)))
    money = Frame("Equity over time", "{:,.0f}", 280)
    depth = Frame("Drawdown over time", "{:.0%}", 150, 0.0)
    return (
        f'<section class="panel hover" data-points="{escape(hover)}"><h2>Equity</h2>{chart(money, lines)}'
        f"<h2>Drawdown</h2>{chart(depth, [Line(below, 'drawdown', area=True)])}{_rolling_sharpe(done, points)}"
        "<output></output></section>"
    )


def _below(points: Points, cash: float) -> list[tuple[int, float]]:
    below, high = [], cash
    for time_us, value in points:
        high = max(high, value)
        below.append((time_us, value / high - 1))
    return below


def _returns(done: BacktestFinished, points: Points) -> list[float]:
    """Of the sessions; empty where the points are no sessions, or equity was lost."""
    values = [done.request.cash, *(value for _, value in points)]
    if len(points) != done.metrics.get("sessions") or min(values) <= 0:
        return []
    return [after / before - 1 for before, after in pairwise(values)]


def _rolling_sharpe(done: BacktestFinished, points: Points) -> str:
    returns, periods = _returns(done, points), done.metrics.get("periods_per_year")
    if len(returns) < 2 * _ROLLING or periods is None:
        return ""
    found = []
    for stop in range(_ROLLING, len(returns) + 1):
        window = returns[stop - _ROLLING : stop]
        deviation = stdev(window)
        found.append((points[stop - 1][0], fmean(window) / deviation * math.sqrt(periods) if deviation else 0.0))
    frame = Frame("Rolling Sharpe ratio", "{:.1f}", 150, 0.0)
    return f"<h2>Sharpe ratio of {_ROLLING} sessions</h2>{chart(frame, [Line(found, 'rolling')])}"


def months(points: Points, cash: float) -> str:
    ends: dict[tuple[int, int], float] = {}
    for time_us, value in points:
        day = to_datetime(time_us - 1)  # midnight belongs to the date before
        ends[day.year, day.month] = value
    before, returns = cash, dict[tuple[int, int], float | None]()
    for month, value in ends.items():
        returns[month] = value / before - 1 if before > 0 else None
        before = value
    rows = []
    for year in sorted({year for year, _ in returns}):
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
    return f'<td class="{css} {side}" style="--heat:{strength:.2f}">{signed(value, "{:.1%}")}</td>'


def prices(done: BacktestFinished) -> str:
    """Closes of the first symbols with their indicators, and a triangle where the strategy traded."""
    return "".join(_price(each, done.fills) for each in done.prices)


def _price(series: Mapping[str, Any], fills: Sequence[Mapping[str, Any]]) -> str:
    times = [microseconds(time) for time in series["time"]]
    closes = Line(list(zip(times, series["close"], strict=True)), "price", "close")
    indicators = [
        Line(known, f"indicator-{number % _COLOURS}", name)
        for number, (name, values) in enumerate(series["indicators"].items())
        if (known := [(time, value) for time, value in zip(times, values, strict=True) if value is not None])
    ]
    on_price = [line for line in indicators if _is_like(line, closes)]
    apart = [line for line in indicators if line not in on_price][:_APART_MAX]
    own = [fill for fill in fills if fill["symbol"] == series["symbol"]]
    marks = [
        Mark(microseconds(fill["time"]), float(fill["price"]), fill["side"] == "BUY", _told(fill))
        for fill in own[-_MARKS_MAX:]
    ]
    name = str(series["symbol"])
    frame = Frame(f"Price of {name}", "{:,.2f}", 300)
    below = "".join(chart(Frame(line.name, "{:,.4g}", 120), [line]) for line in apart)
    note = f" <small>the last {_MARKS_MAX} of {len(own):,} fills</small>" if len(own) > _MARKS_MAX else ""
    drawn = chart(frame, [closes, *on_price], marks)
    return f'<section class="panel"><h2>{escape(name)}{note}</h2>{drawn}{below}</section>'


def _is_like(line: Line, prices: Line) -> bool:
    """Whether the line lies about where prices do, so that both can share an axis."""
    theirs, price = (fmean(value for _, value in each.points) for each in (line, prices))
    return 0.5 * price <= theirs <= 2 * price


def _told(fill: Mapping[str, Any]) -> str:
    quantity, price = float(fill["quantity"]), float(fill["price"])
    return f"{fill['side']} {quantity:,g} at {price:,.10g}, {fill['time'][:16].replace('T', ' ')} {fill['reason']}"


def distributions(done: BacktestFinished, points: Points) -> str:
    percent = Frame("", "{:.1%}", 320)
    trades = [trip["return"] for trip in done.round_trips if not trip["open"] and trip["return"] is not None]
    parts = [("Returns of sessions", _returns(done, points)), ("Returns of trades", trades)]
    shown = "".join(
        f"<div><h2>{name}</h2>{histogram(Frame(name, percent.form, percent.height), values)}</div>"
        for name, values in parts
        if len(values) > 1
    )
    return f'<section class="panel pair">{shown}</section>' if shown else ""
