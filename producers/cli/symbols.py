"""`scizor symbols`: the symbol registry, as the gateway confirmed it."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from infra.settings import Settings
    from infra.symbol_names import SymbolName
    from producers.cli.collection import Request
    from schemas.collection import CollectionRun

app = typer.Typer(no_args_is_help=True, add_completion=False)

_PER_REQUEST = 1000
_STATES = "requested, validating, valid, ambiguous, rejected, suspended, delisted or removed"

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Names = Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="AAPL, BHP:ASX or BHP:ASX:AUD.")]
Name = Annotated[str, typer.Argument(metavar="SYMBOL", help="AAPL, BHP:ASX or BHP:ASX:AUD.")]


@app.callback()
def symbols() -> None:
    """The symbols that SCIZOR knows, and what the gateway says of them."""


@app.command("list")
def list_symbols(
    state: Annotated[str, typer.Option(help=f"Only those that are {_STATES}.")] = "",
    exchange: Annotated[str, typer.Option(help="Only those listed there: ASX, NASDAQ.")] = "",
    search: Annotated[str, typer.Option(help="Only those with this in symbol or name.")] = "",
    as_json: AsJson = False,
) -> None:
    """Symbols of the registry with their state and when it was last confirmed."""
    from producers.cli.records import run, table, to_json
    from producers.cli.registry_view import registry, row, selected

    settings = _running()
    every = run(registry(settings), settings)
    rows = [row(each) for each in selected(every, state=state, exchange=exchange, search=search)]
    if as_json:
        print(to_json({"symbols": rows}, indent=2))
    elif rows:
        heads = ("symbol", "state", "contract_id", "exchange", "currency", "last_verified", "name")
        cells = ([str(row[head] or "") for head in heads] for row in ({**row, **_shorter(row)} for row in rows))
        print(table([[head.upper() for head in heads], *cells], cut=True))
    elif every:
        print(f"none of {len(every)} symbols is like that")
    else:
        print("no symbols yet: add one with `scizor symbols add AAPL`, or many with `scizor symbols populate`")


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """One symbol: its entry, what the gateway found over time, which bars are stored."""
    from infra.symbol_names import parse_symbol
    from producers.cli.records import run, table, to_json
    from producers.cli.registry_view import story

    wanted = parse_symbol(name)
    settings = _running()
    told = run(story(settings, wanted), settings)
    if as_json:
        print(to_json({**told, "bars": [{key: _plain(value) for key, value in each.items()} for each in told["bars"]]}))
        return
    lists = ("findings", "bars", "candidates")
    facts = [(key, value) for key, value in told.items() if key not in lists and value not in (None, "", [])]
    print("\n".join(f"{key:<16}{', '.join(value) if isinstance(value, list) else value}" for key, value in facts))
    for each in told["candidates"]:
        print(f"{'can mean':<16}{each['contract_id']} {each['exchange']} {each['currency']} {each['name']}")
    for title in ("bars", "findings"):
        if rows := [_readable(row) for row in told[title]]:
            print()
            print(table([[head.upper() for head in rows[0]], *(list(row.values()) for row in rows)]))


def _shorter(row: "Mapping[str, Any]") -> dict[str, str]:
    """The day is enough in a list of many."""
    return {"last_verified": (row["last_verified"] or "")[:10]}


def _readable(row: "Mapping[str, Any]") -> dict[str, str]:
    from infra.bar_moments import bar_size_text
    from producers.cli.records import to_the_second

    shown = {}
    for head, value in row.items():
        if head == "bar_size_seconds":
            shown["bar_size"] = bar_size_text(timedelta(seconds=value))
        elif head in ("at", "first", "last"):
            shown[head] = to_the_second(datetime.fromisoformat(value) if isinstance(value, str) else value)
        else:
            shown[head] = f"{value:,}" if head == "bars" else str(value)
    return shown


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


@app.command()
def add(names: Names, as_json: AsJson = False) -> None:
    """Add symbols and ask the gateway at once, also for what it rejected lately; BHP:ASX chooses among several."""
    wanted = _spelt(names)
    _tell(_validated(wanted, retry=True), as_json, strict=True)


@app.command()
def validate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="All of the registry if none.")
    ] = None,
    force_revalidate: Annotated[bool, typer.Option(help="Ask also where the last answer still holds.")] = False,
    accept_change: Annotated[
        bool, typer.Option(help="With --force-revalidate: take the other contract that the gateway answers now.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Confirm symbols at the gateway; its answer holds for SCIZOR_SYMBOLS_VERIFIED_DAYS (90 days)."""
    if accept_change and not (names and force_revalidate):
        raise UsageError("--accept-change wants the symbols to be named, and --force-revalidate")
    wanted = _spelt(names) if names else _whole_registry()
    _tell(_validated(wanted, force=force_revalidate, accept_change=accept_change), as_json, strict=bool(names))


def _whole_registry() -> list[str]:
    from infra.symbol_meanings import name_of
    from producers.cli.records import run
    from producers.cli.registry_view import registry
    from schemas.validation import SymbolState

    settings = _running()
    aside = (SymbolState.SUSPENDED, SymbolState.REMOVED)
    known = [str(name_of(each)) for each in run(registry(settings), settings) if each.state not in aside]
    if not known:
        raise UsageError("the registry is empty: name the symbols, for instance `scizor symbols add AAPL`")
    return known


@app.command()
def populate(
    file: Annotated[
        Path | None, typer.Option(help="CSV with symbol,exchange,currency,kind,name; else the universe of 309.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Do not wait for the gateway: validation follows in the service.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Have all symbols of the universe file in the registry, validated; those that are there stay as they are."""
    from producers.cli.universe import UNIVERSE, read_universe
    from schemas.registry import PopulateSymbols

    entries = read_universe(file or UNIVERSE)
    requests: list[Request] = [
        PopulateSymbols(**_asked(), entries=tuple(entries[start : start + _PER_REQUEST]), force=force)
        for start in range(0, len(entries), _PER_REQUEST)
    ]
    runs = _carried_out(requests)
    if force and not as_json:
        total = sum(run.symbols for run in runs)
        print(f"{total} symbols are in the registry; the service asks the gateway about them now.")
        print("`scizor symbols list --state rejected` shows those that it does not know, `--state valid` the others.")
        return
    _tell(runs, as_json, strict=False)


@app.command()
def remove(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    keep_data: Annotated[bool, typer.Option("--keep-data", help="Only the registry forgets it; bars stay.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take a symbol out: bars archived to Parquet, live data ended, rows cleared away for good."""
    from infra.symbol_meanings import name_of
    from producers.cli.collection import complain
    from producers.cli.records import run, to_json
    from producers.cli.registry_view import entry_of, registry
    from schemas.registry import RemoveSymbol

    (wanted,) = _spelt([name])
    settings = _running()
    if not yes:
        bars = "its bars stay" if keep_data else "its bars are archived, then their rows are removed"
        typer.confirm(f"Remove {wanted}? {bars[0].upper()}{bars[1:]}", abort=True, err=True)
    before = run(entry_of(settings, _parsed(wanted)), settings)
    spelt = str(name_of(before))
    (told,) = _carried_out([RemoveSymbol(**_asked(), symbol=spelt, keep_data=keep_data)])
    complain(told)
    after = {each.symbol_id: each for each in run(registry(settings), settings)}  # the name may mean another one now
    reason = after[before.symbol_id].reason
    print(to_json({"symbol": spelt, "told": reason}, indent=2) if as_json else f"{spelt}: {reason}")


@app.command()
def suspend(name: Name, as_json: AsJson = False) -> None:
    """Set a symbol aside: nothing is asked about it or collected until it is resumed."""
    _change(name, "suspended", as_json)


@app.command()
def resume(name: Name, as_json: AsJson = False) -> None:
    """Take a suspended or delisted symbol up again."""
    _change(name, "valid", as_json)


def _change(name: str, state: str, as_json: bool) -> None:
    from producers.cli.collection import complain
    from producers.cli.records import run, to_json
    from producers.cli.registry_view import entry_of
    from schemas.registry import ChangeSymbol

    (wanted,) = _spelt([name])
    settings = _running()
    (told,) = _carried_out([ChangeSymbol.model_validate({**_asked(), "symbol": wanted, "state": state})])
    complain(told)
    now = run(entry_of(settings, _parsed(wanted)), settings).state.value
    print(to_json({"symbol": wanted, "state": now}, indent=2) if as_json else f"{wanted} is {now}")


def _spelt(names: list[str]) -> list[str]:
    return list(dict.fromkeys(str(_parsed(name)) for name in names))


def _parsed(name: str) -> "SymbolName":
    from infra.symbol_names import parse_symbol

    return parse_symbol(name)


def _asked() -> dict[str, Any]:
    """What every request carries."""
    from infra.clock import SystemClock, SystemEntropy

    now = SystemClock().now()
    return {"event_time": now, "ingest_time": now, "run_id": SystemEntropy().new_id(), "requested_by": "cli"}


def _validated(names: list[str], **how: bool) -> "list[CollectionRun]":
    from schemas.collection import ValidateSymbols

    parts = [tuple(names[start : start + _PER_REQUEST]) for start in range(0, len(names), _PER_REQUEST)]
    return _carried_out([ValidateSymbols(**_asked(), symbols=part, **how) for part in parts])


def _carried_out(requests: "Sequence[Request]") -> "list[CollectionRun]":
    from producers.cli.collection import carry_out

    settings = _running()
    return [carry_out(settings, request) for request in requests]


def _tell(runs: "list[CollectionRun]", as_json: bool, *, strict: bool) -> None:
    """The outcome; `strict`: a symbol that is not valid is a failure of the command, not only a line of its report."""
    from producers.cli.collection import complain
    from producers.cli.progress import GATEWAY
    from producers.cli.records import table, to_json

    failures = {symbol: why for run in runs for symbol, why in run.failures.items()}
    count, asked = sum(run.symbols for run in runs), sum(run.gateway_requests for run in runs)
    saved = sum(run.requests_saved for run in runs)
    if as_json:
        total = {"symbols": count, "failures": failures, "gateway_requests": asked, "requests_saved": saved}
        print(to_json(total, indent=2))
    else:
        good, are = count - len(failures), "symbol is" if count == 1 else "symbols are"
        print(f"{good} of {count} {are} valid; {asked} gateway request{'s' * (asked != 1)} made, {saved} saved")
        if failures and not strict:
            print(table([["SYMBOL", "WHY IT IS NOT"], *([symbol, why] for symbol, why in sorted(failures.items()))]))
    for run in runs:
        if strict or GATEWAY in run.failures:
            complain(run)


def _running() -> "Settings":
    from infra.embedded.running import running_settings

    return running_settings(load_settings(), needs_database=False)
