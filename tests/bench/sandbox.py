"""`engine.sandbox`: a strategy's events inside the sandbox beside the same strategy outside it, on the same bars."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consumers.backtester.uploaded import ENTRY, Text, run_inside
from engine import backtest
from engine.strategies import moving_average_crossover
from infra.clock import SystemClock
from infra.sandbox.canary import proven_sandbox
from infra.settings import REPOSITORY
from tests.bench.engine_events import minute_bars

_BARS = 1_000_000
_BARS_QUICK = 200_000
_ROUNDS = 5
_READY_SECONDS = 2.0


def _seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    answer = call()
    return time.perf_counter() - begun, answer


def run(quick: bool = False) -> list[dict[str, Any]]:
    """One figure: bars a second of the wall, from columns to a result; a process is kept ready, as in service."""
    columns = minute_bars(_BARS_QUICK if quick else _BARS)
    file = moving_average_crossover.__file__
    text = Text("mine", Path(file).read_text(encoding="utf-8"), {})
    sandbox = proven_sandbox(SystemClock(), REPOSITORY)
    inside, outside, hashes = [], [], set()
    for _ in range(_ROUNDS):
        seconds, result = _seconds(lambda: backtest.run(columns, moving_average_crossover.MovingAverageCrossover))
        outside.append(seconds)
        hashes.add(result.result_hash)
        sandbox.keep_ready(ENTRY)
        time.sleep(_READY_SECONDS)
        seconds, result = _seconds(lambda: run_inside(sandbox, text, columns, backtest.BacktestOptions()))
        inside.append(seconds)
        hashes.add(result.result_hash)
    sandbox.close()
    cold, _ = _seconds(lambda: run_inside(sandbox, text, columns, backtest.BacktestOptions()))
    assert len(hashes) == 1, "inside and outside are one answer"
    value, raw = (len(columns) / statistics.median(each) for each in (inside, outside))
    return [
        {
            "name": "engine.sandbox",
            "value": value,
            "unit": "bars/s",
            "raw": raw,
            "ratio": value / raw,
            "detail": {
                "bars": len(columns),
                "without_a_process_ready": len(columns) / cold,
                "strategy": "moving_average_crossover",
                "raw_is": "engine.backtest.run of the same strategy on the same bars in this process",
            },
        }
    ]


if __name__ == "__main__":
    json.dump({"benchmarks": run("--quick" in sys.argv)}, sys.stdout, indent=2)
