"""The engine by columns and in sweeps, beside bare loops and, with the extra `bench`, beside peers.

Rates are per CPU second of this process, medians of interleaved rounds; fills and equity must equal the bare loop's.
"""

import itertools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numba
import numpy as np

from engine.column_path import Scores, run_columns, sweep, sweep_crossings
from engine.indicators import crossing, sma
from engine.options import BacktestOptions
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from tests.bench import peers
from tests.bench.engine_events import minute_bars

_ROUNDS = 5
_PAIRS = tuple(itertools.product(range(2, 17), range(20, 120, 10)))
OPTIONS = BacktestOptions(cash=peers.CASH)


def run(quick: bool) -> list[dict[str, Any]]:
    rows = [_columns(200_000 if quick else 1_000_000), *_sweeps()]
    if vbt := peers.found("vectorbt"):
        _beside_vectorbt(vbt, rows, quick=quick)
    return rows


def figure(name: str, units: int, unit: str, spent: dict[str, list[float]], detail: dict[str, Any]) -> dict[str, Any]:
    value, raw = (units / statistics.median(spent[which]) for which in ("ours", "raw"))
    return {"name": name, "value": value, "unit": unit, "raw": raw, "ratio": value / raw, "detail": {**detail}}


def timed(calls: dict[str, Callable[[], Any]], rounds: int = _ROUNDS) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """CPU seconds of each call in turn, and what each gave last; the first round only warms up."""
    spent: dict[str, list[float]] = {name: [] for name in calls}
    results: dict[str, Any] = {}
    for number in range(rounds + 1):
        for name, call in calls.items():
            taken, results[name] = peers.seconds(call)
            if number:
                spent[name].append(taken)
    return spent, results


@numba.njit(cache=True)
def bare(crossed: Any, opening: Any, close: Any, cash: float, equity: Any) -> int:
    """What nobody can beat: one loop that knows one order and one cost."""
    held, wanted, fills = 0.0, 0.0, 0
    for row in range(len(close)):
        quantity = wanted - held
        if quantity != 0:
            cash -= quantity * opening[row] + abs(quantity) * abs(opening[row]) * 0.001
            held = wanted
            fills += 1
        equity[row] = cash + held * close[row]
        if crossed[row] > 0:
            wanted = 100.0
        elif crossed[row] < 0:
            wanted = 0.0
    return fills


def _columns(count: int) -> dict[str, Any]:
    columns = minute_bars(count)

    def raw() -> Any:
        equity = np.empty(count)
        crossed = crossing(sma(columns.close, 10), sma(columns.close, 30))
        return bare(crossed, columns.open, columns.close, peers.CASH, equity), equity

    def ours() -> Any:
        return run_columns(columns, MovingAverageCrossover, None, OPTIONS)

    spent, results = timed({"ours": ours, "raw": raw})
    done, (fills, equity) = results["ours"], results["raw"]
    assert len(done.executions) == fills, "as many fills as the bare loop"
    assert np.array_equal(done.curve.equity, equity), "the bare loop's equity"
    detail = {"bars": count, "fills": fills, "raw_is": "averages by numpy, then one compiled loop"}
    return figure("engine.columns", count, "bars/CPU s", spent, detail)


def _sweeps() -> list[dict[str, Any]]:
    columns = minute_bars(3_000)
    parameters = {"fast": [fast for fast, _ in _PAIRS], "slow": [slow for _, slow in _PAIRS]}

    def raw() -> list[float]:
        equity, found = np.empty(len(columns)), []
        averages = {size: sma(columns.close, size) for size in {each for pair in _PAIRS for each in pair}}
        for fast, slow in _PAIRS:
            crossed = crossing(averages[fast], averages[slow])
            bare(crossed, columns.open, columns.close, peers.CASH, equity)
            found.append(float(equity[-1]))
        return found

    def targets() -> Scores:
        configs = [MovingAverageCrossover.Config(fast=fast, slow=slow) for fast, slow in _PAIRS]
        return sweep(columns, MovingAverageCrossover, configs, OPTIONS)

    calls: dict[str, Callable[[], Any]] = {
        "targets": targets,
        "rule": lambda: sweep_crossings(columns, MovingAverageCrossover, parameters, OPTIONS),
        "raw": raw,
    }
    spent, results = timed(calls, rounds=4 * _ROUNDS)
    for which in ("targets", "rule"):
        assert results[which].final_equity.tolist() == results["raw"], "the bare loop's final equity"
    detail = {"pairs": len(_PAIRS), "bars": len(columns), "raw_is": "each average once, then the bare loop for a pair"}
    return [
        figure(f"engine.sweep.{which}", len(_PAIRS), "pairs/CPU s", {"ours": spent[which], "raw": spent["raw"]}, detail)
        for which in ("targets", "rule")
    ]


def _beside_vectorbt(vbt: Any, rows: Sequence[dict[str, Any]], *, quick: bool) -> None:
    """What vectorbt reaches on the same arrays, in the rows that have a counterpart."""
    one, small = minute_bars(200_000 if quick else 1_000_000), minute_bars(3_000)
    spent, _ = timed(
        {
            "engine.columns": lambda: peers.vectorbt_one(vbt, one),
            "engine.sweep": lambda: peers.vectorbt_pairs(vbt, small, _PAIRS),
        }
    )
    units = {"engine.columns": len(one), "engine.sweep": len(_PAIRS)}
    for row in rows:
        name = next(each for each in units if row["name"].startswith(each))
        theirs = units[name] / statistics.median(spent[name])
        row["detail"] |= {"vectorbt": theirs, "times_vectorbt": row["value"] / theirs}
