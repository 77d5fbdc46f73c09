"""A backtest by columns is the backtest bar by bar: the same fills, equity and hash, to the last bit."""

import math
import random
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.answer import answer, finished
from engine.backtest import BacktestError, BacktestResult, run
from engine.column_path import ColumnPathError, Shown, quickest, run_columns, run_quickest, sweep, sweep_crossings
from engine.columns import BarColumns, Floats
from engine.facts import Bar, Dividend, Fill
from engine.indicators import IndicatorError, atr, rsi, sma
from engine.market import Market
from engine.options import BacktestOptions, StrategyFailedError
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from engine.strategy import BaseStrategy, StrategyConfig, StrategySignal
from schemas.backtest import BacktestRequested
from tests.bars import APPLE, bars_of, columns_of, random_bars
from tests.builders import SEEN
from tests.unit.a_column_market import a_market, some_options, some_targets

SEEDS = st.integers(0, 10**6)


class Played(BaseStrategy):
    """Wants what it was given, in both ways."""

    given: ClassVar[Floats]
    """In the order of the rows."""
    bars: ClassVar[BarColumns]

    def on_start(self) -> None:
        ends = zip(self.bars.contract_id.tolist(), self.bars.end_us.tolist(), strict=True)
        self.by_bar = dict(zip(ends, self.given.tolist(), strict=True))

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        wanted = self.by_bar[bar.contract_id, bar.end_us]
        return None if math.isnan(wanted) else StrategySignal.target(bar.contract_id, wanted)

    def targets(self, columns: Shown) -> Floats:
        return np.concatenate([self.given[own] for own in self.bars.rows.values()])


def playing(columns: BarColumns, targets: Floats) -> type[BaseStrategy]:
    return type("Playing", (Played,), {"given": targets, "bars": columns})


class Framed(BaseStrategy):
    """Indicators of several lengths, of one another, and of a larger frame."""

    class Config(StrategyConfig):
        """The window of the larger frame's average."""

        window: int = 2

    config: Config

    def indicators(self) -> None:
        self.mean = self.declare(sma, "close", 3)
        self.range = self.declare(atr, "high", "low", "close", 5)
        self.smooth = self.declare(sma, (rsi, "close", 4), 2)
        self.large = self.declare(sma, "close", self.config.window, frame="3 hours")
        self.slow = self.declare(sma, self.large, 2)

    def on_bar(self, bar: Bar) -> StrategySignal | None:
        if bar.close > self.slow.now and self.smooth.now > 50:
            return StrategySignal.long(bar.contract_id)
        return StrategySignal.flat(bar.contract_id) if bar.close < self.mean.now - 0.1 * self.range.now else None

    def targets(self, columns: Shown) -> Floats:
        long = (columns.close > columns[self.slow]) & (columns[self.smooth] > 50)
        flat = columns.close < columns[self.mean] - 0.1 * columns[self.range]
        return np.where(long, 1.0, np.where(flat, 0.0, np.nan))


def _fills(result: BacktestResult) -> list[tuple[Any, ...]]:
    return [
        (each.contract_id, each.row, each.time_us, each.quantity, each.price, each.slippage, each.commission)
        for each in result.executions
    ]


def _same(by_columns: BacktestResult, by_events: BacktestResult) -> int:
    assert _fills(by_columns) == _fills(by_events)
    assert by_columns.curve.times_us.tolist() == by_events.curve.times_us.tolist()
    assert by_columns.curve.equity.tolist() == by_events.curve.equity.tolist()
    assert by_columns.curve.gross.tolist() == by_events.curve.gross.tolist()
    assert by_columns.unfilled == by_events.unfilled
    assert by_columns.warmup == by_events.warmup
    assert by_columns.parameters == by_events.parameters
    assert by_columns.result_hash == by_events.result_hash
    return len(by_events.executions)


def _both(
    columns: BarColumns, strategy: type[BaseStrategy], options: BacktestOptions, config: StrategyConfig | None = None
) -> int:
    """How many fills both ways agree on; columns also with Numba's own loops, which runs that share indicators take."""
    by_events = run(columns, strategy, config, options)
    _same(run_columns(columns, strategy, config, options, shared={}), by_events)
    return _same(run_columns(columns, strategy, config, options), by_events)


def _play(seed: int, contracts: int) -> int:
    chance = random.Random(seed)
    columns = a_market(chance, contracts)
    return _both(columns, playing(columns, some_targets(chance, columns)), some_options(chance))


@given(seed=SEEDS)
@settings(max_examples=80, deadline=None)
def test_given_targets_of_one_contract_give_the_same_run(seed: int) -> None:
    _play(seed, 1)


@given(seed=SEEDS, contracts=st.integers(2, 4))
@settings(max_examples=80, deadline=None)
def test_of_contracts_with_other_bars_and_other_missing_days_too(seed: int, contracts: int) -> None:
    _play(seed, contracts)


def test_the_random_runs_do_trade() -> None:
    assert sum(_play(seed, 1 + seed % 4) for seed in range(20)) > 400


@given(seed=SEEDS, contracts=st.integers(1, 4), window=st.integers(1, 5))
@settings(max_examples=30, deadline=None)
def test_indicators_of_all_frames_speak_from_the_same_bar_on(seed: int, contracts: int, window: int) -> None:
    chance = random.Random(seed)

    _both(a_market(chance, contracts), Framed, some_options(chance), Framed.Config(window=window))


@given(seed=SEEDS, contracts=st.integers(1, 4), fast=st.integers(1, 6), short=st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_crossover_is_the_same_with_kept_loops_and_with_numbas_own(
    seed: int, contracts: int, fast: int, short: bool
) -> None:
    chance = random.Random(seed)
    config = MovingAverageCrossover.Config(fast=fast, slow=fast + chance.randint(1, 9), short=short)

    _both(a_market(chance, contracts), MovingAverageCrossover, some_options(chance), config)


def test_a_long_run_is_the_same() -> None:
    columns = columns_of(random_bars(4, 20_001))
    config = MovingAverageCrossover.Config(short=True)

    assert _both(columns, MovingAverageCrossover, BacktestOptions(), config) > 500


def test_round_trips_and_figures_are_the_same() -> None:
    columns = a_market(random.Random(3), 3, days=40)
    config = MovingAverageCrossover.Config(fast=2, slow=5)

    by_events = run(columns, MovingAverageCrossover, config)
    by_columns = run_columns(columns, MovingAverageCrossover, config)

    assert by_columns.round_trips == by_events.round_trips
    assert by_columns.metrics == by_events.metrics
    assert by_columns.indicators.keys() == by_events.indicators.keys()
    for name, column in by_events.indicators.items():
        np.testing.assert_array_equal(by_columns.indicators[name], column)


# many at once


def _close(found: float, wanted: float | None) -> bool:
    return math.isnan(found) if wanted is None else found == pytest.approx(wanted, rel=1e-9, abs=1e-15)


@given(seed=SEEDS, contracts=st.integers(1, 3))
@settings(max_examples=25, deadline=None)
def test_a_sweep_scores_what_single_runs_have(seed: int, contracts: int) -> None:
    chance = random.Random(seed)
    columns, options = a_market(chance, contracts, days=20), some_options(chance)
    configs = [MovingAverageCrossover.Config(fast=fast, slow=fast + 3, short=bool(fast % 2)) for fast in range(1, 6)]

    scores = sweep(columns, MovingAverageCrossover, configs, options)

    for place, config in enumerate(configs):
        single = run(columns, MovingAverageCrossover, config, options)
        assert scores.final_equity[place] == single.curve.equity[-1]
        assert scores.fills[place] == len(single.executions)
        assert _close(scores.total_return[place], single.metrics.total_return)
        assert _close(scores.sharpe[place], single.metrics.sharpe)
        assert _close(scores.max_drawdown[place], single.metrics.max_drawdown)


@given(seed=SEEDS, one_in=st.sampled_from((1, 4, 30)))
@settings(max_examples=60, deadline=None)
def test_a_sweep_scores_whatever_is_held_however_long_as_the_single_run_does(seed: int, one_in: int) -> None:
    chance = random.Random(seed)
    columns, plain = a_market(chance, 1, days=30), {"commission": "bps", "slippage": "fixed"}
    options = some_options(chance, cash=chance.choice((3_000.0, 1e6)), **plain)
    targets = some_targets(chance, columns)
    targets[[bool(chance.randrange(one_in)) for _ in targets]] = np.nan
    strategy = playing(columns, targets)

    single, scores = run(columns, strategy, None, options), sweep(columns, strategy, [StrategyConfig()], options)

    assert scores.final_equity[0] == single.curve.equity[-1]
    assert scores.fills[0] == len(single.executions)
    assert _close(scores.sharpe[0], single.metrics.sharpe)
    assert _close(scores.max_drawdown[0], single.metrics.max_drawdown)


@given(seed=SEEDS)
@settings(max_examples=25, deadline=None)
def test_a_compiled_rule_scores_as_the_sweep_does(seed: int) -> None:
    chance = random.Random(seed)
    columns = a_market(chance, 1, days=20)
    options = some_options(
        chance,
        commission=chance.choice(("none", "bps", "per_share")),
        slippage=chance.choice(("none", "bps", "fixed", "half_spread")),
    )
    pairs = [(fast, fast + chance.randint(1, 9), chance.random() < 0.5) for fast in range(1, 8)]
    columns_of_values = {name: [pair[place] for pair in pairs] for place, name in enumerate(("fast", "slow", "short"))}

    compiled = sweep_crossings(columns, MovingAverageCrossover, columns_of_values, options)
    plain = sweep(
        columns,
        MovingAverageCrossover,
        [MovingAverageCrossover.Config(fast=fast, slow=slow, short=short) for fast, slow, short in pairs],
        options,
    )

    for name in ("final_equity", "total_return", "sharpe", "max_drawdown", "fills"):
        np.testing.assert_array_equal(getattr(compiled, name), getattr(plain, name), err_msg=name)


# what cannot be


class Unshaped(BaseStrategy):
    """Forgets a bar."""

    def targets(self, columns: Shown) -> Floats:
        return columns.close[1:]


class Greedy(BaseStrategy):
    """Wants more than all."""

    def targets(self, columns: Shown) -> Floats:
        return np.full(len(columns.close), 1.5)


@pytest.mark.parametrize(
    ("strategy", "told"),
    [
        (Unshaped, r"Unshaped\.targets gave shape \(2,\)"),
        (Greedy, r"Greedy\.targets left \[-1, 1\]"),
        (BaseStrategy, "has no `targets`"),
    ],
)
def test_targets_that_cannot_be_are_refused_by_name(strategy: type[BaseStrategy], told: str) -> None:
    columns = columns_of(bars_of([10.0, 11.0, 12.0]))

    with pytest.raises(ColumnPathError, match=told):
        run_columns(columns, strategy)
    with pytest.raises(ColumnPathError, match=told):
        sweep(columns, strategy, [StrategyConfig()])


@pytest.mark.parametrize(
    "rule",
    [
        {"fill": "same_close"},
        {"latency_bars": 1},
        {"latency_seconds": 1.0},
        {"account": "cash"},
        {"account": "margin"},
        {"sizing": "percent_of_equity", "sizing_percent": 50.0},
        {"financing_percent": 5.0},
        {"borrow_percent": 2.0},
    ],
    ids=str,
)
def test_rules_that_columns_do_not_know_are_refused(rule: dict[str, Any]) -> None:
    columns, options = columns_of(bars_of([10.0, 11.0, 12.0])), BacktestOptions(**rule)
    strategy = playing(columns, np.array([1.0, np.nan, 0.0]))

    with pytest.raises(ColumnPathError, match="bar by bar"):
        run_columns(columns, strategy, options=options)
    with pytest.raises(ColumnPathError, match="bar by bar"):
        sweep(columns, strategy, [StrategyConfig()], options)


def test_there_must_be_bars() -> None:
    empty = columns_of()

    with pytest.raises(BacktestError, match="no bars"):
        run_columns(empty, MovingAverageCrossover)
    with pytest.raises(BacktestError, match="no bars"):
        sweep(empty, MovingAverageCrossover, [])


def test_a_compiled_rule_refuses_values_that_its_indicators_cannot_take() -> None:
    columns = columns_of(bars_of([10.0, 11.0, 12.0]))

    with pytest.raises(IndicatorError, match="size must be at least 1, not 0"):
        sweep_crossings(columns, MovingAverageCrossover, {"fast": [0], "slow": [2]})


def test_a_compiled_rule_needs_a_rule_one_contract_and_plain_costs() -> None:
    columns, two = columns_of(bars_of([10.0, 11.0, 12.0])), a_market(random.Random(1), 2)
    windows: dict[str, list[Any]] = {"fast": [1], "slow": [2], "short": [False]}

    with pytest.raises(ColumnPathError, match="names no rule"):
        sweep_crossings(columns, Framed, windows)
    with pytest.raises(ColumnPathError, match="one contract"):
        sweep_crossings(two, MovingAverageCrossover, windows)
    with pytest.raises(ColumnPathError, match="plain costs"):
        sweep_crossings(columns, MovingAverageCrossover, windows, BacktestOptions(commission="ib_fixed"))
    with pytest.raises(ColumnPathError, match="bar by bar"):
        sweep_crossings(columns, MovingAverageCrossover, windows, BacktestOptions(fill="same_close"))


# by themselves


def _reasons(result: BacktestResult) -> set[str]:
    """What fills say of why they are: nothing, by columns."""
    return {each.reason for each in result.executions}


def test_a_long_run_goes_by_columns_and_ends_as_it_does_bar_by_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    columns, told = columns_of(random_bars(9, 4000)), []

    by_events = run_quickest(columns, MovingAverageCrossover)
    monkeypatch.setattr(quickest, "BARS_LEAST", 4000)
    by_columns = run_quickest(columns, MovingAverageCrossover, on_progress=lambda *done: told.append(done))

    assert "fast crossed above slow" in _reasons(by_events)
    assert _reasons(by_columns) == {""}
    assert told[-1] == (4000, 4000)
    _same(by_columns, by_events)
    assert by_columns.metrics == by_events.metrics
    assert by_columns.round_trips == by_events.round_trips
    assert by_columns.indicators.keys() == by_events.indicators.keys()


class Listening(MovingAverageCrossover):
    """Hears of its fills, and so may do anything."""

    def on_fill(self, fill: Fill) -> None:
        pass


@pytest.mark.parametrize(
    ("strategy", "options", "market"),
    [
        (Listening, BacktestOptions(), None),
        (MovingAverageCrossover, BacktestOptions(account="cash"), None),
        (MovingAverageCrossover, BacktestOptions(limit_fill="queue"), None),
        (MovingAverageCrossover, BacktestOptions(), Market(actions=(Dividend(APPLE, 0, 0.1),))),
    ],
)
def test_what_columns_do_not_know_goes_bar_by_bar(
    monkeypatch: pytest.MonkeyPatch, strategy: type[BaseStrategy], options: BacktestOptions, market: Market | None
) -> None:
    monkeypatch.setattr(quickest, "BARS_LEAST", 0)

    result = run_quickest(columns_of(random_bars(9, 500)), strategy, options=options, market=market)

    assert "fast crossed above slow" in _reasons(result)


def test_targets_that_are_another_rule_than_on_bar_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ahead(MovingAverageCrossover):
        """Its columns know the next bar."""

        def targets(self, columns: Shown) -> Floats:
            return np.where(np.append(columns.close[1:], 0.0) > columns.close, 1.0, 0.0)

    columns = columns_of(random_bars(9, 500))
    monkeypatch.setattr(quickest, "BARS_LEAST", 500)

    with pytest.raises(StrategyFailedError, match=r"Ahead\.targets and Ahead\.on_bar differ"):
        run_quickest(columns, Ahead)


def test_targets_that_fail_are_told_in_one_line() -> None:
    class Broken(BaseStrategy):
        """Divides by nothing."""

        def targets(self, columns: Shown) -> Floats:
            raise ZeroDivisionError("no\nbars")

    with pytest.raises(StrategyFailedError, match=r"^Broken\.targets failed: ZeroDivisionError: no bars$"):
        run_columns(columns_of(random_bars(9, 50)), Broken)


def test_an_answer_has_one_hash_either_way(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {"backtest_id": "b", "strategy": "moving_average_crossover", "requested_by": "tests"}
    request = BacktestRequested(event_time=SEEN, ingest_time=SEEN, symbols=("AAPL",), **asked)
    columns = columns_of(random_bars(9, 1000))

    by_events = answer(request, columns)
    monkeypatch.setattr(quickest, "BARS_LEAST", 1000)
    by_columns = answer(request, columns)

    assert _reasons(by_events) != _reasons(by_columns)
    assert by_columns.result_hash == by_events.result_hash
    one, other = (finished(request, each, code_hash="c", now=SEEN) for each in (by_events, by_columns))
    silent = tuple({**each, "reason": ""} for each in one.fills)
    assert other == one.model_copy(update={"fills": silent})
