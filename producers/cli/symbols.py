"""`scizor symbols`: the symbol registry, as the gateway confirmed it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from infra.settings import Settings
    from schemas.collection import CollectionRun
    from schemas.validation import Symbol

app = typer.Typer(no_args_is_help=True, add_completion=False)

_SYMBOLS_TOPIC = "reference.symbols.v1"
_SYMBOLS_PER_REQUEST = 1000

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Symbols = Annotated[list[str], typer.Argument(metavar="SYMBOL...", help="AAPL, BHP:ASX or BHP:ASX:AUD.")]


@app.callback()
def symbols() -> None:
    """The symbols that SCIZOR knows, and what the gateway says of them."""


@app.command("list")
def list_symbols(as_json: AsJson = False) -> None:
    """All symbols of the registry with their state and when it was last confirmed."""
    from producers.cli.records import table, to_json

    rows = [_row(symbol) for symbol in _registry(_running())]
    if as_json:
        print(to_json({"symbols": rows}, indent=2))
    elif rows:
        heads = ("symbol", "state", "contract_id", "exchange", "currency", "last_verified", "name")
        print(table([[head.upper() for head in heads], *([str(row[head] or "") for head in heads] for row in rows)]))
    else:
        print("no symbols yet: add one with `scizor symbols add AAPL`")


@app.command()
def add(names: Symbols, as_json: AsJson = False) -> None:
    """Ask the gateway for symbols and add them to the registry."""
    _validate(names, force=False, as_json=as_json)


@app.command()
def validate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="All of the registry if none.")
    ] = None,
    force_revalidate: Annotated[bool, typer.Option(help="Ask also for those verified in the last 90 days.")] = False,
    as_json: AsJson = False,
) -> None:
    """Confirm symbols at the gateway; those verified in the last 90 days are not asked for again."""
    _validate(names or [], force=force_revalidate, as_json=as_json)


def _validate(names: list[str], *, force: bool, as_json: bool) -> None:
    from infra.symbol_names import SymbolName, parse_symbol

    wanted = [str(parse_symbol(name)) for name in names]
    settings = _running()
    if not wanted:
        known = _registry(settings)
        wanted = [str(SymbolName(s.symbol, s.exchange, s.currency, s.security_type)) for s in known]
    if not wanted:
        raise UsageError("the registry is empty: name the symbols, for instance `scizor symbols add AAPL`")
    wanted = list(dict.fromkeys(wanted))
    runs = [
        _run(settings, wanted[n : n + _SYMBOLS_PER_REQUEST], force) for n in range(0, len(wanted), _SYMBOLS_PER_REQUEST)
    ]
    _tell(runs, as_json)


def _run(settings: "Settings", names: list[str], force: bool) -> "CollectionRun":
    from infra.clock import SystemClock, SystemEntropy
    from producers.cli.collection import carry_out
    from schemas.collection import ValidateSymbols

    now = SystemClock().now()
    request = ValidateSymbols(
        event_time=now,
        ingest_time=now,
        run_id=SystemEntropy().new_id(),
        symbols=tuple(names),
        force=force,
        requested_by="cli",
    )
    return carry_out(settings, request)


def _tell(runs: "list[CollectionRun]", as_json: bool) -> None:
    from producers.cli.collection import complain
    from producers.cli.records import to_json

    total: dict[str, Any] = {
        "symbols": sum(run.symbols for run in runs),
        "failures": {symbol: why for run in runs for symbol, why in run.failures.items()},
        "gateway_requests": sum(run.gateway_requests for run in runs),
        "requests_saved": sum(run.requests_saved for run in runs),
    }
    if as_json:
        print(to_json(total, indent=2))
    else:
        good = total["symbols"] - len(total["failures"])
        print(f"{good} of {total['symbols']} symbols are valid, {total['requests_saved']} were verified lately")
    for run in runs:
        complain(run)


def _running() -> "Settings":
    from infra.embedded.running import running_settings

    return running_settings(load_settings(), needs_database=False)


def _registry(settings: "Settings") -> "list[Symbol]":
    from producers.cli.records import run

    return run(_fold(settings), settings)


async def _fold(settings: "Settings") -> "list[Symbol]":
    from infra.replay import fold
    from schemas.validation import Symbol

    found: dict[str, Symbol] = {}
    async for event, _ in fold(settings, [_SYMBOLS_TOPIC]):
        if isinstance(event, Symbol):
            found[event.symbol_id] = event
    return sorted(found.values(), key=lambda symbol: (symbol.symbol, symbol.exchange))


def _row(symbol: "Symbol") -> dict[str, Any]:
    contract = symbol.contract
    return {
        "symbol": symbol.symbol,
        "state": symbol.state.value,
        "contract_id": contract.contract_id if contract else None,
        "exchange": contract.primary_exchange or contract.exchange if contract else symbol.exchange,
        "currency": symbol.currency,
        "name": contract.name if contract else "",
        "daily_source": contract.daily_source.value if contract else None,
        "intraday_source": contract.intraday_source.value if contract else None,
        "last_verified": symbol.last_verified.isoformat() if symbol.last_verified else None,
        "reason": symbol.reason,
    }
