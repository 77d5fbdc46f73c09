"""Backtests as events: the request, its progress, its result, and every trial ever run."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.event import Event, Name, UtcTime


class BacktestRequested(Event):
    """Work for the backtester: replay the bars of `symbols` through a strategy."""

    type: Literal["BacktestRequested"] = "BacktestRequested"
    backtest_id: Name
    strategy: Name
    parameters: dict[str, Any] = Field(default_factory=dict)
    symbols: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
    bar_size: Annotated[timedelta, Field(gt=timedelta(0))] = timedelta(days=1)
    start: UtcTime | None = None
    end: UtcTime | None = None
    source: Literal["topic", "database"] = "topic"
    cash: Annotated[float, Field(gt=0)] = 100_000.0
    quantity: Annotated[float, Field(gt=0)] = 100.0
    """Shares of a full-strength position."""
    commission_bps: Annotated[float, Field(ge=0, le=1000)] = 10.0
    slippage_bps: Annotated[float, Field(ge=0, le=1000)] = 0.0
    requested_by: Name


class BacktestCanceled(Event):
    """Nobody wants the result any more."""

    type: Literal["BacktestCanceled"] = "BacktestCanceled"
    backtest_id: Name
    by: Name


class BacktestProgress(Event):
    """How far the replay has come."""

    type: Literal["BacktestProgress"] = "BacktestProgress"
    backtest_id: Name
    phase: Literal["reading", "running", "reporting"]
    bars_done: int
    bars_total: int


class BacktestFinished(Event):
    """The result, or why there is none."""

    type: Literal["BacktestFinished"] = "BacktestFinished"
    backtest_id: Name
    request: BacktestRequested
    succeeded: bool
    error: Annotated[str, Field(max_length=2000)] = ""
    code_hash: str = ""
    bars: int = 0
    data_digest: str = ""
    """SHA-256 over the bars that were replayed."""
    result_hash: str = ""
    """SHA-256 over fills and equity: the same request on the same bars gives the same hash."""
    metrics: dict[str, float | None] = Field(default_factory=dict)
    confidence: dict[str, tuple[float, float]] = Field(default_factory=dict)
    """95 % intervals of the main figures, by name; empty for a short run."""
    benchmark: tuple[float, ...] = ()
    """What the benchmark was worth at each point of `equity`."""
    fills: tuple[dict[str, Any], ...] = ()
    round_trips: tuple[dict[str, Any], ...] = ()
    equity: tuple[tuple[str, float], ...] = ()
    """(RFC 3339 time, equity) at the end of each session, or of each bar when there are few sessions, thinned to at
    most 5,000 points."""
    sources: tuple[str, ...] = ()
    """Where the prices come from: values of `schemas.market.Source`."""
    warnings: tuple[str, ...] = ()
    """What a reader must know before believing the figures."""


class Trial(Event):
    """One evaluation of one parameter set, ever: what deflated Sharpe and its kin have to count."""

    type: Literal["Trial"] = "Trial"
    trial_id: Name
    code_hash: Name
    strategy: Name
    parameters: dict[str, Any] = Field(default_factory=dict)
    symbols: tuple[Name, ...]
    data_digest: str
    sharpe: float | None
    total_return: float | None
    observations: int


BacktestRequest = Annotated[BacktestRequested | BacktestCanceled, Field(discriminator="type")]
