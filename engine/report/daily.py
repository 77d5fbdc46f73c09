"""The report of a day of live trading as a page: one HTML file that asks nobody for anything."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any

from engine.report.page import whole

Row = Mapping[str, Any]
_INCIDENT_TIME = "When <small>of another day: by this machine's clock</small>"
_UNKNOWN = '<span class="dim">not known</span>'
_FIGURES = (
    ("trades", "Round trips", "count"),
    ("win_rate", "Won", "share"),
    ("profit_factor", "Profit factor", "number"),
    ("expectancy", "Expectancy", "money"),
    ("best_trade", "Best", "money"),
    ("worst_trade", "Worst", "money"),
    ("total_return", "Return", "share"),
    ("sharpe", "Sharpe", "number"),
    ("sortino", "Sortino", "number"),
    ("max_drawdown", "Deepest drawdown", "share"),
    ("turnover", "Turnover", "number"),
    ("commission_paid", "Commissions", "money"),
    ("sessions", "Days with a price", "count"),
)


def daily(document: Row) -> str:
    """The page of an `engine.daily_document`. Every text that comes from outside is escaped."""
    who = document["strategy_id"] or "all strategies"
    name = f"{document['account_id']}, {who}, {document['day']}"
    return whole(
        name,
        _header(document, who),
        _warnings(document["to_know"]),
        _cards(document),
        _contracts(document["contracts"]),
        _trades(document["trades"]),
        _slippage(document["slippage"], document["currency"]),
        _denials(document["denials"]),
        _incidents(document["incidents"]),
        _reconciliation(document["reconciliation"]),
        _figures(document["metrics"]),
        _footer(document),
    )


def _header(document: Row, who: str) -> str:
    return (
        f'<header><p class="over">SCIZOR day of trading</p><h1>{escape(document["account_id"])} · {escape(who)}</h1>'
        f"<p>{escape(document['day'])}, midnight to midnight in New York · times in UTC · money in "
        f"{escape(document['currency'] or 'an unknown currency')}</p></header>"
    )


def _warnings(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{escape(each)}</li>" for each in notes)
    return f'<section class="warnings"><h2>Before you believe it</h2><ul>{items}</ul></section>'


def _cards(document: Row) -> str:
    pnl, costs = document["pnl"], document["slippage"]
    shown = (
        ("Profit of the day", _signed(pnl["net"]), "after commissions"),
        ("Realised", _signed(pnl["realised"]), "by closing"),
        ("Unrealised", _signed(pnl["unrealised"]), "change over the day"),
        ("Commissions", _money(pnl["commission"]), f"{pnl['executions']:,} executions, {_money(pnl['traded'])} traded"),
        (
            "Slippage",
            _money(costs["total"]),
            f"{_number(costs['basis_points'])} basis points of {costs['count']:,} orders",
        ),
    )
    cards = "".join(
        f'<div class="card"><span>{name}</span><b>{value}</b><small>{about}</small></div>'
        for name, value, about in shown
    )
    return f'<section class="cards">{cards}</section>'


def _contracts(rows: Sequence[Row]) -> str:
    names = ("Symbol", "Bought", "Sold", "Held", "at", "Price", "Realised", "Unrealised", "Commission", "Profit", "")
    body = (
        (
            f"<b>{escape(row['symbol'])}</b>",
            _quantity(row["bought"]),
            _quantity(row["sold"]),
            _quantity(row["quantity"]),
            _number(row["average_price"]) if row["quantity"] != "0" else "",
            _number(row["mark"]["price"]) if row["mark"] else _UNKNOWN,
            _signed(row["realised"]),
            _signed(row["unrealised"]),
            _money(row["commission"]),
            _signed(row["net"]),
            escape(row["currency"]),
        )
        for row in rows
    )
    return _panel("Positions and profit", "rows", names, body, "Nothing was held or traded.")


def _trades(trades: Row) -> str:
    names = ("Symbol", "Strategy", "Side", "Quantity", "Entered", "at", "Left", "at", "Commission", "Profit")
    body = (
        (
            f"<b>{escape(row['symbol'])}</b>",
            escape(row["strategy_id"]),
            escape(row["side"]),
            _quantity(row["quantity"]),
            _moment(row["opened_at"]),
            _number(row["entry_price"]),
            _moment(row["closed_at"]),
            _number(row["exit_price"]),
            _money(row["commission"]),
            _signed(row["net_pnl"]),
        )
        for row in trades["rows"]
    )
    return _panel("Round trips that ended", "rows", names, body, "None ended.", trades["count"])


def _slippage(costs: Row, currency: str) -> str:
    names = ("Order", "Symbol", "Side", "Filled", "Decided at", "Sent at", "Filled at", "Delay", "Spread", "Execution")
    body = (
        (
            f"<code>{escape(row['order_id'][:13])}</code>",
            f"<b>{escape(row['symbol'])}</b>",
            escape(row["side"]),
            _quantity(row["quantity"]),
            _number(row["decided"]),
            _number(row["arrival"]),
            _number(row["price"]),
            _money(row["delay"]),
            _money(row["spread"]) if row["spread"] is not None else '<span class="dim">in execution</span>',
            _money(row["execution"]),
            _money(row["total"]),
            _number(row["basis_points"]),
        )
        for row in costs["orders"]
    )
    total = (
        f"{_money(costs['total'])} {escape(currency)}: delay {_money(costs['delay'])}, "
        f"spread {_money(costs['spread'])}, execution {_money(costs['execution'])}"
    )
    table = _panel("Slippage", "rows", (*names, "Total", "bps"), body, "No order was filled.", costs["count"])
    if not costs["orders"]:
        return table
    return table.replace(
        "</section>", f'<p class="dim">Against the price of the decision; positive is a cost. {total}</p></section>'
    )


def _denials(denials: Row) -> str:
    names = ("Reason", "When", "Strategy", "Symbol", "Side", "Quantity", "Why")
    body = (
        (
            f'<span class="tag">{escape(row["reason"])}</span>',
            _moment(row["event_time"]),
            escape(row["strategy_id"]),
            escape(row["symbol"] or ""),
            escape(row["side"] or ""),
            _quantity(row["quantity"]),
            escape(row["detail"]),
        )
        for row in denials["rows"]
    )
    return _panel("Denied by risk", "rows told", names, body, "Nothing was denied.", denials["count"])


def _incidents(incidents: Row) -> str:
    body = (
        (
            f'<span class="tag">{escape(row["kind"])}</span>',
            _moment(row["at"]),
            escape(row["about"]),
            escape(row["what"] or ""),
        )
        for row in incidents["rows"]
    )
    return _panel(
        "Incidents", "rows told", ("What", _INCIDENT_TIME, "About", "Told"), body, "None.", incidents["count"]
    )


def _reconciliation(found: Row | None) -> str:
    if found is None:
        return '<section class="panel"><h2>Reconciliation</h2><p>The broker has told nothing yet.</p></section>'
    words = {True: '<b class="good">agree</b>', False: '<b class="bad">do not agree</b>'}
    word = words.get(found["agrees"], f"not compared: {escape(found['not_compared'] or '')}")
    differences = "".join(
        f"<li><b>{escape(row['symbol'])}</b>: we count {_quantity(row['ours'])}, "
        f"the broker {_quantity(row['theirs'])}</li>"
        for row in found["differences"]
    )
    mode = f"{escape(found['mode'])}: {escape(found['reason'])} ({escape(found['by'])})" if found["mode"] else "HALTED"
    facts = (
        ("Our positions and the broker's", word + (f"<ul>{differences}</ul>" if differences else "")),
        ("Both as they were when the broker told at", _moment(found["told_at"])),
        ("Executions since then, not compared", f"{found['executions_since']:,}"),
        ("Net liquidation", _money(found["net_liquidation"])),
        ("Cash", _money(found["cash"])),
        ("Trading", mode),
    )
    rows = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in facts)
    return f'<section class="panel"><h2>Reconciliation</h2><table class="facts">{rows}</table></section>'


def _figures(metrics: Row | None) -> str:
    if metrics is None:
        return ""
    shown = {"count": "{:,.0f}", "share": "{:z.2%}", "number": "{:z.2f}", "money": "{:z,.2f}"}
    cells = "".join(
        f"<tr><td>{title}</td><td>{shown[kind].format(metrics[name])}</td></tr>"
        for name, title, kind in _FIGURES
        if metrics.get(name) is not None
    )
    return (
        '<section class="panel"><h2>Since the first execution <small>the figures of a backtest</small></h2>'
        f'<table class="facts">{cells}</table></section>'
    )


def _footer(document: Row) -> str:
    return (
        f"<footer>Made at {_moment(document['made_at'])} UTC from executions as they are known now: a correction that "
        "comes later changes the day. Slippage is split as implementation shortfall is (Perold 1988; Kissell and "
        "Glantz 2003)."
        "</footer>"
    )


def _panel(
    title: str, kind: str, names: Sequence[str], body: Iterable[Sequence[str]], empty: str, count: int | None = None
) -> str:
    rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>" for cells in body)
    head = "".join(f"<th>{name}</th>" for name in names)
    shown = f" <small>{count:,}</small>" if count is not None else ""
    table = f'<table class="{kind}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    table = f'<div class="wide scroll">{table}</div>'
    return f'<section class="panel"><h2>{title}{shown}</h2>{table if rows else f"<p>{empty}</p>"}</section>'


def _money(amount: str | None) -> str:
    return _UNKNOWN if amount is None else f"{Decimal(amount):z,.2f}"


def _signed(amount: str | None) -> str:
    if amount is None:
        return _UNKNOWN
    value = round(Decimal(amount), 2)  # of what is shown, so that nothing is never coloured
    mood = ' class="good"' if value > 0 else ' class="bad"' if value < 0 else ""
    return f"<span{mood}>{value:+,.2f}</span>" if value else f"<span>{value:z,.2f}</span>"


def _number(amount: str | None) -> str:
    return _UNKNOWN if amount is None else f"{Decimal(amount):z,.4f}".rstrip("0").rstrip(".")


def _quantity(amount: str | None) -> str:
    return "" if amount is None else f"{Decimal(amount).normalize():,f}"


def _moment(text: str) -> str:
    return escape(text[:19].replace("T", " "))
