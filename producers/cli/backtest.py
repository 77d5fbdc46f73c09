"""`scizor backtest`: run a strategy over past bars, and look at what came of earlier runs."""

import json
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.collect import BAR_SIZES, parse_date
from producers.cli.config import load_settings
from producers.cli.report_file import report_to
from producers.cli.run_config import configured, from_config, source_of
from producers.cli.run_rules import rules_from

if TYPE_CHECKING:
    from infra.settings import Settings
    from producers.cli.strategy_files import StrategyFile
    from schemas.backtest import BacktestFinished, BacktestRequested

app = typer.Typer(no_args_is_help=True, add_completion=False)

_SYMBOLS_MAX = 1000
_BASES = {"split": "split_adjusted", "raw": "raw"}
_PRICE_FILES = (".csv", ".parquet", ".pq")

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
    file, *more = [None] if place in ("topic", "database") else _files(place)
    files = file and PriceFiles(file, _benchmark_file(benchmark), tuple(filter(None, more)), sizes)
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
        benchmark=_benchmark_of(benchmark, file),
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


def request_of(*, dates: tuple[str, str], **rest: Any) -> "BacktestRequested":
    """UsageError in one line for whatever is wrong with it."""
    from pydantic import ValidationError

    from engine.answer import check
    from engine.registry import UnknownStrategyError
    from infra.clock import SystemClock, SystemEntropy
    from producers.cli.strategy_files import beside
    from schemas.backtest import BacktestRequested

    start, end = (parse_date(each) for each in dates)
    if start and end and start > end:
        raise UsageError(f"--start-date {dates[0]} is after --end-date {dates[1]}")
    now = SystemClock().now()
    try:
        request = BacktestRequested(
            event_time=now,
            ingest_time=now,
            backtest_id=SystemEntropy().new_id(),
            start=start,
            end=end + timedelta(days=1) if end else None,
            requested_by="cli",
            **rest,
        )
        check(request)
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).replace("_", "-")
        raise UsageError(f"{name} {first['input']}: {first['msg'].lower()}") from None
    except UnknownStrategyError as error:
        raise UsageError(f"{error}{beside(rest['strategy'])}") from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    return request


def uploaded_text(strategy: str, file: Path | None) -> str:
    """The hash of the text that somebody uploaded under this name; empty when nobody did."""
    from engine.registry import names
    from infra.embedded.running import find_stack
    from producers.cli.uploaded import newest_text

    settings = load_settings()
    reached = find_stack(settings) or settings
    if strategy in names() or not reached.database_url.get_secret_value():
        return ""
    found = newest_text(reached, strategy)
    if found and file is not None:
        raise UsageError(f"{strategy} was uploaded: it runs in the backtester, over --source topic or database")
    return found


def _own(strategy: str) -> "StrategyFile | None":
    if not strategy.endswith(".py"):
        return None
    from producers.cli.strategy_files import read_strategy

    return read_strategy(strategy)


def _files(source: str) -> list[Path]:
    names = [source] if Path(source).exists() else [each.strip() for each in source.split(",") if each.strip()]
    for name in names:
        if not Path(name).exists() and not Path(name).suffix:
            raise UsageError(f"no source {name!r}: write topic, database, or the name of a CSV or Parquet file")
    return [Path(name) for name in names]


def sizes_of(text: str) -> tuple[timedelta, ...]:
    """The sizes of bars, by commas, the smallest first; empty for none."""
    names = [each.strip() for each in text.split(",") if each.strip()]
    for name in names:
        if name not in BAR_SIZES:
            raise UsageError(f"no bars of size {name!r}: choose one of {', '.join(BAR_SIZES)}")
    return tuple(sorted({BAR_SIZES[name] for name in names}))


def symbols_of(text: str, file: Path | None) -> tuple[str, ...]:
    from infra.symbol_names import parse_symbol

    names = tuple(dict.fromkeys(str(parse_symbol(each)) for each in text.split(",") if each.strip()))
    if file is not None:
        if len(names) > 1:
            raise UsageError(f"a file holds one symbol, not {len(names)}: several run over --source topic or database")
        return names or (_named_after(file),)
    if not names:
        raise UsageError("which symbols? --symbols AAPL,MSFT")
    if len(names) > _SYMBOLS_MAX:
        raise UsageError(f"{len(names)} symbols at once are too many: at most {_SYMBOLS_MAX}")
    return names


def _benchmark_file(benchmark: str) -> Path | None:
    return Path(benchmark) if benchmark.lower().endswith(_PRICE_FILES) else None


def _benchmark_of(benchmark: str, file: Path | None) -> str:
    """The benchmark by name. Raises UsageError for one that is not where the prices are."""
    from infra.symbol_names import parse_symbol
    from schemas.backtest import NO_BENCHMARK

    own_file = _benchmark_file(benchmark)
    if file is None and own_file is not None:
        raise UsageError("a benchmark in a file is for a --source that is one: name a symbol")
    if own_file is not None:
        return _named_after(own_file)
    if benchmark in ("", NO_BENCHMARK):
        return benchmark
    if file is not None:
        raise UsageError(f"--benchmark {benchmark}: prices from a file are held against those of a file, or none")
    return str(parse_symbol(benchmark))


def _named_after(file: Path) -> str:
    from infra.symbol_names import SymbolMisspeltError, parse_symbol

    try:
        return str(parse_symbol(file.stem))
    except SymbolMisspeltError:
        return "FILE"


def parameters_of(given: list[str]) -> dict[str, str]:
    """`--param NAME=VALUE`, repeated. Raises UsageError."""
    parameters = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--param {each!r}: write NAME=VALUE, for instance fast=10")
        parameters[name.strip()] = value.strip()
    return parameters
