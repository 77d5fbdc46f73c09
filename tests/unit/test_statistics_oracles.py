"""Figures against two independent libraries wherever their definitions are ours, on real prices."""

import importlib
import math
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from engine.ledger import Curve
from engine.statistics import metrics, session_returns
from engine.statistics.benchmark import buy_and_hold
from tests.bars import real_daily

with warnings.catch_warnings():  # both stand on libraries that warn of their own future
    warnings.simplefilter("ignore")
    import empyrical
    import pandas as pd

    quantstats: Any = importlib.import_module("quantstats.stats")


@pytest.fixture(params=["AAPL", "GOOG"])
def case(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Any, Any]]:
    """Our figures, and the returns of a curve and of its benchmark as the libraries want them."""
    columns = real_daily(request.param)
    held = np.where(np.arange(len(columns)) % 7 < 4, 1.0, -0.25)
    moves = np.diff(columns.close, prepend=columns.close[0]) / columns.close
    equity = np.asarray(1000.0 * np.cumprod(1 + 0.8 * held * moves), dtype=np.float64)
    curve = Curve(columns.end_us, equity, np.abs(held), 1000.0)
    theirs = buy_and_hold(columns, columns.end_us, 1000.0)
    found = metrics(curve, [], [], columns, theirs)
    days = pd.to_datetime(columns.end_us, unit="us")
    ours = pd.Series(session_returns(curve), days)
    market = pd.Series(session_returns(Curve(columns.end_us, theirs, held, 1000.0)), days)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield found, ours, market


def test_returns_and_risk_as_empyrical_has_them(case: tuple[Any, Any, Any]) -> None:
    found, returns, market = case
    expected = {
        "total_return": empyrical.cum_returns_final(returns),
        "annualised_return": empyrical.annual_return(returns),
        "annualised_volatility": empyrical.annual_volatility(returns),
        "downside_deviation": empyrical.downside_risk(returns),
        "sharpe": empyrical.sharpe_ratio(returns),
        "sortino": empyrical.sortino_ratio(returns),
        "omega": empyrical.omega_ratio(returns),
        "calmar": empyrical.calmar_ratio(returns),
        "max_drawdown": empyrical.max_drawdown(returns),
        "tail_ratio": empyrical.tail_ratio(returns),
        "var_95": empyrical.value_at_risk(returns),
        "cvar_95": float(np.mean(np.sort(returns)[: math.floor(0.05 * (len(returns) - 1)) + 1])),
        "beta": empyrical.beta(returns, market),
        "information_ratio": empyrical.excess_sharpe(returns, market) * math.sqrt(252),
        "tracking_error": float((returns - market).std(ddof=1)) * math.sqrt(252),
        "benchmark_return": empyrical.cum_returns_final(market),
        "benchmark_max_drawdown": empyrical.max_drawdown(market),
    }
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=1e-9)


def test_returns_and_trades_as_quantstats_has_them(case: tuple[Any, Any, Any]) -> None:
    found, returns, market = case
    greeks = quantstats.greeks(returns, market, periods=252)
    monthly = (1 + returns).resample("ME").prod() - 1
    expected = {
        "sharpe": quantstats.sharpe(returns, periods=252),
        "sortino": quantstats.sortino(returns, periods=252),
        "annualised_volatility": quantstats.volatility(returns, periods=252),
        "max_drawdown": quantstats.max_drawdown(returns),
        "best_session": quantstats.best(returns),
        "worst_session": quantstats.worst(returns),
        "best_month": float(monthly.max()),
        "worst_month": float(monthly.min()),
        "positive_months": float((monthly > 0).mean()),
        "alpha": greeks["alpha"],
        "beta": greeks["beta"],
        "correlation": math.sqrt(quantstats.r_squared(returns, market)) * math.copysign(1, found.beta),
        "information_ratio": quantstats.information_ratio(returns, market) * math.sqrt(252),
    }
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=1e-9)


def test_moments_as_they_are_defined(case: tuple[Any, Any, Any]) -> None:
    found, returns, _ = case
    count = len(returns)  # pandas gives the sample's estimates: bring them back to the population's
    skew = float(returns.skew()) * (count - 2) / math.sqrt(count * (count - 1))
    excess = (float(returns.kurt()) * (count - 2) * (count - 3) / (count - 1) - 6) / (count + 1)
    assert (found.skew, found.kurtosis) == pytest.approx((skew, excess), rel=1e-9)
