"""`scizor topics` and `scizor dlq` as a person starts them, on the real broker."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from infra import broker, topic_admin
from infra.publish import Origin
from infra.service import Service
from infra.settings import REPOSITORY, Settings
from infra.topics import load_catalogue
from schemas.orders import Fill
from tests.builders import APPLE, a_bar, a_fill

MICROSOFT = 272093


@dataclass
class Shell:
    """Runs the scizor command against the servers of a test."""

    settings: Settings

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        environment = {name: value for name, value in os.environ.items() if not name.startswith("SCIZOR_")}
        environment |= {
            "SCIZOR_HOME": str(self.settings.home),
            "SCIZOR_KAFKA": self.settings.kafka,
            "SCIZOR_TOPIC_PREFIX": self.settings.topic_prefix,
        }
        return subprocess.run(
            [sys.executable, "-m", "producers.cli.main", *arguments],
            cwd=REPOSITORY,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def json(self, *arguments: str) -> Any:
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def shell(stack_settings: Settings) -> Shell:
    return Shell(stack_settings)


async def send(settings: Settings, topic: str, values: Sequence[tuple[bytes, bytes]], **options: Any) -> None:
    producer = broker.producer(settings)
    await producer.start()
    try:
        for key, value in values:
            await producer.send_and_wait(settings.topic_prefix + topic, value, key=key, **options)
    finally:
        await producer.stop()


def test_apply_creates_all_topics_once_and_list_and_describe_tell_of_them(shell: Shell) -> None:
    first = shell.json("topics", "apply")
    second = shell.json("topics", "apply")

    assert first["created"] == second["present"] or sorted(first["created"]) == sorted(second["present"])
    assert second["created"] == []
    described = shell.json("topics", "describe", "trading.fills.v1")
    assert described["broker"]["config"]["flush.messages"] == "1"
    assert described["broker"]["partitions"] == [{"partition": 0, "first": 0, "end": 0}]
    names = {each["name"] for each in shell.json("topics", "list")["topics"]}
    assert shell.settings.topic_prefix + "trading.fills.v1" in first["created"]
    assert names < {name.removeprefix(shell.settings.topic_prefix) for name in first["created"]}


def test_a_topic_that_the_broker_does_not_have_yet_is_an_unhealthy_environment(shell: Shell) -> None:
    done = shell.run("topics", "tail", "market.bars.v1")

    assert done.returncode == 3
    assert "create it with `scizor topics apply`" in done.stderr


async def test_tail_and_replay_print_records_of_a_key_and_end(shell: Shell) -> None:
    await topic_admin.apply(shell.settings)
    apple = [a_bar(volume=float(n)) for n in range(3)]
    microsoft = a_bar(contract_id=MICROSOFT, symbol="MSFT")
    values = [(str(bar.contract_id).encode(), bar.to_json()) for bar in (*apple, microsoft)]
    await send(shell.settings, "market.bars.v1", values)

    lines = shell.run("topics", "replay", "market.bars.v1", "--key", str(APPLE)).stdout.splitlines()
    assert [json.loads(line)["value"]["volume"] for line in lines] == [0.0, 1.0, 2.0]
    assert len(shell.json("topics", "replay", "market.bars.v1")["records"]) == 4
    tailed = shell.run("topics", "tail", "market.bars.v1", "--from-beginning", "--limit", "4")
    assert tailed.returncode == 0
    assert sum("AAPL" in line for line in tailed.stdout.splitlines()) == 3


async def test_a_copy_goes_to_a_new_topic_of_ones_own_and_nowhere_else(shell: Shell) -> None:
    await topic_admin.apply(shell.settings)
    await send(shell.settings, "market.bars.v1", [(b"1", a_bar().to_json())] * 5, headers=[("note", b"kept")])
    target = f"copy-{shell.settings.topic_prefix.rstrip('.')}"

    assert shell.json("topics", "replay", "market.bars.v1", "--to-topic", target)["records"] == 5
    for refused in (target, shell.settings.topic_prefix + "market.bars.v1", "trading.fills.v1"):
        assert shell.run("topics", "replay", "market.bars.v1", "--to-topic", refused).returncode == 4

    consumer: AIOKafkaConsumer = broker.reader(shell.settings)
    await consumer.start()
    try:
        consumer.assign([TopicPartition(target, n) for n in range(4)])
        async with asyncio.timeout(30):
            copied = [await consumer.getone() for _ in range(5)]
    finally:
        await consumer.stop()
    assert {(r.key, r.value, r.headers) for r in copied} == {(b"1", a_bar().to_json(), (("note", b"kept"),))}


@contextlib.asynccontextmanager
async def a_reader_of_fills(settings: Settings) -> AsyncIterator[list[Fill]]:
    """A running service that takes fills; yields those it has applied."""
    catalogue = load_catalogue()
    portfolio = catalogue.services["portfolio"].model_copy(
        update={"reads": ("trading.fills.v1",), "replays": (), "writes": ()}
    )
    catalogue = catalogue.model_copy(update={"services": {**catalogue.services, "portfolio": portfolio}})
    service = Service("portfolio", settings, catalogue=catalogue)
    applied: list[Fill] = []

    async def on_fill(fill: Fill, origin: Origin) -> None:
        applied.append(fill)

    service.on(Fill, on_fill)
    task = asyncio.create_task(service.run())
    try:
        yield applied
    finally:
        service.stop()
        await task


async def wait_for_letters(shell: Shell, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(60):
        while True:
            found = await asyncio.to_thread(shell.json, "dlq", "show", "trading.fills.v1")
            if len(found["dead_letters"]) >= count:
                return list(found["dead_letters"])


async def test_a_dead_letter_is_listed_shown_with_its_reason_and_sent_again(shell: Shell) -> None:
    await topic_admin.apply(shell.settings)
    assert shell.run("dlq", "list").stdout == "no dead letters\n"
    async with a_reader_of_fills(shell.settings) as applied:
        poison = a_fill().to_json().replace(b'"side":"BUY"', b'"side":"UP"')
        await send(shell.settings, "trading.fills.v1", [(b"DU1234567", poison), (b"DU1234567", a_fill().to_json())])
        (letter,) = await wait_for_letters(shell, 1)

        assert letter["origin"]["topic"] == shell.settings.topic_prefix + "trading.fills.v1"
        assert "side" in letter["origin"]["reason"]
        assert "why    Fill.side" in shell.run("dlq", "show", "trading.fills.v1").stdout
        listed = shell.json("dlq", "list")
        assert listed["total"] == 1
        unasked = shell.run("dlq", "replay", "trading.fills.v1")
        assert (unasked.returncode, "add --yes" in unasked.stderr) == (2, True)
        assert shell.run("dlq", "replay", "trading.fills.v1", "--offset", "7", "--yes").returncode == 2
        assert shell.json("dlq", "replay", "trading.fills.v1", "--offset", "0", "--yes")["replayed"] == 1

        (_, again) = await wait_for_letters(shell, 2)
        assert again["headers"]["x-replay-of"] == f"{letter['topic']}/0/0"
        assert again["value"] == letter["value"]
        assert len(applied) == 1


def test_a_wrong_topic_is_one_line_and_exit_2(shell: Shell) -> None:
    done = shell.run("dlq", "show", "trading.fils.v1")

    assert done.returncode == 2
    assert done.stderr == "scizor: no topic 'trading.fils.v1': did you mean trading.fills.v1?\n"
