"""Figures of a run, each held to a definition worked out by hand or by the standard library."""

import math
import statistics
from datetime import timedelta

import numpy as np
import pytest

from engine.exchange import Execution
from engine.ledger import Curve, RoundTrip
from engine.statistics import StrategyMetrics, intervals, metrics, periods_per_year, session_ends
from engine.statistics.benchmark import buy_and_hold
from engine.statistics.excursions import excursions
from tests.bars import APPLE, DAY, FIRST, IBM, bars_of, columns_of

DAY_US = 86_400_000_000


def _curve(equity: list[float], step: timedelta = DAY, cash: float = 100.0) -> Curve:
    ends = np.array([bar.end_us for bar in bars_of(equity, first=FIRST, step=step)])
    values = np.array(equity)
    return Curve(ends, values, np.where(values == cash, 0.0, values / 2), cash)


def _of(equity: list[float]) -> StrategyMetrics:
    return metrics(_curve(equity), [], [])


def _trip(pnl: float, *, still_open: bool = False, bars: int = 2) -> RoundTrip:
    return RoundTrip(APPLE, 10.0, 0, 1, 20.0, 20.0 + pnl / 10, bars, 0.0, 0.0, pnl, still_open)


def test_returns_of_sessions_and_what_follows_from_them() -> None:
    found = _of([110.0, 99.0, 108.9, 120.0])

    returns = [0.1, -0.1, 0.1, 120 / 108.9 - 1]
    mean, deviation = statistics.mean(returns), statistics.stdev(returns)
    assert found.total_return == pytest.approx(0.2)
    assert found.annualised_return == pytest.approx(1.2 ** (252 / 4) - 1)
    assert found.annualised_volatility == pytest.approx(deviation * math.sqrt(252))
    assert found.sharpe == pytest.approx(mean / deviation * math.sqrt(252))
    assert found.sortino == pytest.approx(mean / math.sqrt(0.01 / 4) * math.sqrt(252))
    assert found.max_drawdown == pytest.approx(-0.1)
    assert found.calmar == pytest.approx((1.2 ** (252 / 4) - 1) / 0.1)
    assert found.max_drawdown_days == pytest.approx(3)
    assert found.ulcer_index == pytest.approx(math.sqrt((0.1**2 + 0.01**2) / 4))
    assert (found.best_session, found.worst_session) == pytest.approx((120 / 108.9 - 1, -0.1))
    third = statistics.mean((each - mean) ** 3 for each in returns) / statistics.pstdev(returns) ** 3
    assert found.skew == pytest.approx(third)
    low = -0.1 + 0.15 * 0.2
    assert found.var_95 == pytest.approx(low)
    assert found.cvar_95 == pytest.approx(-0.1)
    assert found.sessions == 4


def test_trades_that_are_closed_count_and_open_ones_are_told_apart() -> None:
    trips = [_trip(30), _trip(-10), _trip(-20), _trip(40, bars=8), _trip(99, still_open=True)]

    found = metrics(_curve([100.0, 140.0]), trips, [])

    assert (found.trades, found.open_trades) == (4, 1)
    assert found.win_rate == 0.5
    assert found.profit_factor == pytest.approx(70 / 30)
    assert found.expectancy == 10
    assert (found.average_win, found.average_loss) == (35, -15)
    assert (found.best_trade, found.worst_trade) == (40, -20)
    assert found.average_trade_return == pytest.approx(10 / 200)
    assert found.average_bars_held == 3.5
    assert found.longest_losing_streak == 2


def test_costs_turnover_and_exposure() -> None:
    executions = [
        Execution(APPLE, 0, 0, 10.0, 20.0, 0.01, 0.5, ""),
        Execution(APPLE, 1, 1, -10.0, 21.0, 0.02, 0.7, ""),
    ]

    found = metrics(_curve([100.0, 102.0, 104.0, 100.0]), [], executions)

    assert found.commission_paid == pytest.approx(1.2)
    assert found.slippage_paid == pytest.approx(0.3)
    assert found.turnover == pytest.approx(410 / 101.5)
    assert found.exposure == 0.5
    assert found.fills == 2


def test_where_there_is_too_little_there_is_no_figure() -> None:
    alone, flat, ruined = _of([101.0]), _of([100.0] * 5), _of([50.0, -10.0, -20.0])

    assert (alone.sharpe, alone.annualised_return) == (None, None)
    assert alone.total_return == pytest.approx(0.01)
    assert (flat.sharpe, flat.calmar, flat.skew, flat.win_rate, flat.profit_factor) == (None,) * 5
    assert (flat.max_drawdown, flat.max_drawdown_days, flat.annualised_return) == (0, 0, 0)
    assert (ruined.sharpe, ruined.annualised_return) == (None, None)
    assert ruined.max_drawdown == pytest.approx(-1.2)


def test_minutes_are_gathered_into_sessions() -> None:
    minutes = _curve([100.0 + number for number in range(3 * 1440)], step=timedelta(minutes=1))

    ends = session_ends(minutes.times_us)

    days = (minutes.times_us - 1) // DAY_US  # a bar that ends at midnight belongs to the day before
    assert [days[each] - days[0] for each in ends] == [0, 1, 2, 3]
    assert [minutes.times_us[each] % DAY_US for each in ends[:-1]] == [0, 0, 0]
    assert metrics(minutes, [], []).sessions == 4


@pytest.mark.parametrize(
    ("distances", "periods"),
    [
        ([1, 1, 1, 1, 3] * 10, 252.0),
        ([1] * 50, 365.0),
        ([7] * 20, 365.25 / 7),
        ([31, 30] * 6, 365.25 / 30.5),
        ([], None),
    ],
    ids=["weekdays", "every day", "weekly", "monthly", "one session"],
)
def test_a_year_has_as_many_sessions_as_their_distances_say(distances: list[int], periods: float | None) -> None:
    monday = int(FIRST.timestamp()) * 1_000_000
    ends = monday + np.concatenate(([0], np.cumsum(distances))).astype(np.int64) * DAY_US

    assert periods_per_year(ends) == periods


def test_figures_are_rounded_so_that_every_machine_tells_the_same() -> None:
    assert _of([100.0 / 3, 100.0]).final_equity == 100.0
    assert _of([100.0, 100.0 / 3]).final_equity == 33.3333333333
    assert len(StrategyMetrics.model_fields) >= 45


def test_drawdowns_are_told_apart() -> None:
    found = _of([110.0, 99.0, 110.0, 111.0, 88.8, 99.9])

    assert found.average_drawdown == pytest.approx((-0.1 - 0.2) / 2)
    assert found.average_drawdown_days == pytest.approx(2)
    assert found.max_drawdown_days == pytest.approx(2)
    assert found.time_under_water == pytest.approx(3 / 6)
    assert found.recovery_factor == pytest.approx(-0.001 / 0.2)


def test_excursions_are_those_of_the_bars_held() -> None:
    bars = bars_of([20.0, 22.0, 19.0, 21.0, 30.0], opens=[20.0, 20.0, 22.0, 19.0, 21.0])
    long = RoundTrip(APPLE, 10.0, bars[1].start_us, bars[3].start_us, 20.0, 19.0, 2, 0.0, 0.0, -10.0, False)
    short = RoundTrip(APPLE, -10.0, bars[1].start_us, bars[2].end_us, 20.0, 19.0, 1, 0.0, 0.0, 10.0, False)

    adverse, favourable = excursions(columns_of(bars), [long, short])

    assert adverse.tolist() == pytest.approx([-0.05, -0.1])
    assert favourable.tolist() == pytest.approx([0.1, 0.05])
    assert metrics(_curve([1.0]), [long, short], [], columns_of(bars)).average_mae == pytest.approx(-0.075)


def test_a_trade_entered_and_left_at_one_moment_saw_its_own_prices_alone() -> None:
    bars = bars_of([20.0, 25.0])
    trip = RoundTrip(APPLE, 10.0, bars[0].end_us, bars[0].end_us, 20.0, 21.0, 0, 0.0, 0.0, 10.0, False)

    adverse, favourable = excursions(columns_of(bars), [trip])

    assert (adverse.tolist(), favourable.tolist()) == ([0.0], [pytest.approx(0.05)])


def test_ratios_of_trades() -> None:
    trips = [_trip(30), _trip(-10), _trip(-20), _trip(40)]

    found = metrics(_curve([100.0, 140.0]), trips, [])

    assert found.payoff_ratio == pytest.approx(35 / 15)
    assert found.kelly == pytest.approx(0.5 - 0.5 * 15 / 35)
    assert found.sqn == pytest.approx(2 * 10 / statistics.stdev([30, -10, -20, 40]))
    assert (found.longest_winning_streak, found.longest_losing_streak) == (1, 2)


def test_buy_and_hold_spreads_the_cash_and_waits_for_who_comes_later() -> None:
    apple = bars_of([10.0, 11.0, 12.0, 13.0])
    late = bars_of([50.0, 25.0], contract_id=IBM, first=FIRST + 2 * DAY)
    columns = columns_of(apple, late)
    times = np.unique(columns.end_us)

    value = buy_and_hold(columns, times, 100.0)

    assert value.tolist() == pytest.approx([100.0, 105.0, 110.0, 90.0])


def test_a_run_that_is_its_own_benchmark_has_no_excess() -> None:
    equity = [101.0, 99.0, 104.0, 103.0]

    found = metrics(_curve(equity), [], [], None, np.array(equity))

    assert (found.beta, found.correlation, found.up_capture, found.down_capture) == pytest.approx((1, 1, 1, 1))
    assert (found.alpha, found.tracking_error, found.information_ratio) == pytest.approx((0, 0, None))
    assert found.excess_return == 0


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    true, held = 0.05 / 0.2, 0  # a year's mean over its deviation
    for seed in range(60):
        returns = np.random.default_rng(seed).normal(0.05 / 252, 0.2 / math.sqrt(252), 1500)
        low, high = intervals(returns, 252.0)["sharpe"]
        held += low <= true <= high
    assert 50 <= held <= 60


def test_intervals_are_the_same_each_time_and_none_for_a_short_run() -> None:
    returns = np.random.default_rng(3).normal(0.0, 0.01, 400)

    assert intervals(returns, 252.0) == intervals(returns, 252.0)
    assert set(intervals(returns, 252.0)) <= set(StrategyMetrics.model_fields)
    assert intervals(returns[:29], 252.0) == {}
