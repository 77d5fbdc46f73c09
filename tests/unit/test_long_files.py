"""A price file of more bars than are wanted in memory gives what a short one gives, block after block."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from engine.columns import BarColumns
from infra.errors import UsageError
from producers.cli import long_files
from producers.cli.running_backtest import PriceFiles, run_file
from schemas.moments import to_datetime
from tests.bars import FIRST, bars_of, columns_of, random_bars
from tests.unit.test_answer import a_request

MINUTES = bars_of([bar.close for bar in random_bars(3, 6000)], step=timedelta(minutes=7))
COLUMNS = columns_of(MINUTES)
OF_THE_RUN = {"event_time", "ingest_time", "metrics"}


def _frame(columns: BarColumns) -> pl.DataFrame:
    values = {name: getattr(columns, name) for name in ("open", "high", "low", "close", "volume")}
    return pl.DataFrame({"time": columns.start_us, **values}).with_columns(pl.col("time").cast(pl.Datetime("us")))


@pytest.fixture(autouse=True)
def _at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(long_files, "_ROWS", 700)
    monkeypatch.setattr(long_files, "_BYTES", 40_000)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_result_is_the_same_word_for_word(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, other = tmp_path / f"AAPL.{kind}", tmp_path / "SPY.csv"
    getattr(_frame(COLUMNS), f"write_{kind}")(file)
    _frame(columns_of(bars_of([bar.close for bar in random_bars(4, 5000)], step=timedelta(minutes=7)))).write_csv(other)
    request = a_request(parameters={"fast": 5, "slow": 20}, start=FIRST + timedelta(days=2), benchmark="SPY")

    whole = run_file(request, PriceFiles(file, other))
    monkeypatch.setenv("SCIZOR_BACKTEST_BARS_AT_ONCE", "5000")
    part = run_file(request, PriceFiles(file, other))

    assert part.model_dump(exclude=OF_THE_RUN) == whole.model_dump(exclude=OF_THE_RUN)
    assert part.metrics["sharpe"] == whole.metrics["sharpe"]
    assert 5000 < part.bars < 6000
    assert not list((tmp_path / "home" / "scratch").iterdir()), "it was there, and is empty again"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_how_long_bars_last_is_told_by_all_of_them(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the first block are farther apart than any later two."""
    file = tmp_path / f"AAPL.{kind}"
    thin = _frame(COLUMNS)[:1600:2]
    getattr(pl.concat([thin, _frame(COLUMNS)[1600:]]), f"write_{kind}")(file)
    request = a_request(parameters={"fast": 5, "slow": 20})

    whole = run_file(request, PriceFiles(file))
    monkeypatch.setenv("SCIZOR_BACKTEST_BARS_AT_ONCE", "5000")
    part = run_file(request, PriceFiles(file))

    assert part.model_dump(exclude=OF_THE_RUN) == whole.model_dump(exclude=OF_THE_RUN)


def test_bars_in_no_order_are_refused_when_they_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _frame(COLUMNS).reverse().write_csv(tmp_path / "AAPL.csv")
    late = a_request(parameters={"fast": 5, "slow": 20}, start=to_datetime(int(COLUMNS.end_us[-1])))

    assert run_file(a_request(), PriceFiles(tmp_path / "AAPL.csv")).bars == 6000
    monkeypatch.setenv("SCIZOR_BACKTEST_BARS_AT_ONCE", "5000")
    with pytest.raises(UsageError, match="not sorted by time, as a file of more than 5,000 bars has to be"):
        run_file(a_request(), PriceFiles(tmp_path / "AAPL.csv"))
    _frame(COLUMNS).write_csv(tmp_path / "AAPL.csv")
    with pytest.raises(UsageError, match="there are no bars to run on"):
        run_file(late, PriceFiles(tmp_path / "AAPL.csv"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_second_symbol_in_a_later_block_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their times do not overlap, and no block has both."""
    file = tmp_path / f"AAPL.{kind}"
    names = ["AAA"] * 3500 + ["BBB"] * 2500
    getattr(_frame(COLUMNS).with_columns(symbol=pl.Series(names)), f"write_{kind}")(file)

    monkeypatch.setenv("SCIZOR_BACKTEST_BARS_AT_ONCE", "5000")
    with pytest.raises(UsageError, match=r"more than one symbol \(AAA, BBB\)"):
        run_file(a_request(), PriceFiles(file))


def test_days_and_runs_that_look_at_all_bars_are_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIZOR_BACKTEST_BARS_AT_ONCE", "100")
    _frame(columns_of(random_bars(3, 200))).write_csv(tmp_path / "AAPL.csv")
    _frame(COLUMNS).write_csv(tmp_path / "IBM.csv")
    sized = a_request(symbols=("IBM",), rules={"sizing": "risk_per_trade", "sizing_percent": 1.0})

    assert run_file(a_request(), PriceFiles(tmp_path / "AAPL.csv")).bars == 200
    assert run_file(sized, PriceFiles(tmp_path / "IBM.csv")).bars == 6000
    assert not (tmp_path / "home" / "scratch").exists()


_MEMORY = """
import re, sys
from pathlib import Path
import polars as pl
from producers.cli import long_files

def peak():  # getrusage may tell of the process that started this one
    return int(re.search("VmHWM:[^0-9]*([0-9]+) kB", Path("/proc/self/status").read_text())[1]) // 1024

long_files._ROWS = 200_000
sum(map(len, long_files._blocks(Path(sys.argv[1]))))
before = peak()
print(sum(map(len, long_files._blocks(Path(sys.argv[2])))), peak() - before)
"""


def test_of_a_large_row_group_one_column_at_a_time_is_in_memory(tmp_path: Path) -> None:
    """All seven of it are 224 MB; those of one are 32, as many again compressed."""
    drawn = pl.Series(np.random.default_rng(1).random(4_000_000))
    frame = pl.DataFrame(dict.fromkeys(("time", "open", "high", "low", "close", "volume", "other"), drawn))
    frame.head(200_000).write_parquet(tmp_path / "small.parquet")
    frame.write_parquet(tmp_path / "large.parquet", row_group_size=4_000_000)
    files = (str(tmp_path / "small.parquet"), str(tmp_path / "large.parquet"))

    told = subprocess.run([sys.executable, "-c", _MEMORY, *files], capture_output=True, text=True, check=True)

    rows, grown_mb = map(int, told.stdout.split())
    assert rows == 4_000_000
    assert grown_mb < 130
