"""A backtest as it is asked for and answered on the topics: from request and columns to the finished event."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from engine.backtest import BacktestError, BacktestOptions, BacktestResult
from engine.circumstances import FILLS_MAX, ROUND_TRIPS_MAX, circumstances_of, warnings
from engine.column_path import run_quickest
from engine.columns import BarColumns, Floats, Integers
from engine.exchange import Execution
from engine.extracts import by_symbol, prices, spread, thinned, time_text
from engine.ledger import Curve, RoundTrip
from engine.market import Market
from engine.options import rules_of
from engine.registry import strategy_class
from engine.research.ledger import entry
from engine.statistics import session_ends
from schemas.backtest import NO_BARS, NO_BENCHMARK, BacktestFinished, BacktestRequested, Trial
from schemas.moments import to_datetime, to_microseconds

POINTS_MAX = 20_000
_SESSIONS_FEW = 250
_REASON_MAX = 200
_NAMED_MAX = 5


def check(request: BacktestRequested) -> None:
    """Raise ValueError, in one line, when strategy, parameters, money or time of the request cannot be.

    Parameters of a strategy that somebody uploaded are looked at where its code runs.
    """
    if not request.code_sha256:
        strategy_class(request.strategy).Config.parse(request.parameters)
    options_of(request)
    if request.start and request.end and request.end <= request.start:
        raise BacktestError(f"the end {request.end:%Y-%m-%d} is not after the start {request.start:%Y-%m-%d}")
    sizes = (request.bar_size, *request.larger_bar_sizes)
    if any(larger <= smaller for smaller, larger in pairwise(sizes)):
        raise BacktestError("bars beside are larger than those that drive the run, and ascend in size")


def answer(
    request: BacktestRequested,
    columns: BarColumns,
    on_progress: Callable[[int, int], None] | None = None,
    market: Market | None = None,
) -> BacktestResult:
    """Run what `request` asks for over those of `columns` that lie in its time.

    Raises ValueError, in one line, for whatever is wrong with the request or the bars.
    """
    wanted, options = prepared(request, columns)
    strategy = strategy_class(request.strategy)
    return run_quickest(wanted, strategy, strategy.Config.parse(request.parameters), options, on_progress, market)


def held_against(request: BacktestRequested, result: BacktestResult, bars: BarColumns | None) -> BacktestResult:
    """The result beside the benchmark that the request names, whose `bars` were looked for with the run's own.

    Raises BacktestError when there are none in the run's time.
    """
    if not request.benchmark:
        return result
    if request.benchmark == NO_BENCHMARK:
        return replace(result, benchmark_bars=result.columns.select(contracts=()))
    first_us, last_us = int(result.columns.start_us.min()), int(result.columns.end_us[-1])
    known = None if bars is None else bars.select(start_us=first_us, end_us=last_us)
    if not known:
        raise BacktestError(
            f"{NO_BARS} the benchmark {request.benchmark}{_between(request)}: collect them first, or name another one"
        )
    return replace(result, benchmark_bars=known)


def prepared(request: BacktestRequested, columns: BarColumns) -> tuple[BarColumns, BacktestOptions]:
    """The bars that a run is about and the rules it keeps to. Raises ValueError as `answer` does."""
    check(request)
    return chosen(request, columns), options_of(request)


def chosen(request: BacktestRequested, columns: BarColumns) -> BarColumns:
    """Those of `columns` that lie in the request's time. Raises BacktestError when a symbol has none."""
    start_us = to_microseconds(request.start) if request.start else None
    end_us = to_microseconds(request.end) if request.end else None
    wanted = columns.select(start_us=start_us, end_us=end_us)
    missing = sorted(set(request.symbols) - {wanted.symbol(each) for each in wanted.contracts})
    if missing:
        names = ", ".join(missing[:_NAMED_MAX]) + (" and others" if len(missing) > _NAMED_MAX else "")
        known = columns.select([each for each in columns.contracts if columns.symbol(each) == missing[0]])
        if known:
            there = f"there are some of {missing[0]} from {_day(known.start_us[0])} until {_day(known.end_us[-1])}"
            raise BacktestError(f"{NO_BARS} {names}{_between(request)}: {there}, so widen the dates")
        raise BacktestError(f"{NO_BARS} {names}{_between(request)}: collect them first, or widen the dates")
    return wanted


def _day(moment_us: Any) -> str:
    return f"{to_datetime(int(moment_us)):%Y-%m-%d}"


def options_of(request: BacktestRequested) -> BacktestOptions:
    """Its money and rules. Raises ValueError for what cannot be."""
    return BacktestOptions(
        cash=request.cash,
        quantity=request.quantity,
        **{
            "commission_rate": request.commission_bps,
            "slippage_rate": request.slippage_bps,
            **rules_of(request.rules),
        },
    )


def _between(request: BacktestRequested) -> str:
    after = f" from {request.start:%Y-%m-%d}" if request.start else ""
    return after + (f" until {request.end:%Y-%m-%d}" if request.end else "")


def finished(
    request: BacktestRequested, result: BacktestResult, *, code_hash: str, now: datetime, notes: Sequence[str] = ()
) -> BacktestFinished:
    """The event of a run that succeeded; the last fills and round trips when there are more than fit in a record.

    `notes` are what a reader must know of the bars, beside what the result itself warns of.
    """
    return BacktestFinished(
        event_time=now,
        ingest_time=now,
        backtest_id=request.backtest_id,
        request=request,
        succeeded=True,
        code_hash=code_hash,
        bars=len(result.columns),
        data_digest=result.data_digest,
        result_hash=result.result_hash,
        metrics=result.metrics.model_dump(),
        confidence=result.confidence,
        fills=tuple(told_fills(result.executions[-FILLS_MAX:], result.columns.symbol)),
        round_trips=tuple(told_trips(result.round_trips[-ROUND_TRIPS_MAX:], result.columns.symbol)),
        equity=_points(result.curve, result.curve.equity),
        benchmark=_benchmark(result),
        prices=prices(result),
        by_symbol=by_symbol(result),
        sources=result.columns.sources,
        warnings=(*notes, *warnings(circumstances_of(result))),
    )


def failed(request: BacktestRequested, error: str, *, now: datetime) -> BacktestFinished:
    """The event of a run that could not be."""
    return BacktestFinished(
        event_time=now,
        ingest_time=now,
        backtest_id=request.backtest_id,
        request=request,
        succeeded=False,
        error=" ".join(error.split())[:2000],
    )


def trial(done: BacktestFinished, result: BacktestResult) -> Trial:
    """The ledger's entry; its id is a function of all that the figures depend on, so a repetition counts once."""
    return entry(done.request, result, code_hash=done.code_hash, now=done.event_time)


def _text(value: float) -> str:
    """All of its digits, so that the float is read back from them bit by bit."""
    return format(Decimal(repr(float(value) + 0.0)).normalize(), "f")


def told_fills(executions: Iterable[Execution], symbol: Callable[[int], str]) -> list[dict[str, Any]]:
    """As the finished event has them."""
    return [
        {
            "time": time_text(each.time_us),
            "symbol": symbol(each.contract_id),
            "side": "BUY" if each.quantity > 0 else "SELL",
            "quantity": _text(abs(each.quantity)),
            "price": _text(each.price),
            "commission": _text(each.commission),
            "slippage": _text(each.slippage * abs(each.quantity)),
            "reason": each.reason[:_REASON_MAX],
        }
        for each in executions
    ]


def told_trips(trips: Iterable[RoundTrip], symbol: Callable[[int], str]) -> list[dict[str, Any]]:
    """As the finished event has them."""
    return [
        {
            "symbol": symbol(each.contract_id),
            "direction": "long" if each.quantity > 0 else "short",
            "quantity": _text(abs(each.quantity)),
            "entry_time": time_text(each.entry_us),
            "entry_price": _text(each.entry_price),
            "exit_time": time_text(each.exit_us),
            "exit_price": _text(each.exit_price),
            "bars": each.bars,
            "commission": _text(each.commission),
            "pnl": _text(each.pnl),
            "return": None if each.gain is None else float(f"{each.gain:.12g}"),
            "open": each.open,
        }
        for each in trips
    ]


def _points(curve: Curve, values: Floats) -> tuple[tuple[str, float], ...]:
    """`values` at the ends of sessions; when there are few sessions, also at each bar between, as many as there is
    room for."""
    kept = shown_points(session_ends(curve.times_us), len(curve.times_us))
    times = map(time_text, curve.times_us[kept].tolist())
    return tuple(zip(times, values[kept].tolist(), strict=True))


def shown_points(ends: Integers, times: int) -> Integers:
    """Which of so many times are shown, when sessions end at `ends`."""
    kept = thinned(ends, POINTS_MAX)
    return np.union1d(kept, spread(times, POINTS_MAX - len(kept))) if len(kept) < _SESSIONS_FEW else kept


def _benchmark(result: BacktestResult) -> tuple[float, ...]:
    if not len(result.benchmark):
        return ()
    return tuple(value for _, value in _points(result.curve, result.benchmark))
