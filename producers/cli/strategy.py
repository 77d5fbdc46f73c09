"""`scizor strategy`: write one, list them, and find out whether one can be believed."""

import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infra.errors import UsageError
from producers.cli.gate import gate
from producers.cli.run_config import configured, parameters_from_config

if TYPE_CHECKING:
    from engine.scrutiny import Verdict
    from engine.strategy import BaseStrategy

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", metavar="FILE.yaml", callback=parameters_from_config, help="Parameters from the config of a run."
    ),
]

app = typer.Typer(no_args_is_help=True, add_completion=False)

_FOR_TESTS = ("pytest", "pytest-asyncio", "pytest-timeout")  # within a clone pytest alone refuses the clone's settings


@app.callback()
def strategy() -> None:
    """Strategies: docs/strategies.md leads from the first file to a backtest."""


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Small letters and underscores, like mean_reversion.")],
    into: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write.")] = Path(),
    as_json: AsJson = False,
) -> None:
    """Write NAME.py, test_NAME.py and NAME.yaml: a strategy that runs, to put your own idea into."""
    from engine.registry import names
    from producers.cli.strategy_template import write_strategy

    paths = write_strategy(name, into, names())
    if as_json:
        print(json.dumps({"name": name, "files": [str(path) for path in paths]}, indent=2))
        return
    for path in paths:
        print(path)
    file, test, config = paths
    print(f"next: scizor strategy check {file}", file=sys.stderr)
    if any(find_spec(each.replace("-", "_")) is None for each in _FOR_TESTS):
        print(f"      {sys.executable} -m pip install {' '.join(_FOR_TESTS)}", file=sys.stderr)
    print(f"      {sys.executable} -m pytest {test}", file=sys.stderr)
    print(f"      scizor backtest run {file} --config {config} --source PRICES.csv", file=sys.stderr)


@app.command("list")
def list_strategies(
    folder: Annotated[Path | None, typer.Argument(metavar="[FOLDER]", help="Also the files of this folder.")] = None,
    as_json: AsJson = False,
) -> None:
    """Every strategy with what it does, its parameters, their defaults and what to search.

    A file that cannot be loaded is told with its line, and makes the exit code 1.
    """
    from engine.registry import names, strategy_class
    from producers.cli.strategy_files import in_folder

    found = [_described(name, strategy_class(name), "") for name in names()]
    own, errors = in_folder(folder) if folder else ([], [])
    found += [_described(file.name, each, str(file.path)) for file, each in own]
    if as_json:
        print(json.dumps({"strategies": found, "errors": [vars(each) for each in errors]}, indent=2))
    else:
        for each in found:
            print(each["name"] + (f"  ({each['file']})" if each["file"] else ""))
            print(f"    {each['description']}")
            if each["parameters"]:
                print(f"    {', '.join(_parameter(each, name) for name in each['parameters'])}")
    for error in errors:
        print(
            f"scizor: {error.error if error.file in error.error else f'{error.file}: {error.error}'}", file=sys.stderr
        )
    if errors:
        raise typer.Exit(1)


def _described(name: str, strategy_class: "type[BaseStrategy]", file: str) -> dict[str, Any]:
    config = strategy_class.Config
    warmup, settled = _bars(strategy_class)
    return {
        "name": name,
        "description": (strategy_class.__doc__ or "").strip().partition("\n")[0],
        "parameters": {key: field.get_default() for key, field in config.model_fields.items()},
        "search": config.ranges(),
        "warmup": warmup,
        "settled": settled,
        "file": file,
    }


def _bars(strategy_class: "type[BaseStrategy]") -> tuple[int | None, int | None]:
    """Bars until it is first asked, and until its indicators forgot where they began, with the default parameters."""
    from engine.strategy import ParameterError

    try:
        built = strategy_class(strategy_class.Config.parse({}))
    except ParameterError:  # it has parameters without a default
        return None, None
    return built.warmup, built.settled


def _parameter(each: dict[str, Any], name: str) -> str:
    search = each["search"].get(name)
    return f"{name}={each['parameters'][name]}" + (f" [{search}]" if search else "")


@app.command()
def check(
    context: typer.Context,
    strategy: Annotated[
        str, typer.Argument(metavar="FILE|NAME", help="A file, or a name from `scizor strategy list`.")
    ],
    param: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="A parameter; repeat it.")] = None,
    source: Annotated[str, typer.Option(metavar="FILE", help="A CSV or Parquet file; else an invented market.")] = "",
    symbols: Annotated[int, typer.Option(min=1, max=10, help="How many symbols the invented market has.")] = 2,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings fail too.")] = False,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Find out whether a strategy can be believed.

    Its text is read for clocks, chance, files and shared state. It is run on bars cut at many moments: what it saw and
    said before a cut may not change when later bars are there. And it is run on a shorter history: its indicators must
    show the same. A FILE runs here, as you.
    """
    from engine.scrutiny import Severity
    from producers.cli.asked_backtest import parameters_of

    verdict = _examined(strategy, {**configured(context), **parameters_of(param or [])}, source, symbols)
    failing = (Severity.ERROR, Severity.WARNING) if strict else (Severity.ERROR,)
    failed = any(each.severity in failing for each in verdict.findings)
    if as_json:
        findings = [vars(each) for each in verdict.findings]
        facts = {"strategy": strategy, "passed": not failed, "bars": verdict.bars, "decisions": verdict.decisions}
        print(json.dumps({**facts, "findings": findings}, indent=2))
    else:
        _show(verdict, strategy, failed=failed)
    if failed:
        raise typer.Exit(1)


def _examined(strategy: str, parameters: dict[str, Any], source: str, symbols: int) -> "Verdict":
    from engine.registry import UnknownStrategyError, strategy_class
    from engine.scrutiny import examine, examine_source
    from producers.cli.price_file import read_prices
    from producers.cli.strategy_files import beside, is_file, read_strategy

    columns = read_prices(Path(source), "FILE") if source else None
    if is_file(strategy):
        file = read_strategy(strategy)
        return examine_source(file.source, file.name, parameters, columns, symbols)
    try:
        return examine(strategy_class(strategy), parameters, columns, symbols)
    except UnknownStrategyError as error:
        raise UsageError(f"{error}{beside(strategy) or '; a file ends in .py'}") from None


def _show(verdict: "Verdict", strategy: str, *, failed: bool) -> None:
    for each in verdict.findings:
        where = f"{strategy}:{each.line}" if each.line else strategy
        print(f"{each.severity:<8}{each.rule:<11}{where}  {each.text}")
    outcome = "failed" if failed else "passed"
    findings = f"{len(verdict.findings)} finding{'s' * (len(verdict.findings) != 1)}"
    print(f"{outcome}: {findings}, {verdict.decisions:,} decisions on {verdict.bars:,} bars")


app.command("gate")(gate)  # the last in --help, as it is the last to be asked
