"""A backtest as it is asked for and answered on the topics: from request and columns to the finished event."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import pairwise
from typing import Any

import numpy as np

from engine.backtest import BacktestError, BacktestOptions, BacktestResult
from engine.column_path import run_quickest
from engine.columns import BarColumns, Floats
from engine.extracts import by_symbol, prices, thinned, time_text
from engine.ledger import Curve
from engine.market import Market
from engine.options import rules_of
from engine.registry import strategy_class
from engine.research.ledger import entry
from engine.statistics import session_ends
from schemas.backtest import NO_BARS, NO_BENCHMARK, BacktestFinished, BacktestRequested, Trial
from schemas.market import Source
from schemas.moments import to_datetime, to_microseconds

UNKNOWN_SOURCE = "Nobody said where the prices come from."

POINTS_MAX = 20_000
FILLS_MAX = 10_000
ROUND_TRIPS_MAX = 5_000
_SESSIONS_FEW = 250
_TRADES_FEW = 30
_REASON_MAX = 200
_JUMP = 0.4
_JUMPS_TOLD = 3
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
        fills=tuple(_fills(result)),
        round_trips=tuple(_round_trips(result)),
        equity=_points(result.curve, result.curve.equity),
        benchmark=_benchmark(result),
        prices=prices(result),
        by_symbol=by_symbol(result),
        sources=result.columns.sources,
        warnings=(*notes, *_warnings(result)),
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


def _fills(result: BacktestResult) -> list[dict[str, Any]]:
    return [
        {
            "time": time_text(each.time_us),
            "symbol": result.columns.symbol(each.contract_id),
            "side": "BUY" if each.quantity > 0 else "SELL",
            "quantity": _text(abs(each.quantity)),
            "price": _text(each.price),
            "commission": _text(each.commission),
            "slippage": _text(each.slippage * abs(each.quantity)),
            "reason": each.reason[:_REASON_MAX],
        }
        for each in result.executions[-FILLS_MAX:]
    ]


def _round_trips(result: BacktestResult) -> list[dict[str, Any]]:
    return [
        {
            "symbol": result.columns.symbol(each.contract_id),
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
        for each in result.round_trips[-ROUND_TRIPS_MAX:]
    ]


def _points(curve: Curve, values: Floats) -> tuple[tuple[str, float], ...]:
    """`values` at the ends of sessions; when there are few sessions, also at each bar between, as many as there is
    room for."""
    kept = thinned(session_ends(curve.times_us), POINTS_MAX)
    if len(kept) < _SESSIONS_FEW:
        kept = np.union1d(kept, thinned(np.arange(len(curve.times_us)), POINTS_MAX - len(kept)))
    times = map(time_text, curve.times_us[kept].tolist())
    return tuple(zip(times, values[kept].tolist(), strict=True))


def _benchmark(result: BacktestResult) -> tuple[float, ...]:
    if not len(result.benchmark):
        return ()
    return tuple(value for _, value in _points(result.curve, result.benchmark))


def _warnings(result: BacktestResult) -> list[str]:
    """What a reader must know, the gravest first."""
    sources, found = result.columns.sources, result.metrics
    shortest = min(len(own) for own in result.columns.rows.values())
    said: list[tuple[object, str]] = [
        (Source.SYNTHETIC in sources, "The prices are synthetic: invented from a seed, they say nothing of a market."),
        (Source.DERIVED in sources, "Prices inside the day are derived: invented so that they add up to real days."),
        (not sources, UNKNOWN_SOURCE),
        (shortest < result.warmup, f"{result.warmup} bars pass before the first decision; one symbol has {shortest}."),
        *((True, sentence) for sentence in _jumps(result.columns)),
        (not result.options.slippage_rate, "No slippage is assumed: every order filled at the open, as if alone."),
        (not result.options.commission_rate, "No commission is assumed."),
        (
            (found.trades or 0) < _TRADES_FEW,
            f"Only {_count(found.trades, 'closed trade')}: figures about trades rest on very little.",
        ),
        (
            found.open_trades,
            f"Still open at the end, valued at the last close: {_count(found.open_trades, 'position')}.",
        ),
        (
            result.options.fill == "same_close",
            "Market orders filled at the close they were decided on: that price is gone when it is known.",
        ),
        (result.denied, _denied(result)),
        (result.unfilled, f"Still waiting for an open at the end: {_count(result.unfilled, 'order')}."),
        (result.curve.equity.min() <= 0, "The account was ruined on the way: equity fell to zero or below."),
        (len(result.executions) > FILLS_MAX or len(result.round_trips) > ROUND_TRIPS_MAX, _kept(result)),
    ]
    return [sentence for holds, sentence in said if holds]


def _count(number: float | None, noun: str) -> str:
    return f"{number or 0:.0f} {noun}{'' if number == 1 else 's'}"


def _denied(result: BacktestResult) -> str:
    first = f" The first: {result.denied[0].reason}." if result.denied else ""
    return f"The account could not carry {_count(len(result.denied), 'order')}.{first}"


def _kept(result: BacktestResult) -> str:
    fills, trips = len(result.executions), len(result.round_trips)
    kept = f"Only the last {FILLS_MAX:,} of {fills:,} fills and the last {ROUND_TRIPS_MAX:,} of {trips:,} round trips"
    return f"{kept} are kept here; the figures count them all."


def _jumps(columns: BarColumns) -> list[str]:
    """Moves from a close to the next open that look like a split nobody adjusted for."""
    found = []
    for contract_id, own in columns.rows.items():
        before, after = columns.close[own[:-1]], columns.open[own[1:]]
        moves = np.divide(after, before, out=np.ones(len(before)), where=before > 0)
        for place in np.flatnonzero((moves > 0) & ((moves < 1 - _JUMP) | (moves > 1 / (1 - _JUMP))))[:_JUMPS_TOLD]:
            day = f"{to_datetime(int(columns.start_us[own[place + 1]])):%Y-%m-%d}"
            move = f"{moves[place] - 1:+.0%}".replace("-", "\N{MINUS SIGN}")
            found.append(f"{columns.symbol(contract_id)} opened {move} on {day}: perhaps a split not adjusted for.")
    return found[:_JUMPS_TOLD]
