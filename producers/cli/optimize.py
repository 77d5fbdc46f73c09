"""`scizor optimize`: search a strategy's parameters, and be told what the best of them is worth."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.collect import BAR_SIZES
from producers.cli.report_file import report_to, write_page
from producers.cli.run_config import configured, from_config, source_of

if TYPE_CHECKING:
    from engine.research.request import Allowed
    from producers.cli.strategy_files import StrategyFile
    from producers.cli.uploaded import Uploaded
    from schemas.backtest import BacktestRequested
    from schemas.research import OptimizationRequested

METHODS = ("grid", "random", "tpe", "nsga2", "genetic")


def optimize(  # each is an option of the command
    strategy: Annotated[
        str, typer.Argument(help="A name from `scizor strategy list` or of an upload, or a FILE.py of your own.")
    ] = "",
    param: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=RANGE", help="low:high:step, low:high, or values by commas; repeat it. None: the strategy's."
        ),
    ] = None,
    symbols: Annotated[str, typer.Option(metavar="A,B", help="Symbols, by commas; a FILE has one.")] = "",
    source: Annotated[
        list[str] | None,
        typer.Option(metavar="topic|database|FILE", show_default="topic", help="Where the bars come from."),
    ] = None,
    bar_size: Annotated[str, typer.Option(help="1d, 1h, 1m or 5s; a FILE tells its own.")] = "1d",
    start_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="First day; else all there is.")] = "",
    end_date: Annotated[str, typer.Option(metavar="YYYY-MM-DD", help="Last day; else all there is.")] = "",
    method: Annotated[str, typer.Option(help=", ".join(METHODS) + ".")] = "grid",
    objective: Annotated[
        str, typer.Option(metavar="METRIC,..", help="A metric, :min or :max if need be; nsga2 and tpe take several.")
    ] = "sharpe",
    constraint: Annotated[
        list[str] | None, typer.Option(metavar="CONDITION", help='For instance "fast < slow"; repeat it.')
    ] = None,
    trials: Annotated[int, typer.Option(min=0, help="At most; 0: the whole grid, else 100.")] = 0,
    batch: Annotated[int, typer.Option(help="Sets chosen at once; the population of nsga2 and genetic.")] = 16,
    seed: Annotated[int, typer.Option(min=0, help="The same seed tries the same sets.")] = 1,
    prune: Annotated[bool, typer.Option("--prune", help="Give up on those below the median at half time.")] = False,
    walk_forward: Annotated[
        str, typer.Option(metavar="anchored|rolling", help="Search, test on what follows, move on.")
    ] = "",
    train: Annotated[int | None, typer.Option(help="Sessions to search in, of a walk; else 504.")] = None,
    test: Annotated[int | None, typer.Option(help="Sessions to test on, of a walk; else 126.")] = None,
    gap: Annotated[int | None, typer.Option(help="Sessions left out between the two, of a walk; else 0.")] = None,
    holdout: Annotated[float, typer.Option(help="The last part of the time, never searched: 0.2 is a fifth.")] = 0.0,
    read_holdout: Annotated[
        bool, typer.Option("--read-holdout", help="Look at it with the best set: this goes on record.")
    ] = False,
    cash: Annotated[float, typer.Option(help="Money at the start.")] = 100_000.0,
    quantity: Annotated[float, typer.Option(help="Shares of a full position.")] = 100.0,
    commission_bps: Annotated[float, typer.Option(help="Basis points of the traded value.")] = 10.0,
    slippage_bps: Annotated[float, typer.Option(help="Basis points of the price.")] = 0.0,
    commission: Annotated[str, typer.Option(metavar="NAME[=RATE]", help="ib_fixed=0.005, ib_tiered, ...")] = "",
    slippage: Annotated[str, typer.Option(metavar="NAME[=RATE]", help="half_spread=5, volume_share=0.1, ...")] = "",
    sizing: Annotated[str, typer.Option(metavar="NAME[=PERCENT]", help="percent_of_equity=50, ...")] = "",
    rule: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A rule of docs/backtests.md; repeat it.")
    ] = None,
    workers: Annotated[int, typer.Option(min=0, help="Processes, for a search right here; 0: one per core.")] = 0,
    executor: Annotated[
        str, typer.Option(metavar="process|dask://HOST:PORT", help="Who does the runs of a search right here.")
    ] = "",
    resume: Annotated[str, typer.Option(metavar="ID", help="Go on with a search that was interrupted.")] = "",
    cancel: Annotated[str, typer.Option(metavar="ID", help="Stop a search that the backtester is doing.")] = "",
    report: Annotated[
        Path | None, typer.Option(metavar="FILE.html", callback=report_to, help="Write the result, one page.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")] = False,
    config: Annotated[
        Path | None,
        typer.Option("--config", metavar="FILE.yaml", is_eager=True, callback=from_config, help="Options from a file."),
    ] = None,
    context: typer.Context = None,  # type: ignore[assignment] # whoever calls it as a function has none
) -> None:
    """Search a strategy's parameters: by the backtester over collected bars, or over a FILE right here.

    It runs right here when the prices are a FILE, when the strategy is a FILE.py of your own, and with --workers or
    --executor.
    Every run goes to the ledger of trials, and counts in what the best one is worth.
    """
    from producers.cli import search_here, search_there
    from producers.cli.run_rules import rules_from
    from producers.cli.search_view import show

    if cancel:
        search_there.cancel(cancel)
        print(f"told the backtester to stop search {cancel}", file=sys.stderr)
        return
    place = search_here.Place(executor or "process", workers)
    if resume:
        done = search_here.resume(resume, place) or search_there.wait_for(resume)
    else:
        if not strategy:
            raise UsageError("which strategy? `scizor strategy list` shows them")
        read_from = source_of(source)
        own, file = _own(strategy), _file(read_from)
        here = bool(own or file or executor or workers)
        uploaded = None if own else _uploaded(strategy, here=here)
        backtest = _backtest(
            code_sha256=own.sha256 if own else uploaded.code_sha256 if uploaded else "",
            file=file,
            strategy=own.name if own else strategy,
            symbols=symbols,
            bar_size=bar_size,
            dates=(start_date, end_date),
            source="topic" if file else read_from,
            cash=cash,
            quantity=quantity,
            commission_bps=commission_bps,
            slippage_bps=slippage_bps,
            rules=rules_from({"commission": commission, "slippage": slippage, "sizing": sizing}, rule or []),
        )
        request = _request(
            backtest,
            _known(backtest.strategy, own, uploaded),
            param or [],
            configured(context),
            method=method,
            objectives=tuple(each.strip() for each in objective.split(",") if each.strip()),
            constraints=tuple(constraint or ()),
            trials=trials or None,
            batch=batch,
            seed=seed,
            prune=prune,
            walk_forward=_walk(walk_forward, train=train, test=test, gap=gap),
            holdout=holdout,
            read_holdout=read_holdout,
        )
        if here and read_from == "database":
            raise UsageError("a search right here reads --source topic or a price file: PRICES.csv")
        done = search_here.search(request, place, own, file) if here else search_there.search(request)
    if report is not None:
        from engine.research.page import page

        write_page(report, page(done))
    show(done, as_json=as_json)


def _uploaded(strategy: str, *, here: bool) -> "Uploaded | None":
    """What somebody uploaded under this name; None when nobody did."""
    from engine.registry import names
    from infra.embedded.running import find_stack
    from producers.cli.config import load_settings
    from producers.cli.uploaded import newest

    settings = load_settings()
    reached = find_stack(settings) or settings
    if strategy in names() or not reached.database_url.get_secret_value():
        return None
    found = newest(reached, strategy)
    if found and here:
        raise UsageError(
            f"{strategy} was uploaded: the backtester searches it, over --source topic or database, without --workers "
            "and --executor"
        )
    return found


@dataclass(frozen=True)
class _Known:
    """What may be searched, and the ranges that the strategy itself says."""

    allowed: "Allowed"
    ranges: dict[str, str]


def _known(strategy: str, own: "StrategyFile | None", uploaded: "Uploaded | None") -> _Known:
    from engine.declared_parameters import declared_ranges
    from engine.research.evaluation import strategy_of
    from engine.research.request import allowed_by, declared_by

    if uploaded:
        allowed = declared_by(uploaded.defaults, uploaded.parameter_schema)
        return _Known(allowed, declared_ranges(uploaded.parameter_schema))
    text = own.source if own else ""
    try:
        return _Known(allowed_by(strategy, text), strategy_of(strategy, text).Config.ranges())
    except ValueError as error:
        raise UsageError(str(error)) from None


def _walk(kind: str, **lengths: int | None) -> dict[str, Any] | None:
    """Lengths of a walk that nobody asked for would be passed over in silence: UsageError."""
    given = {name: length for name, length in lengths.items() if length is not None}
    if kind:
        return {"kind": kind, **given}
    if given:
        raise UsageError(f"--{next(iter(given))} is of a walk: add --walk-forward rolling or anchored, or leave it out")
    return None


def _own(strategy: str) -> "StrategyFile | None":
    from producers.cli.strategy_files import is_file, read_strategy

    return read_strategy(strategy) if is_file(strategy) else None


def _file(source: str) -> Path | None:
    if source in ("topic", "database"):
        return None
    path = Path(source)
    if not path.exists() and "," in source:
        raise UsageError(f"a search takes one FILE of one size of bars, not {source}")
    if not path.exists():
        raise UsageError(f"no source {source!r}: write topic, database, or the name of a CSV or Parquet file")
    return path


def _backtest(*, file: Path | None, symbols: str, bar_size: str, **rest: Any) -> Any:
    from producers.cli import asked_backtest

    if bar_size not in BAR_SIZES:
        raise UsageError(f"no bars of size {bar_size!r}: choose one of {', '.join(BAR_SIZES)}")
    return asked_backtest.request_of(
        symbols=asked_backtest.symbols_of(symbols, file),
        file="" if file is None else str(file),
        bar_size=BAR_SIZES[bar_size],
        parameters={},
        **rest,
    )


def _request(
    backtest: "BacktestRequested", known: _Known, given: list[str], told: Mapping[str, Any], **rest: Any
) -> "OptimizationRequested":
    """`told` are parameters of a config, which hold where they are not searched. UsageError in one line for whatever is
    wrong."""
    from pydantic import ValidationError

    from engine.research.request import plan_of
    from engine.research.space import Axis
    from schemas.research import OptimizationRequested

    try:
        axes = [Axis.parse(each) for each in given]
        single = {axis.name: axis.values[0] for axis in axes if len(axis.values) == 1}
        ranges = [text_of for axis, text_of in zip(axes, given, strict=True) if axis.name not in single]
        if not ranges:
            ranges = [f"{name}={search}" for name, search in known.ranges.items() if name not in single]
        searched = {Axis.parse(each).name for each in ranges}
        single = {name: value for name, value in told.items() if name not in searched} | single
        request = OptimizationRequested(
            event_time=backtest.event_time,
            ingest_time=backtest.ingest_time,
            optimization_id=backtest.backtest_id,
            backtest=backtest.revised(parameters=single),
            axes=tuple(ranges),
            requested_by="cli",
            **rest,
        )
        plan_of(request, known.allowed)
    except ValidationError as error:
        first = error.errors()[0]
        name = "--" + str(first["loc"][0]).replace("_", "-") if first["loc"] else "these options"
        if name == "--axes":
            raise UsageError(
                f"{backtest.strategy} says nothing about what to search: --param NAME=LOW:HIGH:STEP"
            ) from None
        raise UsageError(f"{name}: {first['msg'].removeprefix('Value error, ').lower()}") from None
    except ValueError as error:
        raise UsageError(str(error)) from None
    return request
