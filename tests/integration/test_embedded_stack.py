"""The stack as a whole: what dies comes back, and nothing outlives its supervisor."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from infra.embedded.process import started_at, tail
from infra.embedded.running import RunFile, find_run, running_settings
from infra.embedded.stack import Stack, StackRunningError
from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.settings import Settings
from tests.integration.a_stack import SERVICES, a_stack


def eventually(holds: Callable[[], bool], seconds: float = 30.0) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.05)
    return False


def helper_of_the_service(home: Path) -> int:
    """The pid of the child that the service last started has started itself."""
    return int(tail(home / "logs" / "steady.log", lines=1).split()[1])


@pytest.fixture(scope="module")
def told() -> list[tuple[str, float]]:
    """What the stack has said on its way up, and how far it was."""
    return []


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, jars: Path, told: list[tuple[str, float]]) -> Iterator[Stack]:
    with a_stack(tmp_path_factory.mktemp("stack"), jars) as stack:
        stack.start(lambda what, fraction: told.append((what, fraction)))
        stack.wait_ready(60)
        yield stack


async def query(settings: Settings, statement: str) -> object:
    connection = await asyncpg.connect(settings.database_url.get_secret_value(), timeout=10)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def topics(settings: Settings, create: str = "") -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka, request_timeout_ms=5000)
    await admin.start()
    try:
        if create:
            await admin.create_topics([NewTopic(create, 1, 1)])
        return set(await admin.list_topics())
    finally:
        await admin.close()


def test_other_commands_find_the_running_stack(stack: Stack) -> None:
    home = Settings(home=stack.settings.home)

    found = running_settings(home)

    assert found.kafka == stack.settings.kafka
    assert found.database_url == stack.settings.database_url
    run = find_run(home)
    assert run is not None
    assert run.ready
    assert set(run.processes) == {"nursery", "kafka", "postgres", "steady"}


def test_how_far_the_start_is_never_falls(stack: Stack, told: list[tuple[str, float]]) -> None:
    fractions = [fraction for _, fraction in told]

    assert fractions == sorted(fractions), told
    assert told[-1] == ("steady is ready", 1.0)
    assert {"kafka is up", "preparing kafka's guests"} < {what for what, _ in told}


def test_a_prometheus_is_told_where_the_metrics_are(stack: Stack) -> None:
    targets = json.loads((stack.settings.home / "prometheus" / "targets.json").read_text())

    address = f"127.0.0.1:{stack.health_ports['steady']}"
    assert targets == [{"targets": [address], "labels": {"job": "scizor", "service": "steady"}}]


def test_memory_is_told_for_every_process(stack: Stack) -> None:
    memory = stack.memory_mb()

    assert set(memory) == {"nursery", "kafka", "postgres", "steady", "supervisor"}
    assert 100 < memory["kafka"] < 350
    assert 5 < memory["postgres"] < 100


def test_there_is_one_stack_per_home(stack: Stack, jars: Path) -> None:
    with a_stack(stack.settings.home, jars) as second, pytest.raises(StackRunningError, match="scizor down"):
        second.start()

    assert find_run(stack.settings) is not None


def test_a_killed_broker_comes_back_at_its_port_with_its_topics(stack: Stack) -> None:
    settings, before = stack.settings, stack.processes["kafka"]
    asyncio.run(topics(settings, create="kept"))

    os.kill(before, signal.SIGKILL)

    assert eventually(lambda: stack.processes["kafka"] != before)
    assert eventually(lambda: _answers_with(settings, "kept"))


def _answers_with(settings: Settings, topic: str) -> bool:
    try:
        return topic in asyncio.run(topics(settings))
    except (OSError, KafkaError):
        return False


def test_a_killed_database_comes_back_at_its_port_with_its_rows(stack: Stack) -> None:
    settings, before = stack.settings, stack.processes["postgres"]
    asyncio.run(query(settings, "CREATE TABLE kept AS SELECT 42 AS answer"))

    os.kill(before, signal.SIGKILL)

    def answers() -> bool:
        try:
            return asyncio.run(query(settings, "SELECT answer FROM kept")) == 42
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False

    assert eventually(lambda: stack.processes["postgres"] != before)
    assert eventually(answers)


def test_a_killed_service_comes_back_and_leaves_no_child_behind(stack: Stack) -> None:
    started: list[tuple[str, int]] = []
    stack.on_started.append(lambda name, pid: started.append((name, pid)))
    before, helper = stack.processes["steady"], helper_of_the_service(stack.settings.home)

    os.kill(before, signal.SIGKILL)

    assert eventually(lambda: started == [("steady", stack.processes["steady"])])
    stack.wait_ready(60)
    assert not started_at(helper)
    run = find_run(stack.settings)
    assert run is not None
    assert run.processes["steady"].restarts == 1


def test_a_killed_nursery_comes_back_with_its_services_and_leaves_none_of_theirs_behind(stack: Stack) -> None:
    before, helper = stack.processes, helper_of_the_service(stack.settings.home)

    os.kill(before["nursery"], signal.SIGKILL)

    forked = ("nursery", "steady")
    assert eventually(lambda: all(stack.processes[name] != before[name] for name in forked))
    stack.wait_ready(60)
    assert not started_at(before["steady"])
    assert not started_at(helper)
    assert started_at(stack.processes["steady"])
    assert {name: stack.processes[name] for name in ("kafka", "postgres")} == {
        name: before[name] for name in ("kafka", "postgres")
    }


def test_services_get_the_real_addresses(stack: Stack) -> None:
    assert tail(stack.settings.home / "logs" / "steady.log", lines=1).endswith(f"kafka {stack.settings.kafka}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_nothing_outlives_the_supervisor_and_a_next_start_works(tmp_path: Path, jars: Path, number: int) -> None:
    run, helper = run_and_end(tmp_path, jars, number)
    assert eventually(lambda: not any(process.lives for process in run.processes.values()))
    if number == signal.SIGINT:
        assert not started_at(helper)
        assert find_run(Settings(home=tmp_path)) is None

    with a_stack(tmp_path, jars) as again:
        again.start()
        again.wait_ready(60)
        assert not started_at(helper)


def run_and_end(home: Path, jars: Path, number: int) -> tuple[RunFile, int]:
    """A stack in another process until it is ready, then ended by a signal; what it was made of."""
    command = [sys.executable, "-m", "tests.integration.a_stack", str(home), str(jars)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        run, helper = find_run(Settings(home=home)), helper_of_the_service(home)
        assert run is not None
        assert all(each.lives for each in run.processes.values())
        process.send_signal(number)
        process.wait(60)
    return run, helper


def test_a_broker_that_cannot_start_is_told_with_its_log(tmp_path: Path, jars: Path) -> None:
    (tmp_path / "data" / "kafka" / "logs").mkdir(parents=True)
    (tmp_path / "data" / "kafka" / "logs" / "meta.properties").write_text("version=1\nnode.id=77\ncluster.id=other\n")

    with a_stack(tmp_path, jars) as stack, pytest.raises(EnvironmentUnhealthyError) as told:
        stack.start()

    assert "Kafka ended with status" in str(told.value)
    assert "Stored node id 77" in str(told.value)
    assert str(tmp_path / "logs" / "kafka") in str(told.value)
    assert "SCIZOR_KAFKA" in str(told.value)
    assert find_run(Settings(home=tmp_path)) is None


def test_outside_servers_replace_the_embedded_ones(stack_settings: Settings) -> None:
    outside = stack_settings.model_copy(update={"ib_host": "127.0.0.1"})

    with Stack(outside, services=SERVICES) as stack:
        stack.start()
        stack.wait_ready(60)

        assert set(stack.processes) == {"nursery", "steady"}
        assert outside.topic_prefix + "market.bars.v1" in asyncio.run(topics(outside))
        assert asyncio.run(query(outside, "SELECT count(*) FROM symbols")) == 0
        assert tail(outside.home / "logs" / "steady.log", lines=1).endswith(f"kafka {outside.kafka}")


def test_an_unknown_service_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match=r"topics\.yaml has no service riks"):
        Stack(Settings(), services=["riks"])
