"""What a person reads at the end of the demo."""

from typing import Any

from rich.console import Console
from rich.table import Table

from infra.settings import REPOSITORY, Settings


def show(console: Console, document: dict[str, Any], settings: Settings) -> None:
    """The demo's document as tables and addresses."""
    console.print()
    console.print(_bars(document))
    console.print(_backtests(document))
    console.print(_live(document))
    console.print(_costs(document))
    console.print(_addresses(settings))


def _grid(title: str, rows: list[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", show_header=False, box=None, padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    return table


def _bars(document: dict[str, Any]) -> Table:
    counts = (document["bars_served"], document["bars_published"], document["bars_stored"])
    same = "the same bars, by digest" if len(set(counts)) == 1 else "[red]they differ[/red]"
    return _grid(
        "Data",
        [
            ("symbols", ", ".join(document["symbols"]) + ": real daily bars, intraday bars derived from them"),
            ("bars", "{:,} served, {:,} published, {:,} stored: ".format(*counts) + same),
            ("dead letters", str(document["dead_letters"])),
        ],
    )


def _backtests(document: dict[str, Any]) -> Table:
    table = Table(title="Backtests by replay of the topic", title_justify="left", title_style="bold", box=None)
    for name in ("strategy", "symbol"):
        table.add_column(name)
    for name in ("trades", "return", "Sharpe", "max drawdown"):
        table.add_column(name, justify="right")
    for row in document["backtests"]:
        figures = (_percent(row["total_return"]), _number(row["sharpe"]), _percent(row["max_drawdown"]))
        table.add_row(row["strategy"], row["symbol"], f"{row['trades']}", *figures)
    return table


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _live(document: dict[str, Any]) -> Table:
    live = document["live"]
    matches = "as the broker has it" if live["position_matches_broker"] else "[red]not as the broker has it[/red]"
    return _grid(
        f"Live in the simulated account, until {document['market_time']}",
        [
            ("strategy", f"{live['signals']} signals, {live['intents']} intents"),
            ("risk", f"{live['denied']} denied: {live['denied_because']}"),
            ("broker", f"{live['orders']} orders, {live['fills']} fills; position {matches}"),
        ],
    )


def _costs(document: dict[str, Any]) -> Table:
    seconds, memory = document["seconds"], document["memory_mb"]
    largest = sorted(memory.items(), key=lambda item: -item[1])[:4]
    return _grid(
        "Cost",
        [
            ("time", f"{sum(seconds.values()):.0f} s: " + ", ".join(f"{n} {s:.0f}" for n, s in seconds.items())),
            ("memory", f"{sum(memory.values()):,.0f} MB: " + ", ".join(f"{n} {s:.0f}" for n, s in largest) + ", ..."),
        ],
    )


def _addresses(settings: Settings) -> Table:
    key = settings.home / "api-key"
    shown = key.relative_to(REPOSITORY) if key.is_relative_to(REPOSITORY) else key
    rows = [
        ("data farmer", f"http://{settings.bind}:{settings.farmer_port}/docs"),
        ("backtester", f"http://{settings.bind}:{settings.backtester_port}/docs"),
        ("algo trader", f"http://{settings.bind}:{settings.trader_port}/docs"),
        ("API key", f"cat {shown}"),
        ("Kafka", f"{settings.kafka}, topics {settings.topic_prefix}market.bars.v1 and others: scizor topics list"),
        ("gateway", f"127.0.0.1:{settings.ib_port} (simulated)"),
    ]
    return _grid("Addresses", rows)
