"""What ran right here can be shown later, without a system."""

import os
from pathlib import Path

import pytest

from engine.answer import failed
from infra.errors import EnvironmentUnhealthyError
from infra.kept_results import KeptResults
from infra.settings import Settings
from producers.cli.past_backtests import chosen, results
from producers.cli.running_backtest import PriceFiles, run_file
from tests.builders import SEEN
from tests.unit.test_answer import a_request

PRICES = "\n".join(
    ["time,open,high,low,close,volume", *(f"2013-01-{day:02},10,11,9,10,100" for day in (2, 3, 4, 7, 8))]
)


def test_a_run_over_a_file_is_found_by_the_beginning_of_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))
    (tmp_path / "AAPL.csv").write_text(PRICES)
    request = a_request(backtest_id="abc-1", strategy="buy_and_hold", parameters={})

    done = run_file(request, PriceFiles(tmp_path / "AAPL.csv"))

    assert chosen(results(Settings()), "abc").result_hash == done.result_hash


def test_where_nothing_ran_and_nothing_runs_the_system_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))

    with pytest.raises(EnvironmentUnhealthyError):
        results(Settings())


def test_the_newest_are_kept_and_a_broken_file_is_passed_over(tmp_path: Path) -> None:
    kept = KeptResults(tmp_path, kept_max=2)
    for number in range(3):
        result = failed(a_request(backtest_id=f"b{number}"), "why", now=SEEN)
        kept.keep(result)
        os.utime(tmp_path / "backtests" / f"b{number}.json", (number, number))
    kept.keep(failed(a_request(backtest_id="b3"), "why", now=SEEN))
    (tmp_path / "backtests" / "b2.json").write_text("{")

    assert [each.backtest_id for each in kept.all()] == ["b3"]
