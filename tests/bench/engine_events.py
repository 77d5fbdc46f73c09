"""`engine.events`: the event-driven backtest beside a bare Python loop and, with the extra `bench`, beside
backtesting.py, in turns over the same columns."""

import json
import statistics
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from engine import backtest
from engine.columns import COLUMNS, BarColumns
from engine.options import BacktestOptions
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from tests.bench import peers

_BARS = 1_000_000
_BARS_QUICK = 200_000
_ROUNDS = 5
_MINUTE_US = 60_000_000
_SEED = 11


def minute_bars(count: int) -> BarColumns:
    """A seeded random walk in cents; SMA 10/30 crosses about once in 25 bars."""
    walk = np.random.default_rng(_SEED).normal(0, 0.0005, count)
    close = np.round(100 * np.exp(np.cumsum(walk)), 2)
    opening = np.concatenate(([100.0], close[:-1]))
    start = np.arange(count) * _MINUTE_US
    return BarColumns(
        np.full(count, 265598),
        start,
        start + _MINUTE_US,
        opening,
        np.maximum(opening, close) + 0.02,
        np.minimum(opening, close) - 0.02,
        close,
        np.full(count, 1000.0),
    )


def _nothing(
    contract_id: int, start: int, end: int, open_: float, high: float, low: float, close: float, volume: float
) -> None:
    return None


def _bare(columns: BarColumns) -> None:
    """The loop that nobody can beat who calls Python on every bar; chunks are its fastest form too."""
    for first in range(0, len(columns), backtest.CHUNK):
        lists = (getattr(columns, name)[first : first + backtest.CHUNK].tolist() for name in COLUMNS)
        for row in zip(*lists, strict=True):
            _nothing(*row)


def run(quick: bool = False) -> list[dict[str, Any]]:
    """One figure: bars a CPU second, fills and equity included; medians of interleaved rounds."""
    columns = minute_bars(_BARS_QUICK if quick else _BARS)
    options = BacktestOptions(cash=peers.CASH)
    calls: dict[str, Callable[[], Any]] = {
        "bare": lambda: _bare(columns),
        "events": lambda: backtest.run(columns, MovingAverageCrossover, None, options),
    }
    if package := peers.found("backtesting"):
        calls["backtesting.py"] = lambda: peers.backtesting_py(package, columns)
    spent: dict[str, list[float]] = {name: [] for name in (*calls, "metrics")}
    results: dict[str, Any] = {}
    for _ in range(_ROUNDS):
        for name, call in calls.items():
            seconds, results[name] = peers.seconds(call)
            spent[name].append(seconds)
        spent["metrics"].append(spent["events"][-1] + peers.seconds(partial(_metrics, results["events"]))[0])
    rates = {name: len(columns) / statistics.median(each) for name, each in spent.items()}
    value, raw = rates["events"], rates["bare"]
    detail: dict[str, Any] = {
        "bars": len(columns),
        "fills": len(results["events"].executions),
        "strategy": "moving_average_crossover",
        "with_metrics": rates["metrics"],
        "raw_is": "a bare loop that calls an empty function with the eight columns of each bar",
    }
    if package:
        detail |= _beside(rates, results)
    row = {"name": "engine.events", "value": value, "unit": "bars/CPU s", "raw": raw, "ratio": value / raw}
    return [row | {"detail": detail}]


def _metrics(result: backtest.BacktestResult) -> object:
    return result.metrics


def _beside(rates: dict[str, float], results: dict[str, Any]) -> dict[str, Any]:
    """backtesting.py on the same arrays under the same rules; it tells crossings at exact ties otherwise, so that the
    numbers of fills are near, not one."""
    theirs = results["backtesting.py"]
    closed, ours = int(theirs["# Trades"]), results["events"]
    assert abs(2 * closed - len(ours.executions)) <= 0.02 * len(ours.executions), "as many trades, but for exact ties"
    return {
        "backtesting_py": rates["backtesting.py"],
        "times_backtesting_py": rates["events"] / rates["backtesting.py"],
        "backtesting_py_trades": closed,
    }


if __name__ == "__main__":
    json.dump({"benchmarks": run("--quick" in sys.argv)}, sys.stdout, indent=2)
