"""The loops of a run are there without the compiler, once they were compiled, and are the ones that it compiles."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.column_path import run_columns
from engine.column_path.loops import Loops, loops
from engine.column_path.machine_code import kept
from engine.strategies.moving_average_crossover import MovingAverageCrossover
from tests.unit.a_column_market import a_market

_DICE = np.random.default_rng(5)
_OFFSETS = np.array([0, 1, 40, 40, 1_000])
_CLOSE = np.round(100 + np.cumsum(_DICE.normal(0, 0.05, 1_000)), 2)
_OTHER = np.where(_DICE.random(1_000) < 0.3, _CLOSE, _CLOSE + np.round(_DICE.normal(0, 0.05, 1_000), 2))
_OTHER[_DICE.random(1_000) < 0.05] = np.nan
_TARGETS = np.where(_DICE.random(1_000) < 0.2, _DICE.choice([-1.0, -0.5, 0.0, 0.33, 1.0], 1_000), np.nan)
_ROWS = np.sort(_DICE.integers(0, 1_000, 30))
_FILLED = _DICE.choice([-100.0, 50.0, 3.5], 30)
_NUMBERS, _ENDS = np.tile(np.arange(4), 250), np.arange(4, 1_001, 4)

CALLS: dict[str, Callable[[Loops], Any]] = {
    "sma": lambda compiled: compiled.sma(_CLOSE, 7, _OFFSETS),
    "crossing": lambda compiled: compiled.crossing(_CLOSE, _OTHER, _OFFSETS),
    "on_crossing": lambda compiled: compiled.on_crossing(_CLOSE, _OTHER, _OFFSETS, 1.0, -0.5),
    "answers": lambda compiled: compiled.answers(_OTHER - _CLOSE, 1.0, -0.5),
    "within_one": lambda compiled: (compiled.within_one(_TARGETS), compiled.within_one(_TARGETS * 1.001)),
    "fills": lambda compiled: compiled.fills(_TARGETS, _OFFSETS, 100, 1),
    "value": lambda compiled: compiled.value((_CLOSE, _NUMBERS, _ENDS), (_ROWS, _FILLED), _CLOSE[:250] * 1e4),
    "value_of_one": lambda compiled: compiled.value_of_one(_CLOSE, (_ROWS, _FILLED), _CLOSE[:31] * 1e4),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_kept_loop_gives_what_the_compilers_own_gives_to_the_last_bit(name: str) -> None:
    np.testing.assert_equal(CALLS[name](loops()), CALLS[name](loops(many=True)))


def test_a_run_by_columns_does_not_load_the_compiler() -> None:
    run_columns(a_market(random.Random(1), 1), MovingAverageCrossover)  # compiles, where nobody has yet
    program = (
        "import random, sys; from tests.unit.test_machine_code import a_market, run_columns, MovingAverageCrossover; "
        "run_columns(a_market(random.Random(1), 1), MovingAverageCrossover); "
        "sys.exit(' '.join(each for each in sys.modules if each.split('.')[0] in ('numba', 'scipy', 'pandas')) or 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


_THREADS = """
import gc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from engine.column_path import machine_code
from engine.column_path.loops import loops
from tests.unit.test_machine_code import CALLS

begin = Barrier(8)
def first(number):
    begin.wait()
    return loops()

with ThreadPoolExecutor(8) as threads:
    found = list(threads.map(first, range(8)))
machine_code.engine.cache_clear()
gc.collect()
for each in found:
    for call in CALLS.values():
        call(each)
print(len({id(each) for each in found}))
"""


def test_code_lives_as_long_as_the_loops_that_call_it_and_threads_that_come_at_once_load_it_once() -> None:
    told = subprocess.run([sys.executable, "-c", _THREADS], capture_output=True, text=True, timeout=60, check=False)

    assert (told.returncode, told.stdout) == (0, "1\n"), told.stderr


def test_a_column_of_another_kind_is_refused_not_read_as_if_it_were_one() -> None:
    with pytest.raises(TypeError, match="mean takes columns of float64, not int64"):
        loops().sma(_ROWS, 3, _OFFSETS)  # type: ignore[arg-type] # as a strategy may
    with pytest.raises(TypeError, match="not float64 of shape"):
        loops().sma(_CLOSE[::2], 3, _OFFSETS)


def test_what_was_made_is_kept_for_what_it_was_made_of(tmp_path: Path) -> None:
    place, made = tmp_path / "folder" / "code", list[bytes]()

    def code(key: bytes) -> bytes:
        def make() -> bytes:
            made.append(key)
            return b"code of " + key

        return kept(key, make, [place])

    assert [code(b"one"), code(b"one"), code(b"other"), code(b"other")] == [b"code of one"] * 2 + [b"code of other"] * 2
    assert made == [b"one", b"other"]
    assert [each.name for each in place.parent.iterdir()] == ["code"]


@pytest.mark.parametrize("damaged", [b"", b"short", b"x" * 100])
def test_what_is_not_whole_is_made_again(tmp_path: Path, damaged: bytes) -> None:
    place = tmp_path / "code"
    kept(b"key", lambda: b"the code", [place])
    whole = place.read_bytes()
    for content in (damaged, whole[:-1], whole[:-1] + b"?"):
        place.write_bytes(content)
        assert kept(b"key", lambda: b"the code", [place]) == b"the code"
        assert place.read_bytes() == whole


def test_where_nothing_can_be_written_the_next_place_is_taken_and_without_any_it_is_made_each_time(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("no folder")
    closed, place = tmp_path / "file" / "code", tmp_path / "home" / "code"
    assert kept(b"key", lambda: b"the code", [closed, place]) == b"the code"
    assert kept(b"key", lambda: b"never made", [closed, place]) == b"the code"
    assert kept(b"key", lambda: b"made again", [closed]) == b"made again"
