"""The engine over a universe, one account, bar by bar and by columns: beside a bare loop and, with the extra `bench`,
beside bt and vectorbt, in turns on the same arrays."""

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from engine import backtest
from engine.column_path import run_columns
from engine.columns import BarColumns
from engine.indicators import crossing, sma
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from tests.bench import peers
from tests.bench.engine_columns import OPTIONS, bare, figure, timed

_DAY_US = 86_400_000_000


def universe(symbols: int = 309, days: int = 756) -> tuple[BarColumns, np.ndarray, np.ndarray]:
    """Daily bars of many symbols, and their opens and closes as arrays of shape `(days, symbols)`."""
    dice = np.random.default_rng(3)
    close = np.round(50 * np.exp(np.cumsum(dice.normal(0, 0.015, (days, symbols)), axis=0)), 2)
    opening = np.concatenate((close[:1], close[:-1]))
    ends = np.repeat(np.arange(1, days + 1, dtype=np.int64) * _DAY_US, symbols)
    high, low = np.maximum(opening, close), np.minimum(opening, close)
    ids = np.tile(np.arange(1, symbols + 1, dtype=np.int64), days)
    volume = np.full(symbols * days, 1e6)
    columns = BarColumns(
        ids, ends - _DAY_US // 4, ends, opening.ravel(), high.ravel(), low.ravel(), close.ravel(), volume
    )
    return columns, opening, close


def _bare_loops(opening: np.ndarray, close: np.ndarray) -> tuple[int, np.ndarray]:
    """How many fills, and the equity."""
    equity, total, fills = np.empty(len(close)), np.full(len(close), peers.CASH), 0
    for number in range(close.shape[1]):
        own = np.ascontiguousarray(close[:, number])
        crossed = crossing(sma(own, 10), sma(own, 30))
        fills += bare(crossed, np.ascontiguousarray(opening[:, number]), own, 0.0, equity)
        total += equity
    return fills, total


def run(quick: bool) -> list[dict[str, Any]]:
    columns, opening, close = universe(days=252 if quick else 756)
    calls: dict[str, Callable[[], Any]] = {
        "columns": lambda: run_columns(columns, MovingAverageCrossover, None, OPTIONS),
        "events": lambda: backtest.run(columns, MovingAverageCrossover, None, OPTIONS),
        "raw": lambda: _bare_loops(opening, close),
    }
    if bt := peers.found("bt"):
        calls["bt"] = lambda: peers.bt_universe(bt, opening, close)
    if vectorbt := peers.found("vectorbt"):
        calls["vectorbt"] = lambda: peers.vectorbt_universe(vectorbt, opening, close)
    spent, results = timed(calls)
    fills, total = results["raw"]
    assert results["columns"].result_hash == results["events"].result_hash, "two ways, one answer"
    assert len(results["events"].executions) == fills, "as many fills as the bare loop"
    assert np.allclose(results["events"].curve.equity, total, rtol=1e-12), "the bare loop's equity"
    detail = {"symbols": close.shape[1], "days": len(close), "fills": fills, "raw_is": "a bare loop for each symbol"}
    rows = []
    for which, peer in (("columns", "vectorbt"), ("events", "bt")):
        ours = {"ours": spent[which], "raw": spent["raw"]}
        row = figure(f"engine.universe.{which}", len(columns), "bars/CPU s", ours, detail)
        if peer in spent:
            theirs = len(columns) / statistics.median(spent[peer])
            row["detail"] |= {peer: theirs, f"times_{peer}": row["value"] / theirs}
        rows.append(row)
    return rows
