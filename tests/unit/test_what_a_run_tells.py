"""A run over a file: what its document tells, and the file of its report."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer import Typer
from typer.testing import CliRunner

from infra.backtest_bars import find_searched_bars
from infra.errors import UsageError
from infra.settings import Settings
from producers.cli import backtest
from producers.cli.optimize import optimize
from schemas.moments import to_datetime
from tests.unit.test_answer import a_request

SEARCH = Typer()
SEARCH.command()(optimize)


@pytest.fixture
def prices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))
    path = tmp_path / "AAPL.csv"
    first = to_datetime(15_000 * 86_400_000_000)
    days = [f"{first + timedelta(days=number):%Y-%m-%d}" for number in range(300)]
    rows = [f"{day},{10 + number % 7},20,5,{10 + number % 5},9\n" for number, day in enumerate(days)]
    path.write_text("time,open,high,low,close,volume\n" + "".join(rows))
    return path


def _told(app: Typer, *arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_bars_of_a_file_are_told_as_such_by_a_backtest_now_and_later(prices: Path) -> None:
    told = _told(backtest.app, "run", "buy_and_hold", "--source", str(prices))
    later = _told(backtest.app, "show", told["id"])

    assert (told["request"]["source"], told["request"]["file"]) == ("file", str(prices))
    assert later["request"] == told["request"]


def test_bars_of_a_file_are_told_as_such_by_a_search(prices: Path) -> None:
    told = _told(SEARCH, "moving_average_crossover", "--source", str(prices), "--param", "fast=2,3", "--workers", "1")

    asked = told["request"]["backtest"]
    assert (asked["source"], asked["file"]) == ("file", str(prices))


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ("page.pdf", r"a page of HTML: --report .*page\.html, not page\.pdf"),
        ("page", "a page of HTML"),
        ("none/page.html", "cannot be written to .*: there is no folder .*none"),
        ("folder.html", "it is a folder"),
        ("folder.html/..", "it is a folder"),
        ("/", "it is a folder"),
    ],
)
def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(
    report: str, why: str, prices: Path, tmp_path: Path
) -> None:
    (tmp_path / "folder.html").mkdir()
    options = ["--source", str(prices), "--report", str(tmp_path / report)]

    with pytest.raises(UsageError, match=why):
        _told(backtest.app, "run", "buy_and_hold", *options)
    with pytest.raises(UsageError, match=why):
        _told(SEARCH, "moving_average_crossover", "--param", "fast=2,3", "--workers", "1", *options)
    assert not (tmp_path / "home").exists(), "nothing ran, nothing is on record"


def test_both_write_their_page(prices: Path, tmp_path: Path) -> None:
    page, search = tmp_path / "page.html", tmp_path / "search.HTM"

    _told(backtest.app, "run", "buy_and_hold", "--source", str(prices), "--report", str(page))
    _told(
        SEARCH, "moving_average_crossover", "--source", str(prices), "--param", "fast=2,3", "--workers", "1",
        "--report", str(search),
    )  # fmt: skip

    assert all(each.read_text().lower().startswith("<!doctype html>") for each in (page, search))


async def test_the_backtester_refuses_to_read_a_file_that_is_not_where_it_is() -> None:
    with pytest.raises(UsageError, match="bars of a file are read where it lies"):
        await find_searched_bars(Settings(), a_request(file="AAPL.csv"))
