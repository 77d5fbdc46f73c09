"""`scizor collect`: bring market data from the gateway into the topics."""

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from schemas.collection import CollectHistory

app = typer.Typer(no_args_is_help=True, add_completion=False)

BAR_SIZES = {
    "1d": timedelta(days=1),
    "1h": timedelta(hours=1),
    "1m": timedelta(minutes=1),
    "5s": timedelta(seconds=5),
}
_SYMBOLS_MAX = 1000

Symbols = Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="AAPL, BHP:ASX or BHP:ASX:AUD.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]


@app.callback()
def collect() -> None:
    """Market data from the gateway into the topics."""


@app.command()
def history(
    symbols: Symbols,
    bar_size: Annotated[str, typer.Option(help="1d, 1h, 1m or 5s.")] = "1d",
    start_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="First day; else all there is.")] = "",
    end_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day; else until now.")] = "",
    as_json: AsJson = False,
) -> None:
    """Collect the bars of symbols; bars that are there already and did not change are not published again."""
    request = history_request(symbols, bar_size, start_date, end_date)
    from infra.embedded.running import running_settings
    from producers.cli.collection import carry_out, complain

    told = carry_out(running_settings(load_settings(), needs_database=False), request)
    if as_json:
        print(told.model_dump_json(indent=2, exclude={"type", "event_time", "ingest_time"}))
    else:
        print(f"{told.bars_received} bars received, {told.bars_published} new or changed, {told.quarantined} set aside")
    complain(told)


def history_request(symbols: list[str], bar_size: str, start_date: str, end_date: str) -> "CollectHistory":
    """UsageError in one line for whatever is wrong with it."""
    from infra.clock import SystemClock, SystemEntropy
    from infra.symbol_names import parse_symbol
    from schemas.collection import CollectHistory

    if bar_size not in BAR_SIZES:
        raise UsageError(f"no bars of size {bar_size!r}: choose one of {', '.join(BAR_SIZES)}")
    start, end = parse_date(start_date), parse_date(end_date)
    if start and end and start > end:
        raise UsageError(f"--start-date {start_date} is after --end-date {end_date}")
    if len(symbols) > _SYMBOLS_MAX:
        raise UsageError(f"{len(symbols)} symbols at once are too many: at most {_SYMBOLS_MAX}")
    now = SystemClock().now()
    return CollectHistory(
        event_time=now,
        ingest_time=now,
        run_id=SystemEntropy().new_id(),
        symbols=tuple(dict.fromkeys(str(parse_symbol(symbol)) for symbol in symbols)),
        bar_size=BAR_SIZES[bar_size],
        start=start,
        end=end + timedelta(days=1) if end else None,
        requested_by="cli",
    )


def parse_date(text: str) -> datetime | None:
    """Midnight UTC of a day; none for an empty text."""
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no date: write YYYY-MM-DD, for instance 2013-02-28") from error
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
