"""Faults of too little: no topic for dead letters, no connections, no files, no memory, no room for logs."""

import asyncio
import contextlib
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from infra import broker
from infra.topics import DEAD_LETTER_SUFFIX
from tests.faultlab.faults import fault
from tests.faultlab.faults_of_records import POISON
from tests.faultlab.stage import Stage, drawn
from tests.integration.an_order_path import a_live_intent, until

# F28: nowhere to put what cannot be read

_MADE_WITH = ("retention.ms", "max.message.bytes", "segment.bytes")
"""Settings of a topic for dead letters."""


@contextlib.asynccontextmanager
async def _unavailable(stage: Stage, topic: str, *, gone: bool) -> AsyncIterator[None]:
    """A topic that is gone while this lasts, for which a service waits; or one that takes nothing, of which it dies."""
    admin = broker.admin(stage.settings)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
        (told,) = await admin.describe_configs([_settings_of(topic)])
        config = {name: value for name, value, *_ in told.resources[0][4] if name in _MADE_WITH}
        made = NewTopic(topic, len(described["partitions"]), 1, topic_configs=config)
        if gone:
            await admin.delete_topics([topic])
        else:
            await _configure(admin, topic, config | {"max.message.bytes": "1"})
        try:
            yield
        finally:
            await (until(lambda: _was_made(admin, made)) if gone else _configure(admin, topic, config))
    finally:
        await admin.close()


def _settings_of(topic: str, config: dict[str, str] | None = None) -> ConfigResource:
    return ConfigResource(ConfigResourceType.TOPIC, topic, config)


async def _configure(admin: AIOKafkaAdminClient, topic: str, config: dict[str, str]) -> None:
    """To set one thing sets all the others back."""
    (answer,) = await admin.alter_configs([_settings_of(topic, config)])
    assert answer.resources[0][0] == 0, f"Kafka does not change {topic}: {answer}"


async def _was_made(admin: AIOKafkaAdminClient, topic: NewTopic) -> bool:
    answer = await admin.create_topics([topic])
    return bool(answer.topic_errors[0][1] == 0)  # as long as the old one is on its way out it is still there


def _poison_without_letters(topic: str, service: str, **traits: Any) -> None:
    name = f"poison-without-letters-on-{topic.removesuffix('.v1')}"

    @fault(
        name,
        "F28",
        f"records on {topic} that nobody can read, and their dead letters are refused",
        wired=True,
        pairs=False,
        **traits,
    )
    async def _(stage: Stage, rng: Random) -> None:
        letters = f"{stage.settings.topic_prefix}{topic}{DEAD_LETTER_SUFFIX}"
        async with _unavailable(stage, letters, gone=rng.random() < 0.5):
            with stage.kafka_wire.watched() as heard:
                for value in rng.sample(POISON, 3):
                    place = await stage.path.raw(topic, b"DU1234567", value, [])
                    stage.marks.poison.append((topic, place.partition, place.offset))
                await until(lambda: asyncio.sleep(0, any(letters.encode() in each for each in heard)))
            await asyncio.sleep(drawn(rng, 0.5, 2))
            await _none_is_committed(stage, service, topic)
            stage.marks.strikes += 1
            if rng.random() < 0.5:
                stage.kill(service)


async def _none_is_committed(stage: Stage, service: str, topic: str) -> None:
    commits = await stage.commits(service)
    for name, partition, offset in stage.marks.poison:
        place = TopicPartition(stage.settings.topic_prefix + name, partition)
        if name == topic and commits.get(place, 0) > offset:
            stage.marks.found.append(f"{name} {partition}:{offset} was committed before it was set aside")


_poison_without_letters("market.bars.v1", "persister", work="bars")
_poison_without_letters("trading.decisions.v1", "executor")


# F34: files, memory, logs


def _out_of(what: str, meaning: str, limit: int, service: str) -> None:
    """What a living process may have is bounded; then its connections end, and there is work."""

    @fault(f"{service}-out-of-{what}", "F34", f"{service} {meaning}", pairs=False)
    async def _(stage: Stage, rng: Random) -> None:
        await asyncio.sleep(drawn(rng, 0, 0.2))
        pid = stage.pid(service)
        resource.prlimit(pid, limit, (0, 0))
        stage.database.cut(f"scizor {service}\0".encode())
        await stage.path.tell(a_live_intent("more", intent_id=stage.named("more"), strategy_id="more"))
        await until(lambda: asyncio.sleep(0, stage.pid(service) != pid))
        stage.marks.strikes += 1


_NO_FILES = "may open nothing more, and its connections end: it dies, and the next one may"
_NO_MEMORY = "gets no more memory, and its connections end: it dies, and the next one gets some"
for _service in ("executor", "risk", "portfolio"):
    _out_of("files", _NO_FILES, resource.RLIMIT_NOFILE, _service)
    _out_of("memory", _NO_MEMORY, resource.RLIMIT_AS, _service)


@fault(
    "log-disk-full", "F34", "no service can write a line of its log; there is room again", pairs=False, on_a_disk=True
)
async def _log_disk_full(stage: Stage, rng: Random) -> None:
    disk, names = stage.laboratory.disks["log-disk"], tuple(stage.starts)
    connections = len(stage.simulator.lines("connected"))
    disk.fill()
    try:
        for name in names:
            _use_up_the_page(stage.log(name))
        stage.kill("executor")  # the next one has a good deal to say until it is connected
        await until(lambda: asyncio.sleep(0, len(stage.simulator.lines("connected")) > connections))
        await asyncio.sleep(drawn(rng, 0, 1))
    finally:
        disk.free()
    stage.send("executor", signal.SIGTERM)  # of which it speaks
    await until(lambda: asyncio.sleep(0, _LOST in stage.log("executor").read_bytes()))
    stage.marks.strikes += 1


def _use_up_the_page(log: Path) -> None:
    """What is written next needs another one."""
    with contextlib.suppress(OSError), log.open("ab", buffering=0) as file:  # somebody else has used it up
        file.write(b"\n" * (-log.stat().st_size % resource.getpagesize()))


_LOST = b"lines of this log were lost"
