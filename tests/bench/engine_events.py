"""`engine.events`: the event-driven backtest beside a bare Python loop over the same columns."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from engine import backtest
from engine.columns import COLUMNS, BarColumns
from engine.strategies.moving_average_crossover import MovingAverageCrossover

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


def _seconds(call: Callable[[], object]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun


def run(quick: bool = False) -> list[dict[str, Any]]:
    """One figure: bars a CPU second, fills and equity included; medians of interleaved rounds."""
    columns = minute_bars(_BARS_QUICK if quick else _BARS)
    engine, bare, whole = [], [], []
    fills = 0
    for _ in range(_ROUNDS):
        bare.append(_seconds(lambda: _bare(columns)))
        results: list[backtest.BacktestResult] = []

        def events(into: list[backtest.BacktestResult] = results) -> None:
            into.append(backtest.run(columns, MovingAverageCrossover))

        engine.append(_seconds(events))
        (result,) = results

        def metrics(of: backtest.BacktestResult = result) -> object:
            return of.metrics

        whole.append(engine[-1] + _seconds(metrics))
        fills = len(result.executions)
    value, raw = (len(columns) / statistics.median(each) for each in (engine, bare))
    return [
        {
            "name": "engine.events",
            "value": value,
            "unit": "bars/CPU s",
            "raw": raw,
            "ratio": value / raw,
            "detail": {
                "bars": len(columns),
                "fills": fills,
                "strategy": "moving_average_crossover",
                "with_metrics": len(columns) / statistics.median(whole),
                "raw_is": "a bare loop that calls an empty function with the eight columns of each bar",
            },
        }
    ]


if __name__ == "__main__":
    json.dump({"benchmarks": run("--quick" in sys.argv)}, sys.stdout, indent=2)
