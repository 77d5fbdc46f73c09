"""A long backtest as it is asked for and answered: as `engine.answer`, in memory that does not grow with the bars.

Fills, equity, hashes and the ledger's entry are those of a run over all bars at once; figures that are means over every
bar may differ in their last digits, since they are summed up in another order.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

from engine.answer import check, options_of, shown_points, told_fills, told_trips
from engine.backtest import BacktestOptions
from engine.circumstances import Circumstances, warnings
from engine.columns import BarColumns
from engine.ledger import Curve
from engine.long_figures import Held
from engine.long_run import LongResult, run_pieces
from engine.long_survey import Bars, Survey, pieces
from engine.long_watch import Gathering
from engine.market import Market
from engine.options import BacktestError
from engine.research.ledger import Evaluated, entry
from engine.sizing import GAUGED
from engine.statistics import StrategyMetrics, intervals, periods_per_year, session_ends, session_returns
from engine.statistics.benchmark import against
from engine.statistics.figures import of_money, of_returns, of_trades, sharpe_of
from engine.statistics.model import rounded
from engine.strategy import BaseStrategy
from schemas.backtest import NO_BARS, NO_BENCHMARK, BacktestFinished, BacktestRequested, Trial

_AT_DAWN = ("on_session_open", "on_corporate_action")
OnProgress = Callable[[int, int], None]


def why_not(request: BacktestRequested, strategy_class: type[BaseStrategy]) -> str:
    """Why the run needs all bars at once; empty when it does not."""
    try:
        strategy = strategy_class(strategy_class.Config.parse(request.parameters))
    except Exception as error:  # noqa: BLE001 - a strategy may raise whatever it likes: the run itself says it
        return f"{strategy_class.__name__} cannot be made: {error}"
    if strategy.frames:
        return "indicators on larger frames"
    options = options_of(request)
    if options.sizing in GAUGED:
        return f"sizing {options.sizing}"
    looks_at_the_bar = options.fill == "same_close" or options.limit_fill == "queue"
    if looks_at_the_bar and strategy_class.on_timer is not BaseStrategy.on_timer:
        return "timers with fill=same_close or limit_fill=queue"  # what they give at a night looks at the bar before it
    if options.fill == "same_close" and any(
        getattr(strategy_class, each) is not getattr(BaseStrategy, each) for each in _AT_DAWN
    ):
        return "orders at the opening with fill=same_close"  # where no night lies between, the close is one before it
    return ""


@dataclass(frozen=True)
class Long:
    """What is asked for: a strategy over bars that are read piece by piece, beside those of a benchmark of its own."""

    request: BacktestRequested
    strategy_class: type[BaseStrategy]
    bars: Bars
    benchmark: Bars | None = None
    market: Market = field(default_factory=Market)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Ran:
    """One run, with everything that was gathered of it."""

    asked: Long
    options: BacktestOptions
    parameters: dict[str, object]
    survey: Survey
    found: Gathering
    result: LongResult

    def symbol(self, contract_id: int) -> str:
        return self.asked.bars.symbols.get(contract_id, str(contract_id))


def answer_long(
    asked: Long, on_progress: OnProgress, *, code_hash: str, now: Callable[[], datetime]
) -> tuple[BacktestFinished, Trial]:
    """Run, and tell what came of it. Raises ValueError, in one line, for whatever is wrong with request or bars."""
    request = asked.request
    check(request)
    survey = Survey.of(asked.bars)
    known = {asked.bars.symbols.get(each) for each in survey.by_contract}
    if missing := sorted(set(request.symbols) - known):
        raise BacktestError(f"{NO_BARS} {missing[0]}: collect them first, or widen the dates")
    options, config = options_of(request), asked.strategy_class.Config.parse(request.parameters)
    shown = shown_points(survey.session_ends, survey.times)
    found = Gathering(survey, shown, _held(asked, survey, options.cash), asked.market, on_progress)
    result = run_pieces(pieces(asked.bars), asked.strategy_class, config, options, market=asked.market, watch=found)
    found.end()
    ran = _Ran(asked, options, config.model_dump(mode="json"), survey, found, result)
    curve = _curve(result)
    done = _finished(ran, curve, code_hash, now())
    return done, _trial(ran, curve, done)


def _held(asked: Long, survey: Survey, cash: float) -> Held:
    """What the run is held against. Raises BacktestError when the benchmark has no bars in the run's time."""
    if asked.request.benchmark == NO_BENCHMARK:
        return Held(cash, ())
    if not asked.request.benchmark:
        return Held(cash, tuple(survey.by_contract))
    bars = _between(asked.benchmark, survey)
    first = next(bars, None)
    if first is None:
        name = asked.request.benchmark
        raise BacktestError(f"{NO_BARS} the benchmark {name}: collect them first, or name another one")
    return Held(cash, first.contracts, chain((first,), bars))


def _between(bars: Bars | None, survey: Survey) -> Iterator[BarColumns]:
    """Those that begin within the run's time."""
    for each in () if bars is None else pieces(bars):
        if part := each.select(start_us=survey.start_us, end_us=survey.end_us):
            yield part


def _curve(result: LongResult) -> Curve:
    """The account at the end of each session."""
    curve = result.curve
    kept = session_ends(curve.times_us)
    return Curve(curve.times_us[kept], curve.equity[kept], curve.gross[kept], curve.cash)


def _metrics(ran: _Ran, curve: Curve) -> StrategyMetrics:
    found = ran.found
    periods, returns = periods_per_year(curve.times_us), session_returns(curve)
    worth = found.benchmark_at_ends(curve.times_us.tolist())
    theirs = session_returns(Curve(curve.times_us, worth, worth, curve.cash)) if len(worth) else worth
    return StrategyMetrics(
        **of_money(found.sums.sums(), found.depths.figures(), periods, len(curve.times_us)),
        **of_returns(returns, curve.times_us, periods),
        **of_trades(found.trips.closed()),
        **found.trips.excursions(),
        **against(returns, theirs, periods),
    )


def _finished(ran: _Ran, curve: Curve, code_hash: str, now: datetime) -> BacktestFinished:
    request, found, metrics = ran.asked.request, ran.found, _metrics(ran, curve)
    return BacktestFinished(
        event_time=now,
        ingest_time=now,
        backtest_id=request.backtest_id,
        request=request,
        succeeded=True,
        code_hash=code_hash,
        bars=ran.survey.bars,
        data_digest=ran.survey.digest,
        result_hash=ran.result.result_hash,
        metrics=metrics.model_dump(),
        confidence=intervals(session_returns(curve), metrics.periods_per_year),
        fills=tuple(told_fills(found.executions, ran.symbol)),
        round_trips=tuple(told_trips(found.trips.last, ran.symbol)),
        equity=tuple(found.points),
        benchmark=tuple(found.benchmark),
        prices=found.prices(ran.symbol),
        by_symbol=found.by_symbol(ran.symbol),
        sources=ran.asked.bars.sources,
        warnings=(*ran.asked.notes, *_warnings(ran, metrics)),
    )


def _warnings(ran: _Ran, metrics: StrategyMetrics) -> Sequence[str]:
    found = ran.found
    return warnings(
        Circumstances(
            ran.options,
            ran.asked.bars.sources,
            min(ran.survey.by_contract.values()),
            ran.result.warmup,
            found.jumps(),
            metrics.trades or 0,
            metrics.open_trades or 0,
            found.sums.fills,
            found.denied,
            found.first_denied,
            ran.result.unfilled,
            found.sums.lowest,
        )
    )


def _trial(ran: _Ran, curve: Curve, done: BacktestFinished) -> Trial:
    returns, periods = session_returns(curve), periods_per_year(curve.times_us)
    evaluated = Evaluated(
        ran.parameters,
        ran.options,
        ran.survey.digest,
        returns,
        curve.times_us,
        rounded(sharpe_of(returns, periods)),
        done.metrics["total_return"],
        done.metrics["trades"],
        rounded(periods),
        ran.survey.start_us,
        ran.survey.end_us,
    )
    return entry(done.request, evaluated, code_hash=done.code_hash, now=done.event_time)
