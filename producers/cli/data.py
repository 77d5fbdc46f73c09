"""`scizor data`: how good and how complete the stored market data are; into files, out of the database, and back."""

import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli import corporate, quarantine
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(corporate.app, name="action")

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
BarSizeText = Annotated[str, typer.Option("--bar-size", help="1d, 1h, 1m, 5s ...")]
Year = Annotated[int, typer.Argument(metavar="YEAR", help="The calendar year (UTC) in which the bars begin.")]

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_FORMATS = ("parquet", "csv", "arrow")
_ADJUSTMENTS = ("split", "raw", "total_return")


@app.callback()
def data() -> None:
    """Stored market data: quality, completeness, corporate actions, export and archive."""


# completeness


@app.command()
def coverage(
    symbols: Annotated[
        list[str] | None, typer.Argument(metavar="[SYMBOL]...", help="All with bars of the size, if none is named.")
    ] = None,
    bar_size: BarSizeText = "1d",
    as_json: AsJson = False,
) -> None:
    """What the exchange's calendar leads one to expect, beside what is stored: by year, and what is missing and why."""
    from pydantic_core import to_jsonable_python

    from producers.cli import shelf_desk
    from producers.cli.records import run, table, to_json

    size, settings = _size(bar_size), _running()
    found = run(shelf_desk.coverages(settings, symbols or [], size), settings)
    if as_json:
        print(to_json(to_jsonable_python({"coverage": [each.as_dict() for each in found]}), indent=2))
        return
    rows = [["SYMBOL", "YEAR", "SESSIONS", "COMPLETE", "PARTIAL", "MISSING", "BARS", "%"]]
    for each in found:
        years = [(str(year), tally) for year, tally in each.years.items()]
        for name, tally in [*years, *([("all", each.total)] if len(years) > 1 else [])]:
            counts = (tally.sessions, tally.complete, tally.partial, tally.missing)
            rows.append([each.symbol, name, *map(str, counts), f"{tally.bars:,}", f"{tally.percent:.2f}"])
    if len(rows) > 1:
        print(table(rows))
    elif not found:
        named = "`scizor data coverage SYMBOL` names the sizes that are stored of one"
        print(f"no bars of {bar_size}: {named}; `scizor collect history SYMBOL` brings some")
    for each in found:
        _tell_lacks(each)


def _tell_lacks(found: Any) -> None:
    if found.note:
        print(f"{found.symbol}: {found.note}")
    for lack in found.lacks[:20]:
        span = f"{lack.first}" if lack.first == lack.last else f"{lack.first} to {lack.last}"
        bars = f", {lack.bars:,} of {lack.expected:,} bars" if lack.state == "partial" else ""
        print(f"{found.symbol}: {span} {lack.state} ({lack.sessions} sessions{bars}): {lack.reason}")
    more = len(found.lacks[20:]) + found.lacks_left_out
    if more:
        print(f"{found.symbol}: and {more} more; --json lists them")


# files


@app.command()
def export(
    symbol: Annotated[str, typer.Argument(metavar="SYMBOL", help="AAPL, BHP:ASX or BHP:ASX:AUD.")],
    out: Annotated[Path, typer.Option(help="The file to write.")],
    format: Annotated[str, typer.Option(help="parquet, csv or arrow; else what the file's name says.")] = "",  # noqa: A002 - the option's name
    bar_size: BarSizeText = "1d",
    start_date: Annotated[str, typer.Option(help="2010-01-01, 2010, 30d, 3y; else the first bar.")] = "",
    end_date: Annotated[str, typer.Option(help="The last day, month or year; else the last bar.")] = "",
    adjustment: Annotated[str, typer.Option(help="split, raw or total_return.")] = "split",
    as_json: AsJson = False,
) -> None:
    """Write the stored bars of a symbol to a file; a size that is not stored is made of a smaller one."""
    from infra.bar_moments import bar_size_text
    from producers.cli import shelf_desk
    from producers.cli.records import run, to_json

    kind = format or out.suffix.removeprefix(".")
    if kind not in _FORMATS:
        raise UsageError(f"no format {kind!r}: choose --format {', '.join(_FORMATS)}")
    if adjustment not in _ADJUSTMENTS:
        raise UsageError(f"no adjustment {adjustment!r}: choose one of {', '.join(_ADJUSTMENTS)}")
    wanted = shelf_desk.Export(symbol, kind, out, _size(bar_size), adjustment, start_date, end_date)
    settings = _running()
    plan, bars = run(shelf_desk.export(settings, wanted), settings)
    made_from = bar_size_text(timedelta(seconds=plan.series.bar_size_seconds)) if plan.is_aggregated else ""
    if as_json:
        facts = {"file": str(out), "format": kind, "bars": bars, "bytes": out.stat().st_size, "made_from": made_from}
        basis = {"adjustment": adjustment, "stored_basis": plan.series.basis, "warning": plan.warning}
        print(to_json(facts | basis, indent=2))
    else:
        made = f", made from bars of {made_from}" if made_from else ""
        print(f"{bars:,} bars in {out} ({out.stat().st_size:,} bytes){made}")
    if plan.warning:
        print(plan.warning, file=sys.stderr)


@app.command()
def archive(
    year: Year,
    keep: Annotated[bool, typer.Option("--keep", help="Write the files only, leave the rows where they are.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask before the rows are dropped.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a year of bars to Parquet, read it back, and drop its rows; `scizor data restore` brings them back."""
    from producers.cli import archiving
    from producers.cli.records import run

    if not keep and not yes:
        typer.confirm(f"Drop the bars of {year} from the database once their archive is proved?", abort=True, err=True)
    settings = _running()
    _tell_year(run(archiving.archive(settings, year, drop=not keep), settings), "archived", as_json)


@app.command()
def restore(year: Year, as_json: AsJson = False) -> None:
    """Bring the bars of an archived year back into the database."""
    from producers.cli import archiving
    from producers.cli.records import run

    settings = _running()
    _tell_year(run(archiving.restore(settings, year), settings), "restored", as_json)


@app.command()
def clean(
    days: Annotated[int, typer.Option(min=0, help="Findings decided at least so many days ago.")] = 90,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without it, only say what may go.")] = False,
    as_json: AsJson = False,
) -> None:
    """What nobody needs: findings that were decided, unfinished archives, restored years whose archive is whole."""
    from producers.cli import archiving
    from producers.cli.records import run, to_json

    settings = _running()
    found = run(archiving.clean(settings, days, act=yes), settings)
    if as_json:
        facts = {"decided_findings": found.decided_findings, "restored_years": found.restored_years, "done": yes}
        print(to_json(facts | {"unfinished_archives": [str(each) for each in found.unfinished_archives]}, indent=2))
        return
    print(f"findings decided {days} days ago or earlier: {found.decided_findings}")
    print(f"unfinished archives: {', '.join(map(str, found.unfinished_archives)) or 'none'}")
    print(f"years that were restored from their archive: {', '.join(map(str, found.restored_years)) or 'none'}")
    if not yes:
        print("nothing was changed: --yes does it")


def _tell_year(told: Any, what: str, as_json: bool) -> None:
    from producers.cli.records import to_json

    if as_json:
        facts = {"year": told.year, "folder": str(told.folder), "rows": told.rows, "bytes": told.bytes}
        print(to_json(facts | {"dropped": told.dropped}, indent=2))
        return
    print(f"{told.rows:,} bars of {told.year} {what}: {told.folder} ({told.bytes:,} bytes)")


def _running() -> "Settings":
    from infra.embedded.running import running_settings

    return running_settings(load_settings())


def _size(text: str) -> timedelta:
    number, unit = text[:-1], text[-1:].lower()
    if not number.isdigit() or unit not in _UNITS or not 0 < int(number) * _UNITS[unit] <= 31 * 86_400:
        raise UsageError(f"no bars of size {text!r}: write 5s, 1m, 1h or 1d")
    return timedelta(seconds=int(number) * _UNITS[unit])
