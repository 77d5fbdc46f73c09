"""What a person asks of a backtest in words, as a request: symbols, files, sizes, dates, parameters."""

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infra.errors import UsageError
from producers.cli.collect import BAR_SIZES, parse_date
from producers.cli.config import load_settings

if TYPE_CHECKING:
    from schemas.backtest import BacktestRequested

_SYMBOLS_MAX = 1000
_PRICE_FILES = (".csv", ".parquet", ".pq")


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


def files_of(source: str) -> list[Path]:
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


def benchmark_file(benchmark: str) -> Path | None:
    return Path(benchmark) if benchmark.lower().endswith(_PRICE_FILES) else None


def benchmark_of(benchmark: str, file: Path | None) -> str:
    """The benchmark by name. Raises UsageError for one that is not where the prices are."""
    from infra.symbol_names import parse_symbol
    from schemas.backtest import NO_BENCHMARK

    own_file = benchmark_file(benchmark)
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
