"""`engine.sweep.processes`: what a second process does for a sweep, beside what it does for a bare CPU loop.

Both go through the optimiser's own executor, on the same kept workers, in many short turns, so that whatever else the
machine does slows each alike; figures are wall-clock time, because it is the waiting that a second process is for.
"""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import partial
from typing import Any

from engine.research.evaluation import Evaluation, Objective, Task, about, arrays_of
from engine.research.optimisation import WORKER_MODULES, spread
from engine.research.stretches import Stretch
from infra.fan_out import Here, executor
from infra.shared_columns import opened, shared
from schemas.backtest import BacktestRequested
from tests.bench.engine_events import minute_bars

_BARS = 20_000
_SECONDS, _SECONDS_QUICK = 12.0, 3.0
_WORKERS = 2
_BATCH = 64
"""How many a search by grid hands out before it takes their results down: waiting for the last costs a little."""
_SLICE = 8 * _BATCH
_SPINS = 20_000
_NOW = datetime(2026, 1, 2, tzinfo=UTC)

Sets = Sequence[Mapping[str, Any]]


def run(quick: bool) -> list[dict[str, Any]]:
    columns = minute_bars(_BARS)
    with (
        shared(arrays_of(columns), about(columns)) as source,
        executor("process", _WORKERS, WORKER_MODULES) as pool,
    ):
        return [_row(_task(source), pool, quick=quick)]


def _row(task: Task, pool: Executor, *, quick: bool) -> dict[str, Any]:
    here, seconds = Here(), _SECONDS_QUICK if quick else _SECONDS
    first, begun = _pairs(2 * _BATCH), time.perf_counter()
    _swept(pool, task, first)  # every worker has started, and has its bars
    started = time.perf_counter() - begun
    _swept(here, task, first)
    sets = _pairs(round(seconds / _cpu_seconds(lambda: _swept(here, task, first)) * len(first)))
    spins = round(seconds / _cpu_seconds(lambda: _spun(here, 50)) * 50)
    spent = dict.fromkeys(("raw one", "ours one", "raw two", "ours two", "batches two"), 0.0)
    slices = [sets[begin : begin + _SLICE] for begin in range(0, len(sets), _SLICE)]
    for own in slices:
        share = round(spins * len(own) / len(sets))
        scores: dict[str, Any] = {}
        calls: dict[str, Callable[[], Any]] = {
            "raw one": partial(_spun, here, share),
            "ours one": partial(_swept, here, task, own),
            "raw two": partial(_spun, pool, share),
            "ours two": partial(_swept, pool, task, own),
            "batches two": partial(_swept, pool, task, own, _BATCH),
        }
        for name, call in calls.items():
            begun = time.perf_counter()
            scores[name] = call()
            spent[name] += time.perf_counter() - begun
        assert scores["ours one"] == scores["ours two"] == scores["batches two"], (
            "the same results whatever the number of workers"
        )
    value, raw = (spent[f"{which} one"] / spent[f"{which} two"] for which in ("ours", "raw"))
    return {
        "name": "engine.sweep.processes",
        "value": value,
        "unit": "times one process",
        "raw": raw,
        "ratio": value / raw,
        "detail": {
            "sets": len(sets),
            "bars": _BARS,
            "seconds": {name: round(each, 2) for name, each in spent.items()},
            "in_batches": {"of": _BATCH, "value": spent["ours one"] / spent["batches two"]},
            "slices": len(slices),
            "seconds_to_start": round(started, 2),
            "raw_is": "the speed-up of a bare CPU loop on the same workers",
        },
    }


def _task(source: str) -> Task:
    request = BacktestRequested(
        event_time=_NOW,
        ingest_time=_NOW,
        backtest_id="bench",
        strategy="moving_average_crossover",
        symbols=("265598",),
        requested_by="bench",
    )
    return Task(opened, source, request, Stretch(0, 1_000), (Objective.parse("sharpe"),), "bench", _NOW, "search")


def _pairs(count: int) -> Sets:
    """So many different windows, nearby ones together, as a grid has them."""
    pairs = ({"fast": fast, "slow": slow} for fast in range(2, 100) for slow in range(100, 300))
    found = list(itertools.islice(pairs, count))
    assert len(found) == count, "more sets than there are pairs"
    return found


def _swept(where: Executor, task: Task, sets: Sets, batch: int = _SLICE) -> list[tuple[float | None, ...]]:
    found: list[Evaluation] = []
    for first in range(0, len(sets), batch):
        found += spread(where, task, [dict(each) for each in sets[first : first + batch]])
    return [each.scores for each in found]


def _spun(where: Executor, count: int) -> int:
    return sum(where.map(_spin, [_SPINS] * count))


def _spin(count: int) -> int:
    total = 0
    for number in range(count):
        total += number * number
    return total


def _cpu_seconds(call: Callable[[], Any]) -> float:
    begun = time.process_time()
    call()
    return time.process_time() - begun
