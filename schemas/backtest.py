"""Backtests as events: the request, its progress, its result, and every trial ever run."""

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import Field

from schemas.event import Event, Name, UtcTime

NO_BENCHMARK = "none"
"""The benchmark of a run that is held against nothing."""
NO_BARS = "no bars of"
"""How the error begins when nothing is known of a symbol in the time asked for."""


class BacktestRequested(Event):
    """Work for the backtester: replay the bars of `symbols` through a strategy."""

    type: Literal["BacktestRequested"] = "BacktestRequested"
    backtest_id: Name
    strategy: Name
    parameters: dict[str, Any] = Field(default_factory=dict)
    symbols: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1000)]
    bar_size: Annotated[timedelta, Field(gt=timedelta(0))] = timedelta(days=1)
    """Of the bars that drive the run: the smallest, in which orders fill."""
    larger_bar_sizes: Annotated[tuple[Annotated[timedelta, Field(gt=timedelta(0))], ...], Field(max_length=4)] = ()
    """Bars beside those, ascending: what a strategy's larger frames of the same size look at, once they have closed."""
    start: UtcTime | None = None
    end: UtcTime | None = None
    source: Literal["topic", "database"] = "topic"
    basis: Literal["split_adjusted", "raw"] = "split_adjusted"
    """Raw prices come with splits and dividends, which change positions, orders and cash as they did."""
    benchmark: Annotated[str, Field(max_length=128)] = ""
    """The symbol that is bought and held beside the run, or `none`; empty: the run's own symbols, in equal parts."""
    cash: Annotated[float, Field(gt=0)] = 100_000.0
    quantity: Annotated[float, Field(gt=0)] = 100.0
    """Shares of a full-strength position."""
    commission_bps: Annotated[float, Field(ge=0, le=1000)] = 10.0
    slippage_bps: Annotated[float, Field(ge=0, le=1000)] = 0.0
    rules: Annotated[dict[str, str | float], Field(max_length=40)] = Field(default_factory=dict)
    """Rules of the exchange and the account by name (docs/backtests.md); those named here come before the two above."""
    requested_by: Name
    code_sha256: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")] = ""
    """Of the text of an uploaded strategy; empty for one that SCIZOR ships."""
    file: Annotated[str, Field(max_length=4096)] = ""
    """Where the bars are, in place of `source`, for a run where the file lies; the backtester refuses to read it."""


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
    eta_seconds: float | None = None
    """How long the rest of the bars will take at the rate so far; None while nobody can say."""
    asked_at: str = ""
    """Which record of the request this is about, as partition/offset: a request may be sent again."""
    worker: str = ""
    """Which process does the work."""
    finished: bool = False
    """The last word: the result is on its topic."""


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
    """(RFC 3339 time, equity) at the end of each session, at most 20,000 of them; below 250 sessions also at the end of
    each bar, thinned to 20,000 points in all."""
    prices: tuple[dict[str, Any], ...] = ()
    """For the first symbols: `symbol`, `time`, `close` and `indicators` by name, thinned to at most 1,000 points."""
    by_symbol: tuple[dict[str, Any], ...] = ()
    """What each symbol brought: `symbol`, `bars`, `trades`, `win_rate`, `traded`, `commission`, `slippage`, `pnl`."""
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
    purpose: Literal["backtest", "search", "train", "test", "holdout"] = "backtest"
    """What it was run for: by itself, in a search, to train or to test a fold, or to read what was held out."""
    study_id: str = ""
    """The optimisation it belongs to."""
    start: UtcTime | None = None
    """Where the first bar begins."""
    end: UtcTime | None = None
    """Where the last bar ends."""
    trades: int = 0
    periods_per_year: float | None = None
    skew: float | None = None
    kurtosis: float | None = None
    """Of session returns, as `skew`; 3 for a normal law."""
    returns_days: int = 0
    """How many days, counted from 1970, each of `returns_ppm` adds up; 0 where there are none."""
    returns_first: int = 0
    """The number of the first such stretch of days since 1970."""
    returns_ppm: tuple[int, ...] = ()
    """Session returns added up by stretch, in millionths: enough to see which trials move together."""


BacktestRequest = Annotated[BacktestRequested | BacktestCanceled, Field(discriminator="type")]
