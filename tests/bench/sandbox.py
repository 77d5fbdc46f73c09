"""`engine.sandbox`: a strategy's events inside the sandbox beside the same strategy outside it, on the same bars.

`engine.sandbox.first` begins both from nothing: a process inside that nobody kept ready, beside a plain process.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consumers.backtester.uploaded import ENTRY, Text, run_inside
from engine import backtest
from engine.research.evaluation import arrays_of
from engine.strategies import moving_average_crossover
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from infra.clock import SystemClock
from infra.sandbox.canary import proven_sandbox
from infra.settings import REPOSITORY
from infra.shared_columns import shared
from tests.bench.engine_events import minute_bars

_BARS = 1_000_000
_BARS_QUICK = 200_000
_ROUNDS = 5
_READY_SECONDS = 2.0


def _seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    answer = call()
    return time.perf_counter() - begun, answer


_PLAIN = """
import sys
from engine.backtest import run
from engine.columns import COLUMNS, BarColumns
import numpy as np
from engine.strategies.moving_average_crossover import MovingAverageCrossover
arrays = {name: np.load(f"{sys.argv[1]}/{name}.npy", mmap_mode="r") for name in COLUMNS}
result = run(BarColumns(**arrays), MovingAverageCrossover)
print(result.result_hash)
"""


def _in_a_plain_process(folder: str) -> str:
    """The hash of the same run, of an interpreter that is begun for it."""
    done = subprocess.run([sys.executable, "-c", _PLAIN, folder], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _figure(name: str, bars: int, inside: list[float], outside: list[float], **detail: Any) -> dict[str, Any]:
    """Bars a second of the wall, from columns to a result."""
    value, raw = (bars / statistics.median(each) for each in (inside, outside))
    about = {"bars": bars, "strategy": "moving_average_crossover", **detail}
    return {"name": name, "value": value, "unit": "bars/s", "raw": raw, "ratio": value / raw, "detail": about}


def run(quick: bool = False) -> list[dict[str, Any]]:
    """Two figures; the result is one."""
    columns = minute_bars(_BARS_QUICK if quick else _BARS)
    file = moving_average_crossover.__file__
    text = Text("mine", Path(file).read_text(encoding="utf-8"), {})
    sandbox = proven_sandbox(SystemClock(), REPOSITORY)
    times: dict[str, list[float]] = {name: [] for name in ("inside", "outside", "first inside", "first outside")}
    hashes = set()

    def timed(name: str, call: Callable[[], str]) -> None:
        seconds, result_hash = _seconds(call)
        times[name].append(seconds)
        hashes.add(result_hash)

    def inside() -> str:
        result = run_inside(sandbox, text, columns, backtest.BacktestOptions())
        return result.result_hash

    with shared(arrays_of(columns), {}) as folder:
        for _ in range(_ROUNDS):
            timed("outside", lambda: backtest.run(columns, MovingAverageCrossover).result_hash)
            sandbox.keep_ready(ENTRY)
            time.sleep(_READY_SECONDS)
            timed("inside", inside)
            timed("first outside", lambda: _in_a_plain_process(folder))
            timed("first inside", inside)
    sandbox.close()
    assert len(hashes) == 1, "inside and outside are one answer"
    bars = len(columns)
    return [
        _figure(
            "engine.sandbox",
            bars,
            times["inside"],
            times["outside"],
            raw_is="engine.backtest.run of the same strategy on the same bars in this process",
        ),
        _figure(
            "engine.sandbox.first",
            bars,
            times["first inside"],
            times["first outside"],
            raw_is="the same in a plain interpreter that is begun for it and maps the bars",
            beside_a_process_that_runs_already=statistics.median(times["outside"])
            / statistics.median(times["first inside"]),
        ),
    ]


if __name__ == "__main__":
    json.dump({"benchmarks": run("--quick" in sys.argv)}, sys.stdout, indent=2)
