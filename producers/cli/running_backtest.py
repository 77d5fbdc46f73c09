"""A backtest from the command line: asked for on the topics or run right here, and told about."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from engine.answer import chosen, finished, held_against, prepared, trial
from engine.backtest import BacktestResult
from engine.column_path import run_quickest
from engine.columns import BarColumns
from engine.long_answer import Long, answer_long, why_not
from engine.material import Material, with_larger
from engine.registry import strategy_class
from engine.report import comparison, page
from engine.report.words import benchmark_name
from engine.strategy import BaseStrategy
from engine.strategy_source import at_line
from infra.bar_moments import bar_size_text
from infra.bar_scratch import Scratch
from infra.clock import SystemClock
from infra.engine_code import code_hash
from infra.errors import EnvironmentUnhealthyError, ScizorError, UsageError
from infra.kept_results import KeptResults
from infra.settings import Settings
from infra.symbol_names import UNKNOWN_SYMBOL
from infra.trial_book import TrialBook
from producers.cli.backtest_document import document
from producers.cli.config import load_settings
from producers.cli.desk import Desk
from producers.cli.long_files import benchmark_prices, long_prices
from producers.cli.price_file import read_files, read_prices
from producers.cli.records import run as run_with_kafka
from producers.cli.report_file import write_page
from producers.cli.strategy_files import StrategyFile
from producers.cli.topic_bars import LongMaterial, read_material_or_long
from producers.cli.trial_ledger import hand_over
from schemas.backtest import NO_BARS, BacktestFinished, BacktestProgress, BacktestRequested, Trial
from schemas.event import Event

_TOPICS = ("backtest.progress.v1", "backtest.results.v1")
_SILENCE_SECONDS = 60.0
_SECONDS_MAX = 3660.0  # a little longer than a run may take


class BacktestFailedError(ScizorError):
    """The backtester said that it could not."""


@dataclass(frozen=True)
class PriceFiles:
    """The bars of a run in a file, or in some of several sizes, and those of its benchmark in another, if in one."""

    prices: Path
    benchmark: Path | None = None
    more: tuple[Path, ...] = ()
    sizes: tuple[timedelta, ...] = ()
    """Those that are wanted; empty: all."""

    def read(self, request: BacktestRequested) -> tuple[BacktestRequested, Material]:
        """The request says afterwards which sizes there are, where there are several."""
        found = self._by_size(request.symbols[0])
        beside = None
        if self.benchmark is not None:
            beside = read_prices(self.benchmark, request.benchmark)
        (smallest, columns), *others = found.items()
        if not others:
            return request, Material(columns, beside)
        sources = tuple(sorted({source for each in found.values() for source in each.sources}))
        larger = {size: chosen(request, each) for size, each in others}
        asked = request.revised(bar_size=smallest, larger_bar_sizes=tuple(larger))
        return asked, with_larger(Material(replace(columns, sources=sources), beside), larger)

    def long(self, request: BacktestRequested, at_once: int, scratch: Scratch) -> LongMaterial | None:
        """For a run piece by piece: see `long_prices`."""
        own = None if self.more else long_prices(self.prices, self.sizes, request, at_once, scratch)
        if own is None:
            return None
        beside = None if self.benchmark is None else benchmark_prices(self.benchmark, request, scratch)
        return LongMaterial(own, beside)

    def _by_size(self, symbol: str) -> dict[timedelta, BarColumns]:
        """The smallest first."""
        found: dict[timedelta, BarColumns] = {}
        paths = (self.prices, *self.more)
        for path, by_size in read_files(paths, symbol, self.sizes):
            for size, columns in by_size.items():
                if size in found:
                    raise UsageError(
                        f"{path}: bars of {bar_size_text(size)} are in another file already: several files are sizes "
                        "of one symbol, several symbols run over --source topic or database"
                    )
                found[size] = columns
        if self.sizes:
            if missing := [size for size in self.sizes if size not in found]:
                there = ", ".join(map(bar_size_text, sorted(found)))
                raise UsageError(f"no bars of {bar_size_text(missing[0])} in the file: it has {there}")
            found = {size: each for size, each in found.items() if size in self.sizes}
        return dict(sorted(found.items()))


def run_file(request: BacktestRequested, files: PriceFiles) -> BacktestFinished:
    """Run over the file's bars in this process, without anything else running."""
    try:
        return _run_here(request, strategy_class(request.strategy), files)
    except ValueError as error:
        raise UsageError(str(error)) from None


def run_own(request: BacktestRequested, own: StrategyFile, bars: PriceFiles | Settings) -> BacktestFinished:
    """Run a person's own text in this process, over a file's bars or those of the topics."""
    strategy = own.loaded()
    try:
        return _run_here(request, strategy, bars)
    except ValueError as error:
        raise UsageError(f"{error}{at_line(error.__cause__ or error, f'{own.name}.py')}") from error


def _run_here(
    request: BacktestRequested, strategy: type[BaseStrategy], bars: PriceFiles | Settings
) -> BacktestFinished:
    """More bars than are wanted in memory are read piece by piece, unless the run has to see all of them."""
    settings = load_settings()
    at_once = None if why_not(request, strategy) else settings.backtest_bars_at_once
    with Scratch(settings.home) as scratch:
        found: LongMaterial | Material | None
        if isinstance(bars, PriceFiles):
            found = None if at_once is None else bars.long(request, at_once, scratch)
        else:
            found = run_with_kafka(read_material_or_long(bars, request, at_once, scratch), bars)
        if isinstance(found, LongMaterial):
            return _kept(*_long(request, strategy, found))
    if isinstance(bars, PriceFiles):
        request, found = bars.read(request)
    assert found is not None, "topics give bars or refuse"
    wanted, options = prepared(request, found.columns)
    config = strategy.Config.parse(request.parameters)
    result = run_quickest(wanted, strategy, config, options, market=found.market)
    return _on_record(request, found, result)


def _long(
    request: BacktestRequested, strategy: type[BaseStrategy], bars: LongMaterial
) -> tuple[BacktestFinished, Trial]:
    asked = Long(request, strategy, bars.own, bars.benchmark, notes=bars.notes)
    code = code_hash(request.code_sha256)
    return answer_long(asked, lambda done, total: None, code_hash=code, now=SystemClock().now)


def _on_record(request: BacktestRequested, material: Material, ran: BacktestResult) -> BacktestFinished:
    result = held_against(request, ran, material.benchmark)
    code = code_hash(request.code_sha256)
    done = finished(request, result, code_hash=code, now=SystemClock().now(), notes=material.notes)
    return _kept(done, trial(done, result))


def _kept(done: BacktestFinished, noted: Trial) -> BacktestFinished:
    """Told only once the ledger has it: every run counts in what a strategy's best one is worth."""
    settings = load_settings()
    TrialBook(settings.home).append([noted])
    KeptResults(settings.home).keep(done)
    hand_over(settings)
    return done


def ask(settings: Settings, request: BacktestRequested) -> BacktestFinished:
    """Publish the request and wait for its result; progress goes to stderr."""
    return run_with_kafka(_ask(settings, request), settings)


async def _ask(settings: Settings, request: BacktestRequested) -> BacktestFinished:
    async with Desk(settings) as desk:
        feed = await desk.feed(_TOPICS)
        await desk.publish(request)
        events = feed.events(_SECONDS_MAX)
        deadline = desk.clock.monotonic() + _SECONDS_MAX
        while desk.clock.monotonic() < deadline:
            told = await _next(events, request.backtest_id)
            if isinstance(told, BacktestFinished):
                return _succeeded(told)
            if not told.finished:
                print(_progress(told), file=sys.stderr)
    raise EnvironmentUnhealthyError(_unanswered(request.backtest_id, _SECONDS_MAX))


def _progress(told: BacktestProgress) -> str:
    of = f" of {told.bars_total:,}" if told.bars_total else ""
    left = f", {told.eta_seconds:.0f} s left" if told.eta_seconds is not None else ""
    return f"{told.phase}: {told.bars_done:,}{of} bars{left}"


async def _next(events: AsyncIterator[Event], backtest_id: str) -> BacktestProgress | BacktestFinished:
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            async for event in events:
                if isinstance(event, BacktestProgress | BacktestFinished) and event.backtest_id == backtest_id:
                    return event
    except TimeoutError:
        pass
    raise EnvironmentUnhealthyError(_unanswered(backtest_id, _SILENCE_SECONDS))


def _unanswered(backtest_id: str, seconds: float) -> str:
    return (
        f"the backtester has said nothing about {backtest_id} for {seconds:.0f} s: `scizor status` shows whether it "
        f"runs; the request is not lost, `scizor backtest show {backtest_id}` finds its result"
    )


def _succeeded(told: BacktestFinished) -> BacktestFinished:
    if told.succeeded:
        return told
    if told.error.startswith((UNKNOWN_SYMBOL, NO_BARS)):
        raise UsageError(told.error)
    raise BacktestFailedError(told.error)


def write_report(told: BacktestFinished, path: Path) -> None:
    """On a page."""
    if not told.succeeded:
        raise UsageError(f"there is no report of a backtest that failed: {told.error}")
    write_page(path, page(told))


def write_comparison(found: Sequence[BacktestFinished], path: Path) -> None:
    """Several on one page."""
    try:
        text = comparison(found)
    except ValueError as error:
        raise UsageError(f"no report: {error}") from None
    write_page(path, text)


def show_finished(told: BacktestFinished, *, as_json: bool, series: bool = True) -> None:
    """The result on stdout, its warnings on stderr."""
    if as_json:
        print(json.dumps(document(told, series=series), indent=2))
        return
    if not told.succeeded:
        print(f"{told.backtest_id} failed: {told.error}")
        return
    for warning in told.warnings:
        print(f"note: {warning}", file=sys.stderr)
    first, last = told.equity[0][0][:10], told.equity[-1][0][:10]
    print(f"{told.request.strategy} on {', '.join(told.request.symbols)}: {told.bars:,} bars, {first} to {last}")
    for name, text in figures(told):
        print(f"  {name:<20}{text:>16}")
    if told.benchmark:
        change = told.metrics.get("benchmark_return")
        print(f"  {'benchmark':<20}{'-' if change is None else f'{change:+.2%}':>16}  {benchmark_name(told)}")
    print(f"  {'backtest':<20}{told.backtest_id}")


_FIGURES = (
    ("final equity", "final_equity", "{:,.2f}"),
    ("total return", "total_return", "{:+.2%}"),
    ("return a year", "annualised_return", "{:+.2%}"),
    ("volatility a year", "annualised_volatility", "{:.2%}"),
    ("Sharpe", "sharpe", "{:.2f}"),
    ("Sortino", "sortino", "{:.2f}"),
    ("deepest drawdown", "max_drawdown", "{:.2%}"),
    ("closed trades", "trades", "{:,.0f}"),
    ("won", "win_rate", "{:.1%}"),
    ("profit factor", "profit_factor", "{:.2f}"),
    ("time in the market", "exposure", "{:.1%}"),
    ("commission paid", "commission_paid", "{:,.2f}"),
)


def figures(told: BacktestFinished) -> list[tuple[str, str]]:
    """The figures most looked at, as a person reads them."""
    found = []
    for name, key, form in _FIGURES:
        value = told.metrics.get(key)
        found.append((name, "-" if value is None else form.format(value)))
    return found
