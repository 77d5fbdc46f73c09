"""`scizor backtest`: run a strategy over past bars, and look at what came of earlier runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infra.errors import UsageError
from producers.cli.asked_backtest import (
    benchmark_file,
    benchmark_of,
    files_of,
    parameters_of,
    request_of,
    sizes_of,
    symbols_of,
    uploaded_text,
)
from producers.cli.collect import BAR_SIZES
from producers.cli.config import load_settings
from producers.cli.report_file import report_to
from producers.cli.run_config import configured, from_config, source_of
from producers.cli.run_rules import rules_from

if TYPE_CHECKING:
    from infra.settings import Settings
    from producers.cli.strategy_files import StrategyFile
    from schemas.backtest import BacktestFinished

app = typer.Typer(no_args_is_help=True, add_completion=False)

_BASES = {"split": "split_adjusted", "raw": "raw"}

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
NoSeries = Annotated[bool, typer.Option("--no-series", help="Leave equity and benchmark over time out of --json.")]
ReportTo = Annotated[
    Path | None, typer.Option("--report", metavar="FILE.html", callback=report_to, help="Write the report, one page.")
]


@app.callback()
def backtest() -> None:
    """Strategies over past bars."""


@app.command()
def run(
    context: typer.Context,
    strategy: Annotated[str, typer.Argument(help="A name from `scizor strategy list`, or a FILE.py of your own.")],
    symbols: Annotated[str, typer.Option(metavar="A,B", help="Symbols, by commas; a FILE has one.")] = "",
    start_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="First day; else all there is.")] = "",
    end_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day; else all there is.")] = "",
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter; repeat it.")] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            metavar="topic|database|FILE", show_default="topic", help="Where the bars come from; FILE,FILE for sizes."
        ),
    ] = None,
    basis: Annotated[str, typer.Option(metavar="split|raw", help="Adjusted for splits, or as traded.")] = "split",
    benchmark: Annotated[
        str, typer.Option(metavar="SYMBOL|FILE|none", help="What is bought and held beside; else the symbols.")
    ] = "",
    bar_size: Annotated[
        str,
        typer.Option(metavar="SIZE,...", help="1d (if none is given), 1h, 5m; several: 1d,5m. A FILE tells its own."),
    ] = "",
    cash: Annotated[float, typer.Option(help="Money at the start.")] = 100_000.0,
    quantity: Annotated[float, typer.Option(help="Shares of a full position.")] = 100.0,
    commission_bps: Annotated[float, typer.Option(help="Basis points of the traded value.")] = 10.0,
    slippage_bps: Annotated[float, typer.Option(help="Basis points of the price.")] = 0.0,
    commission: Annotated[str, typer.Option(metavar="NAME[=RATE]", help="ib_fixed=0.005, ib_tiered, ...")] = "",
    slippage: Annotated[str, typer.Option(metavar="NAME[=RATE]", help="half_spread=5, volume_share=0.1, ...")] = "",
    sizing: Annotated[str, typer.Option(metavar="NAME[=PERCENT]", help="percent_of_equity=50, ...")] = "",
    rule: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Like fill=same_close; repeat it.")
    ] = None,
    report: ReportTo = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE.yaml", is_eager=True, callback=from_config, help="Options from a file."),
    ] = None,
    as_json: AsJson = False,
    no_series: NoSeries = False,
) -> None:
    """Run a strategy: over the topics' bars by the backtester, or over a CSV or Parquet FILE right here.

    A strategy of your own, FILE.py, always runs right here, as you. Every model and rule: docs/backtests.md.
    """
    from producers.cli.running_backtest import PriceFiles, ask, run_file, run_own, show_finished, write_report

    own, place = _own(strategy), source_of(source)
    sizes = sizes_of(bar_size)
    file, *more = [None] if place in ("topic", "database") else files_of(place)
    files = file and PriceFiles(file, benchmark_file(benchmark), tuple(filter(None, more)), sizes)
    if file and basis != "split":
        raise UsageError("a FILE's prices are taken as they are: --basis is for --source topic or database")
    if basis not in _BASES:
        raise UsageError(f"no basis {basis!r}: choose one of {', '.join(_BASES)}")
    if own and place == "database":
        raise UsageError(f"{strategy} runs here, over --source topic or a price file: PRICES.csv")
    request = request_of(
        strategy=own.name if own else strategy,
        code_sha256=own.sha256 if own else uploaded_text(strategy, file),
        parameters={**configured(context), **parameters_of(param or [])},
        symbols=symbols_of(symbols, file),
        bar_size=sizes[0] if sizes else BAR_SIZES["1d"],
        larger_bar_sizes=sizes[1:],
        dates=(start_date, end_date),
        source="topic" if file else place,
        file=place if file else "",
        basis=_BASES[basis],
        benchmark=benchmark_of(benchmark, file),
        cash=cash,
        quantity=quantity,
        commission_bps=commission_bps,
        slippage_bps=slippage_bps,
        rules=rules_from({"commission": commission, "slippage": slippage, "sizing": sizing}, rule or []),
    )
    if own:
        finished = run_own(request, own, files or _running())
    else:
        finished = run_file(request, files) if files else ask(_running(), request)
    if report is not None:
        write_report(finished, report)
    show_finished(finished, as_json=as_json, series=not no_series)


@app.command("list")
def list_backtests(
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The newest so many.")] = 20, as_json: AsJson = False
) -> None:
    """Earlier backtests, the newest last."""
    from producers.cli.past_backtests import results, summary, table

    found = results(load_settings())[-limit:]
    if as_json:
        print(json.dumps({"backtests": [summary(each) for each in found]}, indent=2))
    else:
        print(table(found) if found else "no backtests yet: `scizor backtest run buy_and_hold --symbols AAPL`")


@app.command()
def show(backtest_id: str, report: ReportTo = None, as_json: AsJson = False, no_series: NoSeries = False) -> None:
    """One backtest; the beginning of its id is enough."""
    from producers.cli.past_backtests import chosen, results
    from producers.cli.running_backtest import show_finished, write_report

    finished = chosen(results(load_settings()), backtest_id)
    if report is not None:
        write_report(finished, report)
    show_finished(finished, as_json=as_json, series=not no_series)


@app.command()
def compare(
    backtest_ids: Annotated[list[str], typer.Argument(metavar="ID ID...")],
    report: ReportTo = None,
    as_json: AsJson = False,
) -> None:
    """Two or more backtests side by side; the beginnings of their ids are enough."""
    from producers.cli.past_backtests import chosen, comparison, results, summary
    from producers.cli.running_backtest import write_comparison

    if len(backtest_ids) < 2:
        raise UsageError("comparing takes two backtests or more: `scizor backtest list` shows their ids")
    past = results(load_settings())
    found: list[BacktestFinished] = [chosen(past, each) for each in backtest_ids]
    if report is not None:
        write_comparison(found, report)
    if as_json:
        print(json.dumps({"backtests": [{**summary(each), "metrics": each.metrics} for each in found]}, indent=2))
    else:
        print(comparison(found))


def _running() -> "Settings":
    from infra.embedded.running import running_settings

    return running_settings(load_settings(), needs_database=False)


def _own(strategy: str) -> "StrategyFile | None":
    if not strategy.endswith(".py"):
        return None
    from producers.cli.strategy_files import read_strategy

    return read_strategy(strategy)
