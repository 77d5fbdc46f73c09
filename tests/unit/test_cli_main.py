"""The command line's manners: quick help, suggestions, one clear line for an error, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import EnvironmentUnhealthyError
from producers.cli import main as cli
from producers.cli.gate import GateClosedError
from producers.cli.main import COMMANDS, Entry


def scizor(*arguments: str, home: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {"PATH": "/usr/bin:/bin", "SCIZOR_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "120", **environment}
    command = [sys.executable, "-m", "producers.cli.main", *arguments]
    return subprocess.run(command, env=clean, capture_output=True, text=True, timeout=30, check=False)


def test_help_imports_none_of_the_heavy_libraries() -> None:
    code = "import sys, producers.cli.main; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"pydantic", "aiokafka", "sqlalchemy", "numpy", "polars", "fastapi", "asyncpg"} & set(loaded)


def test_help_names_every_command(tmp_path: Path) -> None:
    told = scizor("--help", home=tmp_path)

    assert told.returncode == 0
    assert all(name in told.stdout for name in COMMANDS)
    assert f"{GateClosedError.exit_code} refused by risk, the gate or a safety rule" in " ".join(told.stdout.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_table_exists(name: str, tmp_path: Path) -> None:
    told = scizor(name, "--help", home=tmp_path)

    assert told.returncode == 0, told.stderr
    assert f"scizor {name}" in told.stdout


def test_a_mistyped_command_gets_a_suggestion_and_exit_2(tmp_path: Path) -> None:
    told = scizor("statsu", home=tmp_path)

    assert told.returncode == 2
    assert "Did you mean 'status'?" in told.stderr


def test_a_group_asked_for_a_command_beside_it_says_where_that_is(tmp_path: Path) -> None:
    told = scizor("live", "kill", home=tmp_path)

    assert told.returncode == 2
    assert "No such command 'kill' here: it is `scizor kill`" in told.stderr
    assert "Did you mean 'start'" in scizor("live", "strat", home=tmp_path).stderr


def test_nothing_running_is_one_line_and_exit_3(tmp_path: Path) -> None:
    told = scizor("status", home=tmp_path)

    assert (told.returncode, told.stdout) == (3, "")
    assert told.stderr == "scizor: nothing is running: start it with `scizor up`\n"


def test_debug_shows_the_traceback(tmp_path: Path) -> None:
    assert "Traceback" in scizor("--debug", "status", home=tmp_path).stderr


def test_a_wrong_setting_is_told_by_its_variable_and_exit_2(tmp_path: Path) -> None:
    told = scizor("status", home=tmp_path, SCIZOR_IB_PORT="ninety")

    assert told.returncode == 2
    assert "SCIZOR_IB_PORT: Input should be a valid integer" in told.stderr


def test_config_masks_secrets_and_names_origins(tmp_path: Path) -> None:
    told = scizor("config", "show", "--json", home=tmp_path, SCIZOR_KAFKA_PASSWORD="hush")

    rows = {row["variable"]: row for row in json.loads(told.stdout)["settings"]}
    assert "hush" not in told.stdout
    assert (rows["SCIZOR_KAFKA_PASSWORD"]["value"], rows["SCIZOR_KAFKA_PASSWORD"]["origin"]) == (
        "********",
        "environment",
    )
    assert rows["SCIZOR_IB_PORT"]["origin"] == "default"


def test_down_with_nothing_running_is_fine(tmp_path: Path) -> None:
    told = scizor("down", "--json", home=tmp_path)

    assert (told.returncode, json.loads(told.stdout)) == (0, {"stopped": False})


def fails() -> None:
    raise EnvironmentUnhealthyError("the moon is in the way")


def is_interrupted() -> None:
    raise KeyboardInterrupt


def is_buggy() -> None:
    raise ZeroDivisionError("by zero")


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (fails, 3, "scizor: the moon is in the way\n"),
        (is_interrupted, 130, ""),
        (is_buggy, 1, "scizor: unexpected ZeroDivisionError: by zero (--debug shows where)\n"),
    ],
)
def test_every_failure_has_its_line_and_its_exit_code(
    command: object, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "doctor_for_this_test", command, raising=False)
    monkeypatch.setitem(COMMANDS, "doctor", Entry("producers.cli.main:doctor_for_this_test", "", ""))
    monkeypatch.setattr(sys, "argv", ["scizor", "doctor"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert ended.value.code == code
    assert capsys.readouterr().err == said
