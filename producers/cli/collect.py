"""`scizor collect`: bring market data from the gateway into the topics."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from producers.cli.collection import Collected, Watch
    from schemas.collection import CollectDaily, CollectHistory

app = typer.Typer(no_args_is_help=True, add_completion=False)

_UNITS = {"s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_SIZES = "1d 8h 4h 3h 2h 1h 30m 20m 15m 10m 5m 3m 2m 1m 30s 15s 10s 5s 1s"
BAR_SIZES = {text: int(text[:-1]) * _UNITS[text[-1]] for text in _SIZES.split()}
_PRICES = {
    "trades": ("trades", "split_adjusted"),
    "adjusted_last": ("trades", "total_return"),
    "midpoint": ("midpoint", "split_adjusted"),
    "bid": ("bid", "split_adjusted"),
    "ask": ("ask", "split_adjusted"),
    "bid_ask": ("bid_ask", "split_adjusted"),
}
_SYMBOLS_MAX = 1000
_YEARS = 3

Symbols = Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="AAPL, BHP:ASX or BHP:ASX:AUD.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.callback()
def collect() -> None:
    """Market data from the gateway into the topics: only what is missing is asked for.

    Exit codes, fit for cron: 0 all is there, 1 some symbols failed,
    2 wrong arguments or unknown symbols, 3 the gateway or the system is missing.
    """


@app.command()
def history(
    symbols: Symbols,
    start_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="First day; else 3 years before the end.")] = "",
    end_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day; else until now.")] = "",
    bar_size: Annotated[str, typer.Option(help=f"One of {_SIZES}.")] = "1d",
    what: Annotated[str, typer.Option(help=f"Which prices: {', '.join(_PRICES)}.")] = "trades",
    refresh: Annotated[
        bool, typer.Option(help="Ask for everything again; what has changed is a new revision.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Collect the bars of symbols: missing sessions only, many requests at a time within IB's pacing.

    Killed or cut off, it goes on where it was when the data farmer is back; the same command again asks for the rest.
    """
    request = history_request(symbols, bar_size, (start_date, end_date), what=what, refresh=refresh)
    from infra.clock import SystemClock
    from producers.cli.progress import ProgressLine

    with ProgressLine(SystemClock()) as line:
        told = _carried_out(request, lambda told: line(told.run))
    _tell(told, as_json=as_json)


@app.command()
def daily(
    exchange: Annotated[
        str, typer.Option(metavar="NAME", help="Only symbols of an exchange (NASDAQ, ASX) or a calendar (XNYS, XASX).")
    ] = "",
    days: Annotated[int, typer.Option(min=1, max=366, help="How far back it looks for missing sessions.")] = 30,
    monitor: Annotated[bool, typer.Option("--monitor", help="A live table of all symbols.")] = False,
    as_json: AsJson = False,
) -> None:
    """Collect the missing daily bars of every valid symbol.

    The data farmer does so by itself after each session of the US exchanges and ASX (SCIZOR_COLLECT_DAILY).
    """
    request = daily_request(exchange, days)
    from infra.clock import SystemClock
    from producers.cli.collection_view import Monitor
    from producers.cli.progress import ProgressLine

    if monitor:
        with Monitor() as watch:
            told = _carried_out(request, watch)
    else:
        with ProgressLine(SystemClock()) as line:
            told = _carried_out(request, lambda told: line(told.run))
    _tell(told, as_json=as_json)


@app.command("test")
def check(
    symbols: Annotated[list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="Three by default.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check the whole path with real requests: gateway, topic, table, quality; exit code 3 when it is not healthy."""
    from infra.embedded.running import running_settings
    from producers.cli.collection_test import DEFAULT_SYMBOLS, check_path, show

    wanted = _names(symbols or list(DEFAULT_SYMBOLS))
    health = check_path(running_settings(load_settings(), needs_database=True), wanted)
    show(health, as_json=as_json)
    if not health.healthy:
        raise typer.Exit(3)


def _carried_out(request: "CollectHistory | CollectDaily", watch: "Watch") -> "Collected":
    from infra.embedded.running import running_settings
    from producers.cli.collection import collect as follow

    return follow(running_settings(load_settings(), needs_database=False), request, watch)


def _tell(told: "Collected", *, as_json: bool) -> None:
    import json

    from producers.cli.collection import complain
    from producers.cli.collection_view import document, report

    if as_json:
        print(json.dumps(document(told), indent=2))
    else:
        print("\n".join(report(told)))
    complain(told.run)


def history_request(
    symbols: list[str], bar_size: str, dates: tuple[str, str], *, what: str = "trades", refresh: bool = False
) -> "CollectHistory":
    """UsageError in one line for whatever is wrong with it."""
    from infra.clock import SystemClock, SystemEntropy
    from schemas.collection import CollectHistory
    from schemas.market import Basis, PriceKind

    if bar_size not in BAR_SIZES:
        raise UsageError(f"no bars of size {bar_size!r}: choose one of {', '.join(BAR_SIZES)}")
    if what not in _PRICES:
        raise UsageError(f"no prices {what!r}: choose one of {', '.join(_PRICES)}")
    first, last = (parse_day(each) for each in dates)
    if first and last and first > last:
        raise UsageError(f"--start-date {first} is after --end-date {last}")
    now = SystemClock().now()
    kind, basis = _PRICES[what]
    return CollectHistory(
        event_time=now,
        ingest_time=now,
        run_id=SystemEntropy().new_id(),
        symbols=_names(symbols),
        bar_size=BAR_SIZES[bar_size],
        first_day=first,
        last_day=last,
        years=None if first else _YEARS,
        price_kind=PriceKind(kind),
        basis=Basis(basis),
        refresh=refresh,
        requested_by="cli",
    )


def daily_request(exchange: str, days: int) -> "CollectDaily":
    """UnknownExchangeError when no calendar knows the exchange."""
    from infra.calendars.calendar import calendar_of
    from infra.clock import SystemClock, SystemEntropy
    from schemas.collection import CollectDaily

    name = exchange.strip().upper()
    if name:
        calendar_of(name)
    now = SystemClock().now()
    return CollectDaily(
        event_time=now,
        ingest_time=now,
        run_id=SystemEntropy().new_id(),
        exchange=name or None,
        days=days,
        requested_by="cli",
    )


def _names(symbols: list[str]) -> tuple[str, ...]:
    from infra.symbol_names import parse_symbol

    if len(symbols) > _SYMBOLS_MAX:
        raise UsageError(f"{len(symbols)} symbols at once are too many: at most {_SYMBOLS_MAX}")
    return tuple(dict.fromkeys(str(parse_symbol(symbol)) for symbol in symbols))


def parse_day(text: str) -> date | None:
    """None for an empty text."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no date: write YYYY-MM-DD, for instance 2013-02-28") from error


def parse_date(text: str) -> datetime | None:
    """Midnight UTC of a day; none for an empty text."""
    day = parse_day(text)
    return datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None
