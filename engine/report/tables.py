"""What is told in rows: symbols, round trips, and how the run was made."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from engine.report.words import benchmark_name, moment, mood, written
from schemas.backtest import BacktestFinished

_TRADES_MAX = 1_000


def by_symbol(rows: Sequence[Mapping[str, Any]]) -> str:
    if len(rows) < 2:
        return ""
    head = "".join(
        f"<th>{name}</th>" for name in ("Symbol", "Bars", "Trades", "Won", "Traded", "Commission", "Slippage", "Profit")
    )
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in _symbol_cells(row))}</tr>" for row in rows)
    return (
        '<section class="panel"><h2>By symbol</h2><div class="wide scroll"><table class="rows">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div></section>"
    )


def _symbol_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        f"<b>{escape(str(row['symbol']))}</b>",
        f"{row['bars']:,}",
        f"{row['trades']:,}",
        written(row["win_rate"], "share"),
        f"{row['traded']:,.0f}",
        f"{row['commission']:,.2f}",
        f"{row['slippage']:,.2f}",
        f"<span{mood(row['pnl'], 'money')}>{written(row['pnl'], 'money')}</span>",
    )


def trades(trips: Sequence[Mapping[str, Any]]) -> str:
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
    left = '<span class="tag">open</span>' if trip["open"] else escape(moment(trip["exit_time"]))
    cells = (
        f"{number}",
        f"<b>{escape(str(trip['symbol']))}</b>",
        f'<span class="tag {escape(str(trip["direction"]))}">{escape(str(trip["direction"]))}</span>',
        f"{Decimal(trip['quantity']):,f}",
        escape(moment(trip["entry_time"])),
        f"{Decimal(trip['entry_price']):,.2f}",
        left,
        f"{Decimal(trip['exit_price']):,.2f}",
        f"{trip['bars']:,}",
        f"{Decimal(trip['commission']):,.2f}",
        f"<span{mood(profit, 'money')}>{written(profit, 'money')}</span>",
        f"<span{mood(profit, 'money')}>{written(trip['return'], 'percent')}</span>",
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _rules(done: BacktestFinished) -> list[tuple[str, str]]:
    """Costs and fills: what was chosen by name comes before what every request has."""
    request = done.request
    usual = {
        "commission": f"{request.commission_bps:g} bps of the traded value",
        "slippage": f"{request.slippage_bps:g} bps of the price",
        "fill": "market orders, at the open of the next bar",
    }
    chosen = {name: str(value) for name, value in request.rules.items()}
    return [(name.replace("_", " ").capitalize(), value) for name, value in (usual | chosen).items()]


def footer(done: BacktestFinished) -> str:
    request = done.request
    facts = (
        ("Starting cash", f"{request.cash:,.2f}"),
        ("Full position", f"{request.quantity:,g} shares"),
        *_rules(done),
        ("Benchmark", benchmark_name(done) or "none"),
        ("Prices", "raw, with splits and dividends" if request.basis == "raw" else "adjusted as their source does"),
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
        "rate of 0. Bought and held: the starting cash, spread evenly where there are several symbols, at their first "
        "close, without costs. The past of a strategy is not its future.</footer>"
    )
