"""`scizor data action`: splits, dividends and the like, entered and corrected by a person."""

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.config import load_settings
from producers.cli.person import person
from producers.cli.quarantine import AsJson, By

if TYPE_CHECKING:
    from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Splits, dividends and the like: add one, list them.")


@app.command()
def add(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="AAPL, BHP:ASX or BHP:ASX:AUD.")],
    ex_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="The first day without it.")],
    split: Annotated[str, typer.Option(metavar="NEW:OLD", help="2:1 when one share became two.")] = "",
    dividend: Annotated[float, typer.Option(min=0, help="Cash for each share, as it was the day before.")] = 0.0,
    currency: Annotated[str, typer.Option(help="Of the dividend; else the contract's.")] = "",
    new_symbol: Annotated[str, typer.Option(help="The contract goes by this name from then on.")] = "",
    delisted: Annotated[bool, typer.Option("--delisted", help="No session from that day on.")] = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="It did not happen after all.")] = False,
    note: Annotated[str, typer.Option(help="Where you know it from.")] = "",
    by: By = "",
    as_json: AsJson = False,
) -> None:
    """Add a corporate action, or correct one of the same day; what was known before stays known."""
    from infra.corporate_actions import Terms
    from producers.cli import shelf_desk
    from producers.cli.records import run, to_json

    chosen = {"Split": bool(split), "Dividend": dividend > 0, "SymbolChanged": bool(new_symbol), "Delisted": delisted}
    kinds = [kind for kind, is_chosen in chosen.items() if is_chosen]
    if len(kinds) != 1:
        raise UsageError("say one of --split NEW:OLD, --dividend AMOUNT, --new-symbol NAME and --delisted")
    new_shares, old_shares = _ratio(split) if split else (None, None)
    terms = Terms(
        kinds[0], _day(ex_date), new_shares, old_shares, dividend or None,
        (currency or "USD").upper() if dividend else None, symbol.split(":")[0].upper() if new_symbol else None,
        new_symbol or None, canceled=cancel, note=note,
    )  # fmt: skip
    terms.check()
    settings = _running()
    told = run(shelf_desk.add_action(settings, symbol, terms, by or person()), settings)
    if as_json:
        print(to_json(told.model_dump(mode="json"), indent=2))
    else:
        print(f"{told.symbol}: {told.type} of {told.ex_date}, revision {told.revision}")


@app.command("list")
def list_actions(symbol: Annotated[str, typer.Argument(metavar="SYMBOL")], as_json: AsJson = False) -> None:
    """Every revision of every action that is known of a symbol."""
    from producers.cli import shelf_desk
    from producers.cli.records import run, table, to_json

    settings = _running()
    rows = [each.model_dump(mode="json") for each in run(shelf_desk.actions(settings, symbol), settings)]
    if as_json:
        print(to_json({"actions": rows}, indent=2))
    elif rows:
        heads = ("type", "ex_date", "revision", "origin", "by")
        told = [[*(str(row[head]) for head in heads), _terms(row)] for row in rows]
        print(table([[*(head.upper() for head in heads), "TERMS"], *told]))
    else:
        print(f"no corporate actions of {symbol} are known: `scizor data action add` enters one")


def _terms(row: dict[str, Any]) -> str:
    if row["canceled"]:
        return "canceled"
    return {
        "Split": lambda: f"{row['new_shares']:g} for {row['old_shares']:g}",
        "Dividend": lambda: f"{row['amount']:g} {row['currency']}",
        "SymbolChanged": lambda: f"{row['old_symbol']} became {row['new_symbol']}",
    }.get(row["type"], lambda: "")()


def _running() -> "Settings":
    from infra.embedded.running import running_settings

    return running_settings(load_settings())


def _ratio(text: str) -> tuple[float, float]:
    try:
        new, old = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise UsageError(f"--split {text!r}: write NEW:OLD, 2:1 when one share became two") from error
    if not (0 < new <= 100_000 and 0 < old <= 100_000):
        raise UsageError(f"--split {text}: both numbers are above 0")
    return new, old


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--ex-date {text!r} is no date: write YYYY-MM-DD, for instance 2005-02-28") from error
