"""The event-driven backtest: every bar goes through the strategy, every signal and order through the exchange.

A signal at the close of a bar fills no earlier than the next open, unless another fill model is chosen by name.
Indicators are computed as columns and revealed bar after bar, in chunks; the strategy is handed frozen structs; equity
and round trips are computed afterwards.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from engine.columns import BarColumns, Floats
from engine.exchange import Execution
from engine.ledger import Curve, RoundTrip, Turns, curve, round_trips
from engine.market import Market
from engine.options import BacktestError, BacktestOptions, StrategyFailedError
from engine.order_requests import OrderNews
from engine.replay import CHUNK, Replay, told
from engine.result_hash import ResultHash
from engine.statistics import Brief, StrategyMetrics, intervals, metrics, session_returns
from engine.statistics.benchmark import buy_and_hold
from engine.strategy import BaseStrategy, StrategyConfig

__all__ = ["CHUNK", "BacktestError", "BacktestOptions", "BacktestResult", "StrategyFailedError", "run"]


@dataclass(frozen=True, eq=False)
class BacktestResult:
    """What happened. `executions` are in the order they happened, `curve` is the account at each end of a bar.

    Round trips, metrics and hashes are computed when first asked for.
    """

    strategy: str
    parameters: Mapping[str, Any]
    options: BacktestOptions
    columns: BarColumns
    executions: Sequence[Execution]
    curve: Curve
    unfilled: int
    """Orders that still waited for an open at the end."""
    warmup: int
    """Bars of a contract that the strategy needed before it was first asked."""
    turns: Turns = field(default_factory=Turns)
    """What changed cash and positions beside executions."""
    denied: tuple[OrderNews, ...] = ()
    """Orders that the account could not carry."""
    indicators: Mapping[str, Floats] = field(default_factory=dict)
    """By the name that the strategy gave them, else by what they are (`sma(close, 10)`); shape `(bars,)` each."""
    benchmark_bars: BarColumns | None = None
    """Of what the run is held against; None: of what it trades, without bars: of nothing."""

    @cached_property
    def round_trips(self) -> tuple[RoundTrip, ...]:
        """From flat to flat, in the order of their end, those still open last."""
        return round_trips(self.columns, self.executions, self.turns)

    @cached_property
    def metrics(self) -> StrategyMetrics:
        """The figures."""
        benchmark = self.benchmark if len(self.benchmark) else None
        return metrics(self.curve, self.round_trips, self.executions, self.columns, benchmark)

    @cached_property
    def brief(self) -> Brief:
        """A few of the figures, without computing the others."""
        return Brief(self.curve, self.executions, lambda: self.round_trips, turned=bool(self.turns.splits))

    @cached_property
    def benchmark(self) -> Floats:
        """What the starting cash would be worth at each of the curve's times, spread evenly over the contracts that it
        is held against; empty when that are none."""
        bars = self.columns if self.benchmark_bars is None else self.benchmark_bars
        return buy_and_hold(bars, self.curve.times_us, self.curve.cash) if len(bars) else np.empty(0)

    @cached_property
    def confidence(self) -> dict[str, tuple[float, float]]:
        """95 % intervals of the main figures: see `engine.statistics.intervals`."""
        return intervals(session_returns(self.curve), self.metrics.periods_per_year)

    @cached_property
    def data_digest(self) -> str:
        """SHA-256 over the bars, and over those beside them."""
        larger = self.turns.market.larger
        if not larger:
            return self.columns.digest()
        parts = [self.columns.digest(), *(f"{size}:{larger[size].digest()}" for size in sorted(larger))]
        return hashlib.sha256(";".join(parts).encode()).hexdigest()

    @cached_property
    def result_hash(self) -> str:
        """SHA-256 over fills and equity alone: sums and products, whose bits do not depend on the processor."""
        whole = ResultHash()
        whole.fills(self.executions)
        whole.equity(self.curve.times_us, self.curve.equity)
        return whole.hexdigest()


def run(
    columns: BarColumns,
    strategy_class: type[BaseStrategy],
    config: StrategyConfig | None = None,
    options: BacktestOptions | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    market: Market | None = None,
) -> BacktestResult:
    """Run `strategy_class` over `columns`. `on_progress(bars done, bars in all)` may raise to give up.

    Raises BacktestError without bars, CostModelError for an unknown cost model, StrategyFailedError when the strategy
    raises.
    """
    if not len(columns):
        raise BacktestError("there are no bars to run on")
    options, market = options or BacktestOptions(), market or Market()
    replay = _started(columns, strategy_class, config, options, market)
    try:
        replay.play(on_progress or (lambda done, total: None))
    finally:
        replay.let_go()
    executions, shown = replay.exchange.executions, replay.revealed.named()
    turns = Turns(tuple(replay.flows), tuple(replay.splits), market)
    return BacktestResult(
        strategy=strategy_class.__name__,
        parameters=replay.strategy.config.model_dump(mode="json"),
        options=options,
        columns=columns,
        executions=tuple(executions),
        curve=curve(columns, executions, options.cash, turns),
        unfilled=len(replay.exchange.placed()),
        warmup=replay.strategy.warmup,
        turns=turns,
        denied=tuple(replay.denied),
        indicators=shown,
    )


def _started(
    columns: BarColumns,
    strategy_class: type[BaseStrategy],
    config: StrategyConfig | None,
    options: BacktestOptions,
    market: Market,
) -> Replay:
    try:
        strategy = strategy_class(config)
    except Exception as failure:
        raise stillborn(strategy_class, failure) from failure
    replay = Replay(columns, strategy, options, market)
    try:
        strategy.on_start()
    except Exception as failure:
        raise stillborn(strategy_class, failure) from failure
    return replay


def stillborn(strategy_class: type[BaseStrategy], failure: Exception) -> StrategyFailedError:
    """For a strategy that cannot be made or started."""
    return StrategyFailedError(f"{strategy_class.__name__} failed at its start: {told(failure)}")
