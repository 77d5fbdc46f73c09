"""Whole processes: from the start of the interpreter to the result, and the most memory each held.

Each figure comes beside a process of its own that only loads the same libraries and reads the same file.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import polars as pl

from engine.columns import COLUMNS
from engine.long_run import pieces_of
from tests.bench.engine_events import minute_bars

_ROUNDS = 5
_READ = """
import re, sys
import polars as pl
def bars():
    frame = pl.read_parquet(sys.argv[1])
    return {name: frame[name].to_numpy() for name in frame.columns}
def tell(*found):
    status = open("/proc/self/status").read()  # what getrusage tells is the parent's where that was larger
    print(*found, int(re.search("VmHWM:.* (\\d+) kB", status)[1]) * 1024 // 1_000_000)
"""
_BARE = _READ + "import numpy, msgspec, pydantic\ntell(len(bars()))\n"
_BARE_COMPILED = "import llvmlite.binding" + _BARE
_COLUMNS = (
    _READ
    + """
from engine.column_path import run_columns
from engine.columns import BarColumns
from engine.strategies.moving_average_crossover import MovingAverageCrossover
result = run_columns(BarColumns(**bars()), MovingAverageCrossover)
tell(len(result.executions))
"""
)
_EVENTS = (
    _READ
    + """
from engine.backtest import run
from engine.columns import BarColumns
from engine.strategies.moving_average_crossover import MovingAverageCrossover
result = run(BarColumns(**bars()), MovingAverageCrossover)
tell(len(result.executions))
"""
)
_PIECES = (
    _READ
    + """
from engine.columns import COLUMNS, BarColumns
from engine.long_run import run_pieces
from engine.strategies.moving_average_crossover import MovingAverageCrossover
def pieces():
    for number in range(int(sys.argv[2])):
        part = pl.read_parquet(f"{sys.argv[1]}.{number}")
        yield BarColumns(**{name: part[name].to_numpy() for name in COLUMNS})
tell(len(run_pieces(pieces(), MovingAverageCrossover).fills))
"""
)


def run(quick: bool) -> list[dict[str, Any]]:
    count = 200_000 if quick else 1_000_000
    with tempfile.TemporaryDirectory(prefix="scizor-bench-") as folder:
        file, long = Path(folder) / "bars.parquet", Path(folder) / "long.parquet"
        _written(file, count)
        pieces_written = _written_in_pieces(long, 10 * count)
        found = {
            "columns": (_times(_COLUMNS, file), _times(_BARE_COMPILED, file)),
            "events": (_times(_EVENTS, file), _times(_BARE, file)),
        }
        took, _, most = _once(_PIECES, long, pieces_written)
    rows = [
        {
            "name": f"engine.process.{which}",
            "value": statistics.median(seconds),
            "unit": "s",
            "raw": statistics.median(bare),
            "ratio": statistics.median(seconds) / statistics.median(bare),
            "detail": {
                "bars": count,
                "cpu_seconds": statistics.median(cpu),
                "raw_cpu_seconds": statistics.median(bare_cpu),
                "peak_mb": peak,
                "raw_is": "a process that loads the libraries and reads the file",
            },
        }
        for which, ((seconds, cpu, peak), (bare, bare_cpu, _)) in found.items()
    ]
    memory = {"bars": 10 * count, "seconds": took, "raw_is": "the same process with a tenth of the bars at once"}
    rows.append(
        {
            "name": "engine.memory.pieces",
            "value": most,
            "unit": "MB",
            "raw": found["events"][0][2],
            "ratio": most / found["events"][0][2],
            "detail": memory,
        }
    )
    return rows


def _written(file: Path, count: int) -> None:
    columns = minute_bars(count)
    frame = pl.DataFrame({name: getattr(columns, name) for name in COLUMNS})
    frame.write_parquet(file, row_group_size=count)  # else numpy would get copies, in every process that reads it


def _written_in_pieces(file: Path, count: int) -> int:
    """The bars as files of one piece each; how many."""
    number = 0
    for part in pieces_of(minute_bars(count)):
        pl.DataFrame({name: getattr(part, name) for name in COLUMNS}).write_parquet(f"{file}.{number}")
        number += 1
    return number


def _times(code: str, file: Path) -> tuple[list[float], list[float], int]:
    """Wall and CPU seconds of a few processes, the first only to warm up, and the most megabytes that one held."""
    wall, cpu, peaks = zip(*(_once(code, file) for _ in range(_ROUNDS + 1)), strict=True)
    return list(wall[1:]), list(cpu[1:]), max(peaks)


def _once(code: str, file: Path, *arguments: int) -> tuple[float, float, int]:
    begun, before = time.perf_counter(), _cpu_of_children()
    command = [sys.executable, "-c", code, str(file), *map(str, arguments)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - begun, _cpu_of_children() - before, int(told.stdout.split()[-1])


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
