"""`scizor strategy`, and a backtest of one's own file: from an empty folder to a result."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from engine.registry import names
from infra.errors import UsageError
from producers.cli import backtest, strategy
from producers.cli.optimize import optimize
from tests.bars import real_daily

BROKEN = {
    "syntax.py": ("from engine.strategy import BaseStrategy\nclass Broken(BaseStrategy)\n    pass\n", 2),
    "raising.py": ("from engine.strategy import BaseStrategy\n\nLIMIT = 1 / 0\n", 3),
    "importing.py": ("from engine.strategy import BaseStrategy\nimport socket\n", 2),
    "absent.py": ("from engine.strategy import BaseStrategy\n\n\nclass Other:\n    pass\n", 0),
}
CHEAT = '''"""Knows tomorrow."""

from engine.indicators import Indicator
from engine.strategy import BaseStrategy, StrategySignal
import numpy as np


class Twin:
    """What can be known."""

    def update(self, value):
        return value


def one():
    return 1


peek = Indicator("peek", ("close",), (), "the close to come", lambda close: np.roll(close, -1), Twin, one, one)


class Cheat(BaseStrategy):
    """Buys before it rises."""

    def indicators(self):
        self.tomorrow = self.declare(peek, "close")

    def on_bar(self, bar):
        return StrategySignal.target(bar.contract_id, float(self.tomorrow.now > bar.close))
'''


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """The first 600 days of Apple as a person's own file."""
    columns = real_daily("AAPL")
    rows = [
        f"{bar.start:%Y-%m-%d},{bar.open},{bar.high},{bar.low},{bar.close},{bar.volume}\n"
        for bar in columns.bars(0, 600)
    ]
    path = tmp_path / "AAPL.csv"
    path.write_text("time,open,high,low,close,volume\n" + "".join(rows))
    return path


def _strategy(*arguments: str, code: int = 0) -> str:
    result = CliRunner().invoke(strategy.app, list(arguments), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def _backtest(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(backtest.app, ["run", *arguments, "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_new_strategy_passes_its_check_its_test_and_a_backtest_at_once(tmp_path: Path, prices: Path) -> None:
    folder = tmp_path / "mine"

    written = json.loads(_strategy("new", "mean_drift", "--into", str(folder), "--json"))

    file, test, config = (Path(each) for each in written["files"])
    assert [path.name for path in (file, test, config)] == ["mean_drift.py", "test_mean_drift.py", "mean_drift.yaml"]
    checked = json.loads(_strategy("check", str(file), "--config", str(config), "--strict", "--json"))
    assert checked["passed"]
    assert checked["findings"] == []
    tried = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", test.name],
        cwd=folder, capture_output=True, text=True, timeout=90, check=False,
    )  # fmt: skip
    assert tried.returncode == 0, tried.stdout
    assert "2 passed" in tried.stdout
    result = _backtest(str(file), "--config", str(config), "--source", str(prices))
    assert (result["succeeded"], result["bars"], result["request"]["strategy"]) == (True, 600, "mean_drift")
    assert result["request"]["slippage_bps"] == 5  # as the config says
    assert result["request"]["code_sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    listed = json.loads(_strategy("list", str(folder), "--json"))
    assert [each["file"] for each in listed["strategies"] if each["name"] == "mean_drift"] == [str(file)]
    assert listed["errors"] == []


def test_a_shipped_strategy_and_its_text_as_a_file_give_the_same_result(tmp_path: Path, prices: Path) -> None:
    source = Path("engine/strategies/moving_average_crossover.py")
    copy = tmp_path / "crossover.py"
    copy.write_text((Path(__file__).parents[2] / source).read_text())
    options = ("--source", str(prices), "--param", "fast=5")

    own, shipped = _backtest(str(copy), *options), _backtest("moving_average_crossover", *options)

    assert own["result_hash"] == shipped["result_hash"]
    assert own["metrics"]["trades"] == shipped["metrics"]["trades"] > 5


def test_what_the_command_line_says_comes_before_the_config(tmp_path: Path, prices: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(
        f"parameters: {{fast: 3, slow: 9}}\ncash: 5000\nstart_date: 2001-01-02\nsource: {prices}\nquantity: 10\n"
    )

    request = _backtest("moving_average_crossover", "--config", str(config), "--cash", "700", "--param", "slow=8")[
        "request"
    ]

    assert (request["cash"], request["quantity"], request["start"]) == (700, 10, "2001-01-02T00:00:00Z")
    assert request["parameters"] == {"fast": 3, "slow": "8"}


@pytest.mark.parametrize("rule", ["rule: fill=same_close", "rule: [fill=same_close]", "rule:\n  - fill=same_close"])
def test_rules_of_a_config_are_a_text_or_a_list_and_a_name_without_a_value_says_nothing(
    rule: str, tmp_path: Path, prices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = tmp_path / "run.yaml"
    config.write_text(f"{rule}\nreport:\nbenchmark:\ncash:\nsource: {prices}\n")

    request = _backtest("buy_and_hold", "--config", str(config))["request"]
    told = _backtest("buy_and_hold", "--source", str(prices), "--rule", "fill=same_close")["request"]

    assert (request["rules"]["fill"], request["cash"]) == ("same_close", 100_000)
    assert request["rules"] == told["rules"]
    assert not (tmp_path / "None").exists()


def test_a_source_that_is_told_twice_is_refused_unless_the_files_are_sizes(tmp_path: Path, prices: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text(prices.read_text())
    search = typer.Typer(add_completion=False)
    search.command()(optimize)
    both = ["--source", str(prices), "--source", str(other)]

    with pytest.raises(UsageError, match="bars of 1d are in another file already"):
        _backtest("buy_and_hold", *both)
    with pytest.raises(UsageError, match="bars come from one place: --source was given 2 times, topic, database"):
        _backtest("buy_and_hold", "--source", "topic", "--source", "database")
    with pytest.raises(UsageError, match="a search takes one FILE of one size of bars"):
        CliRunner().invoke(search, ["moving_average_crossover", *both], catch_exceptions=False)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cash: 100k", r"run\.yaml: cash cannot be '100k': "),
        ("rule: {fill: same_close}", "rule is a list, each line of it like --rule"),
        ("chash: 5", r"no option chash \(did you mean cash\?\): there are parameters"),
        ("parameters: 5", "parameters are names with values"),
        ("- 5", "write names with values"),
        ("cash: [", "is no YAML"),
        ("cash: {a: 1}", "cash has one value"),
    ],
)
def test_a_config_that_cannot_be_is_one_line(text: str, line: str, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(text)

    with pytest.raises(UsageError, match=line):
        _backtest("buy_and_hold", "--config", str(config))


def test_a_search_takes_its_costs_and_what_it_does_not_search_from_the_config(
    tmp_path: Path, prices: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIZOR_HOME", str(tmp_path / "home"))
    config = tmp_path / "run.yaml"
    config.write_text(f"parameters: {{fast: 3, slow: 40}}\nslippage_bps: 5\nsource: {prices}\nrule: fill=same_close\n")
    command = typer.Typer(add_completion=False)
    command.command()(optimize)
    arguments = ["moving_average_crossover", "--config", str(config), "--workers", "1", "--json"]

    def searched(*more: str) -> Any:
        result = CliRunner().invoke(command, [*arguments, *more], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)["request"]

    told = searched("--param", "fast=5:7:2")
    over = searched("--param", "fast=5:7:2", "--param", "slow=30", "--slippage-bps", "1")
    own = searched("--trials", "2", "--method", "random")

    assert (told["backtest"]["slippage_bps"], told["backtest"]["rules"]["fill"]) == (5, "same_close")
    assert (told["backtest"]["parameters"], told["axes"]) == ({"slow": 40}, ["fast=5:7:2"])
    assert (over["backtest"]["slippage_bps"], over["backtest"]["parameters"]["slow"]) == (1, 30)
    assert own["backtest"]["parameters"] == {}, "the strategy declares ranges of both"


def test_a_folder_is_listed_with_what_could_not_be_loaded_and_where(tmp_path: Path) -> None:
    for name, (text, _) in BROKEN.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "helper.py").write_text("LIMIT = 5\n")
    (tmp_path / "test_syntax.py").write_text("BaseStrategy(\n")

    told = json.loads(_strategy("list", str(tmp_path), "--json", code=1))

    assert [each["name"] for each in told["strategies"]] == list(names())
    assert {Path(each["file"]).name: each["line"] for each in told["errors"]} == {
        name: line for name, (_, line) in BROKEN.items()
    }


def test_the_list_says_what_to_search() -> None:
    text = _strategy("list")

    assert all(name in text for name in names())
    assert "fast=10 [5:50:5]" in text
    found = {each["name"]: each for each in json.loads(_strategy("list", "--json"))["strategies"]}
    assert found["moving_average_crossover"]["search"] == {"fast": "5:50:5", "slow": "20:200:10"}
    assert (found["rsi_mean_reversion"]["warmup"], found["rsi_mean_reversion"]["settled"]) == (16, 408)


def test_a_cheat_fails_its_check_with_lines(tmp_path: Path) -> None:
    file = tmp_path / "cheat.py"
    file.write_text(CHEAT)
    lines = CHEAT.splitlines()

    told = json.loads(_strategy("check", str(file), "--json", code=1))

    assert not told["passed"]
    where = {(each["rule"], each["line"]) for each in told["findings"]}
    assert ("future", 1 + next(n for n, line in enumerate(lines) if "np.roll" in line)) in where
    assert ("lookahead", 1 + next(n for n, line in enumerate(lines) if "self.tomorrow =" in line)) in where
    assert f"{file}:19" in _strategy("check", str(file), code=1)


def test_warnings_fail_only_where_asked() -> None:
    assert "warning silent" in " ".join(_strategy("check", "tick_momentum").split())
    _strategy("check", "tick_momentum", "--strict", code=1)


def test_a_check_may_run_on_ones_own_prices(prices: Path) -> None:
    told = json.loads(_strategy("check", "bollinger_reversion", "--source", str(prices), "--json"))

    assert (told["passed"], told["bars"]) == (True, 600)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("new", "Mean-Drift"), "no name for a strategy"),
        (("new", "class"), "no name for a strategy"),
        (("new", "json"), "Python has it already"),
        (("new", "engine"), "a part of SCIZOR"),
        (("new", "buy_and_hold"), "there is a buy_and_hold already"),
        (("check", "nothing.py"), "scizor strategy new nothing"),
        (("check", "my-file.py"), "named as Python names things"),
        (("check", "buy_hold"), r"did you mean buy_and_hold\?"),
        (("list", "no/such/folder"), "there is no folder"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], line: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=line):
        _strategy(*arguments)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "test_drift.py").write_text("mine")

    with pytest.raises(UsageError, match="is there already"):
        _strategy("new", "drift", "--into", str(tmp_path))

    assert [path.name for path in tmp_path.iterdir()] == ["test_drift.py"]


def test_a_file_that_fails_in_a_backtest_is_told_with_its_line(tmp_path: Path, prices: Path) -> None:
    file = tmp_path / "failing.py"
    file.write_text(CHEAT.replace("return StrategySignal.target(bar.contract_id, float(", "return (1 / 0, ("))

    with pytest.raises(UsageError, match=r"Cheat failed at AAPL, 2000-03-01 .*failing.py, line 29"):
        _backtest(str(file), "--source", str(prices))
    with pytest.raises(UsageError, match="over --source topic or a price file"):
        _backtest(str(file), "--source", "database", "--symbols", "AAPL")
    with pytest.raises(UsageError, match="parameter"):
        _backtest(str(file), "--source", str(prices), "--param", "fast=1")
