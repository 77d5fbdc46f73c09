"""The report of a backtest: one HTML page that asks nobody for anything."""

from collections.abc import Sequence
from html import escape

from engine.circumstances import UNKNOWN_SOURCE, UNSAID
from engine.report import figures, series, tables
from engine.report.style import SCRIPT, STYLE
from engine.report.words import bar_size, title
from schemas.backtest import BacktestFinished


def page(done: BacktestFinished) -> str:
    """The whole page, at most about half a megabyte. Every text that comes from outside is escaped.

    Raises ValueError for a backtest that failed: there is nothing to show but its error.
    """
    points = series.equity_points(known(done))
    return whole(
        title(done),
        _header(done),
        _warnings(_to_know(done)),
        figures.cards(done),
        series.equity(done, points),
        series.months(points, done.request.cash),
        series.prices(done),
        series.distributions(done, points),
        figures.table(done),
        tables.by_symbol(done.by_symbol),
        tables.trades(done.round_trips),
        tables.footer(done),
    )


def known(done: BacktestFinished) -> BacktestFinished:
    """The same, unless it failed: ValueError."""
    if not done.succeeded:
        raise ValueError(f"the backtest failed: {done.error}")
    return done


def whole(name: str, *sections: str) -> str:
    """Sections within the frame of a page."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
        "script-src 'unsafe-inline'\">"
        f'<meta name="color-scheme" content="light dark"><title>{escape(name)}</title><style>{STYLE}</style></head>'
        f"<body><main>{''.join(sections)}</main><script>{SCRIPT}</script></body></html>"
    )


def _header(done: BacktestFinished) -> str:
    first, last = done.equity[0][0][:10], done.equity[-1][0][:10]
    given = (f"{name}={value}" for name, value in done.request.parameters.items())
    parameters = " ".join(f"<code>{escape(each)}</code>" for each in given)
    return (
        f'<header><p class="over">SCIZOR backtest</p><h1>{escape(title(done))}</h1>'
        f"<p>{escape(first)} to {escape(last)} · {done.bars:,} bars of {escape(bar_size(done))} "
        f"{parameters}</p></header>"
    )


def _to_know(done: BacktestFinished) -> tuple[str, ...]:
    """The event's warnings; silence about the source of prices is never taken for real prices."""
    silent = not done.sources and not any(each.startswith(UNSAID) for each in done.warnings)
    return (UNKNOWN_SOURCE, *done.warnings) if silent else done.warnings


def _warnings(warnings: Sequence[str]) -> str:
    if not warnings:
        return ""
    items = "".join(f"<li>{escape(each)}</li>" for each in warnings)
    return f'<section class="warnings"><h2>Before you believe it</h2><ul>{items}</ul></section>'
