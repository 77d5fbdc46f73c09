"""The run file: a running stack is found, a dead one is recognised, no secret is in it."""

import os
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

from infra.embedded.process import started_at
from infra.embedded.programs import environment_of
from infra.embedded.running import (
    Process,
    RunFile,
    end_leftovers,
    find_stack,
    process_named,
    run_file_path,
    running_settings,
    write_run_file,
)
from infra.errors import EnvironmentUnhealthyError
from infra.settings import Settings


def settings_at(home: Path, **update: object) -> Settings:
    return Settings(home=home).model_copy(update={"kafka": "", "database_url": SecretStr(""), "ib_host": "", **update})


def a_run(home: Path, supervisor: Process | None = None, **processes: Process) -> RunFile:
    password = home / "password"
    password.write_text("hush\n")
    return RunFile(
        supervisor=supervisor or process_named(os.getpid()),
        ready=True,
        home=home,
        data=home / "data",
        kafka="127.0.0.1:20001",
        database_port=20002,
        database_password_file=password,
        ib_host="",
        ib_port=20003,
        farmer_port=20004,
        backtester_port=20005,
        trader_port=20006,
        processes=processes,
    )


def write(run: RunFile) -> None:
    write_run_file(run.home / "stack.json", run)


def test_a_running_stack_gives_its_addresses(tmp_path: Path) -> None:
    write(a_run(tmp_path))

    found = running_settings(settings_at(tmp_path))

    assert found.kafka == "127.0.0.1:20001"
    assert found.database_url.get_secret_value() == "postgresql://scizor:hush@127.0.0.1:20002/scizor"
    assert (found.ib_port, found.trader_port) == (20003, 20006)
    assert found.ib_host == "", "an empty host says that the gateway is the simulator"


def test_outside_addresses_win_over_those_of_the_stack(tmp_path: Path) -> None:
    write(a_run(tmp_path))

    found = running_settings(settings_at(tmp_path, kafka="broker:9092", ib_host="tws"))

    assert (found.kafka, found.ib_host, found.ib_port) == ("broker:9092", "tws", 7497)
    assert found.database_url.get_secret_value().endswith("@127.0.0.1:20002/scizor")


def test_no_secret_is_in_the_run_file(tmp_path: Path) -> None:
    write(a_run(tmp_path))

    assert "hush" not in (tmp_path / "stack.json").read_text()


def test_a_reused_pid_is_not_taken_for_the_stack(tmp_path: Path) -> None:
    write(a_run(tmp_path, supervisor=Process(pid=os.getpid(), started_at="1")))

    assert find_stack(settings_at(tmp_path)) is None


def test_half_a_run_file_is_no_stack(tmp_path: Path) -> None:
    (tmp_path / "stack.json").write_text('{"supervisor": {"pid"')

    assert find_stack(settings_at(tmp_path)) is None


def test_nothing_running_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentUnhealthyError, match="start it with `scizor up`"):
        running_settings(settings_at(tmp_path))


def test_a_stack_without_addresses_yet_is_still_starting(tmp_path: Path) -> None:
    write(a_run(tmp_path).model_copy(update={"kafka": ""}))

    with pytest.raises(EnvironmentUnhealthyError, match="still starting"):
        running_settings(settings_at(tmp_path))


def test_an_outside_kafka_is_enough_for_what_needs_no_database(tmp_path: Path) -> None:
    settings = settings_at(tmp_path, kafka="broker:9092")

    assert running_settings(settings, needs_database=False).kafka == "broker:9092"
    with pytest.raises(EnvironmentUnhealthyError):
        running_settings(settings)


def test_leftovers_of_a_killed_supervisor_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infra.embedded.running.LEFTOVER_SECONDS", 0.1)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as leftover:
        write(a_run(tmp_path, supervisor=Process(pid=1, started_at="0"), kafka=process_named(leftover.pid)))

        end_leftovers(settings_at(tmp_path))

        assert leftover.wait(5) == -9
    assert not run_file_path(settings_at(tmp_path)).exists()


def test_a_process_that_only_inherited_the_pid_is_left_alone(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        write(a_run(tmp_path, kafka=Process(pid=stranger.pid, started_at="1")))

        end_leftovers(settings_at(tmp_path))

        assert started_at(stranger.pid)
        stranger.kill()


def test_a_child_reads_the_settings_that_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_at(
        tmp_path,
        database_url=SecretStr("postgresql://a:b@c/d"),
        cors_origins=["http://localhost:3000"],
        collect_daily=False,
        simulator_speed=60.0,
    )
    for name, value in environment_of(settings).items():
        monkeypatch.setenv(name, value)

    assert Settings() == settings
