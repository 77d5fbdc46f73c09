"""Figures of a run, each held to a definition worked out by hand or by the standard library."""

import math
import statistics
from datetime import timedelta

import numpy as np
import pytest

from engine.exchange import Execution
from engine.ledger import Curve, RoundTrip
from engine.statistics import StrategyMetrics, metrics, periods_per_year, session_ends
from tests.bars import APPLE, DAY, FIRST, bars_of

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
    assert len(StrategyMetrics.model_fields) >= 30
