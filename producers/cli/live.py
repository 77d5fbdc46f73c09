"""`scizor live`: strategies that trade, the limits they trade within, and whether trading is allowed."""

import json
import shlex
import sys
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli import daily_report, orders
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(orders.app, name="orders", help="How orders stand, and what you say about one that is UNKNOWN.")

_ARMED = "armed from the command line"

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
Names = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids that `scizor live status` shows.")]
Account = Annotated[str, typer.Option(help="Account; else the only one there is.")]
Reason = Annotated[str, typer.Option(help="Why; it is written beside the change.")]


@app.callback()
def live() -> None:
    """Strategies that trade, their limits, and whether trading is allowed."""


@app.command()
def start(
    strategy: Annotated[
        str,
        typer.Argument(help="A name from `scizor strategy list`, or an id deployed before and not stopped or failed."),
    ],
    symbols: Annotated[str, typer.Option(metavar="A,B", help="Symbols, by commas; an id has its own.")] = "",
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter; repeat it.")] = None,
    strategy_id: Annotated[str, typer.Option("--id", help="Id of this deployment; else the strategy's name.")] = "",
    account: Account = "",
    quantity: Annotated[float, typer.Option(min=0.00000001, help="Shares of a full position.")] = 100.0,
    bar_size: Annotated[str, typer.Option(help="5s, 1m, 5m, 1h or 1d.")] = "1m",
    ticks: Annotated[bool, typer.Option("--ticks", help="Decide on every trade print, not only on bars.")] = False,
    warmup: Annotated[int, typer.Option(min=0, max=100_000, help="Collected bars to begin with.")] = 0,
    shadow: Annotated[bool, typer.Option("--shadow", help="Only pretend: simulated fills, no order leaves.")] = False,
    capital: Annotated[str, typer.Option(help="What the strategy's own cash begins with, if it looks at it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Deploy a strategy and let it trade; an id deployed before, and not stopped or failed, goes on.

    STRATEGY may be the file of your own, which runs in the sandbox alone.
    """
    from infra.bar_moments import LIVE_BAR_SECONDS
    from producers.cli.trading_desk import Deployment, deploy_and_start

    if bar_size not in LIVE_BAR_SECONDS:
        raise UsageError(f"no bars of size {bar_size!r}: choose one of {', '.join(LIVE_BAR_SECONDS)}")
    deployment = None
    if symbols:
        name, source = _source(strategy)
        deployment = Deployment(
            strategy=name,
            source=source,
            parameters=pairs(param or [], "--param") if source else _parameters(strategy, param or []),
            symbols=_symbols(symbols),
            account_id=account,
            quantity=quantity,
            trigger="ticks" if ticks else "bars",
            bar_size_seconds=LIVE_BAR_SECONDS[bar_size],
            warmup_bars=warmup,
            shadow=shadow,
            capital=_money(capital),
        )
    elif param:
        raise UsageError("parameters go with a new deployment: name --symbols too")
    _show_strategies([deploy_and_start(_running(), strategy_id or Path(strategy).stem, deployment)], as_json)


@app.command()
def stop(
    strategies: Names,
    liquidate: Annotated[bool, typer.Option("--liquidate", help="Close what they hold first, at the market.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop strategies for good; their positions stay, unless they are to be liquidated."""
    _command("stop", strategies, as_json, liquidate=liquidate)


@app.command()
def pause(strategies: Names, as_json: AsJson = False) -> None:
    """Let strategies watch on and send no orders."""
    _command("pause", strategies, as_json)


@app.command()
def resume(strategies: Names, as_json: AsJson = False) -> None:
    """Let paused strategies send orders again."""
    _command("resume", strategies, as_json)


@app.command()
def reconfigure(
    strategy: Annotated[str, typer.Argument(metavar="ID")],
    param: Annotated[list[str], typer.Option(metavar="NAME=VALUE", help="A parameter; repeat it.")],
    as_json: AsJson = False,
) -> None:
    """Give a strategy new parameters, from the next bar on; its indicators begin anew."""
    _command("reconfigure", [strategy], as_json, parameters=_guessed(pairs(param, "--param")))


@app.command()
def promote(strategies: Names, as_json: AsJson = False) -> None:
    """Let shadows trade: orders go to risk, and by its targets each buys at once what it pretends to hold."""
    _command("promote", strategies, as_json)


@app.command()
def allocate(
    share: Annotated[
        list[str] | None, typer.Argument(metavar="ID[=WEIGHT]...", help="Strategies, with weights.")
    ] = None,
    capital: Annotated[str, typer.Option(help="Money to share out; 0 ends the plan, sizes stay.")] = "",
    method: Annotated[str, typer.Option(help="fixed, equal or inverse_volatility.")] = "fixed",
    band: Annotated[float, typer.Option(min=0, max=1, help="How far a size may drift before it is changed.")] = 0.1,
    account: Account = "",
    as_json: AsJson = False,
) -> None:
    """Share an account's capital out over strategies; sizes follow the prices, orders go through risk as always.

    Without arguments, show the plan.
    """
    from producers.cli.allocation_desk import change_plan, shown

    found = change_plan(_running(), account, share or [], {"capital": capital, "method": method, "band": band})
    print(json.dumps(found, indent=2) if as_json else shown(found))


@app.command()
def status(as_json: AsJson = False) -> None:
    """Strategies, whether trading is allowed, limits, positions and accounts."""
    from producers.cli.trading_desk import overview
    from producers.cli.trading_view import show

    found = overview(_running())
    print(json.dumps(found, indent=2) if as_json else show(found))


@app.command()
def halt(
    scope: Annotated[str, typer.Option(help="global, account:ID, strategy:ID or symbol:NAME.")] = "global",
    reason: Reason = "halted from the command line",
    as_json: AsJson = False,
) -> None:
    """Stop: no new order passes. Orders that work already are not cancelled.

    `scizor live arm` with the same --scope undoes it: a halt without --scope by --scope global.
    """
    from producers.cli.trading_desk import set_mode

    _show_state(set_mode(_running(), scope, "HALTED", reason), as_json)


@app.command()
def arm(
    scope: Annotated[str, typer.Option(help="global, account:ID, strategy:ID or symbol:NAME.")] = "",
    account: Account = "",
    reducing: Annotated[bool, typer.Option("--reducing", help="Only orders that reduce a position pass.")] = False,
    accept_positions: Annotated[
        bool, typer.Option("--accept-positions", help="Take the broker's positions for the true ones.")
    ] = False,
    accept_order_ids: Annotated[
        bool, typer.Option("--accept-order-ids", help="The gateway's order ids fell back, and you have looked at it.")
    ] = False,
    reason: Reason = _ARMED,
    as_json: AsJson = False,
) -> None:
    """Let orders pass again after a halt; without --scope that of the account.

    It lifts that scope alone, and says what is still stopped. No key is asked for: whoever may use the command line on
    this machine may arm.
    """
    from producers.cli.trading_desk import set_mode

    if scope and account:
        raise UsageError("name a --scope or an --account, not both")
    accepted = [name for name, on in (("positions", accept_positions), ("order-ids", accept_order_ids)) if on]
    if accepted and scope and not scope.startswith("account:"):
        raise UsageError(
            f"positions and order ids belong to an account: --accept-{accepted[0]} goes with --scope account:ID"
        )
    if accept_order_ids and reason == _ARMED:
        raise UsageError("--accept-order-ids needs a --reason: what was found in the account's orders")
    mode = "REDUCING" if reducing else "ACTIVE"
    wanted = scope or (f"account:{account}" if account else "account:")
    _show_state(set_mode(_running(), wanted, mode, reason, accepted=accepted), as_json)


@app.command()
def limits(
    change: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE...", help="New limits.")] = None,
    account: Account = "",
    as_json: AsJson = False,
) -> None:
    """Show the limits of an account, or change some; the rest stays as it is."""
    from producers.cli.trading_desk import change_limits

    found = change_limits(_running(), account, pairs(change or [], "limits"))
    if as_json:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:<32}{'-' if value is None else value}")


app.command()(daily_report.report)


def pairs(given: list[str], what: str) -> dict[str, str]:
    """`name=value` words as a dictionary."""
    found = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise UsageError(f"{what} {each!r}: write NAME=VALUE")
        found[name.strip()] = value.strip()
    return found


def _parameters(strategy: str, given: list[str]) -> dict[str, Any]:
    """Checked against the strategy, so that a wrong one is told here and not in a service's log."""
    from engine.registry import UnknownStrategyError, strategy_class
    from engine.strategy import ParameterError

    parameters = pairs(given, "--param")
    try:
        return strategy_class(strategy).Config.parse(parameters).model_dump(mode="json", include=set(parameters))
    except (UnknownStrategyError, ParameterError) as error:
        raise UsageError(str(error)) from None


def _guessed(given: dict[str, str]) -> dict[str, Any]:
    """Numbers and truths as such, the rest as text: the strategy's own types decide in the end."""
    found: dict[str, Any] = {}
    for name, text in given.items():
        try:
            found[name] = json.loads(text)
        except ValueError:
            found[name] = text
    return found


def _source(strategy: str) -> tuple[str, str]:
    """The name of a strategy, and its text when it is a file."""
    path = Path(strategy)
    if path.suffix != ".py":
        return strategy, ""
    try:
        return path.stem, path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{strategy} cannot be read: {error}") from None


def _money(text: str) -> Decimal | None:
    try:
        return Decimal(text) if text else None
    except InvalidOperation:
        raise UsageError(f"{text!r} is no amount of money") from None


def _symbols(text: str) -> tuple[str, ...]:
    from infra.symbol_names import parse_symbol

    names = tuple(dict.fromkeys(str(parse_symbol(each)) for each in text.split(",") if each.strip()))
    if not names or len(names) > 500:
        raise UsageError(f"{len(names)} symbols: a strategy takes 1 to 500")
    return names


def _running() -> "Settings":
    from infra.embedded.running import running_settings

    return running_settings(load_settings(), needs_database=False)


def _command(name: str, strategies: list[str], as_json: bool, **terms: Any) -> None:
    from producers.cli.trading_desk import command

    _show_strategies(command(_running(), name, strategies, **terms), as_json)


def _show_strategies(found: list[dict[str, Any]], as_json: bool) -> None:
    from producers.cli.trading_view import strategies_table

    print(json.dumps({"strategies": found}, indent=2) if as_json else strategies_table(found))


def _show_state(state: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(state, indent=2))
        return
    print(f"{state['scope']} is {state['mode']}: {state['reason']}")
    if state["mode"] == "HALTED":
        print(f"`scizor live arm --scope {shlex.quote(state['scope'])}` lifts that", file=sys.stderr)
        return
    for each in state["still_stopped"]:
        print(f"still stopped: {each}")
