"""Creating and describing the topics of topics.yaml on a broker."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from infra import broker
from infra.errors import EnvironmentUnhealthyError
from infra.settings import Settings
from infra.topics import DEAD_LETTER_SUFFIX, Catalogue, TopicSpec, load_catalogue

_SEGMENT_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Applied:
    """What `apply` did."""

    created: tuple[str, ...]
    present: tuple[str, ...]


def topic_config(topic: TopicSpec) -> dict[str, str]:
    """Kafka's settings of a topic. Records carry `ingest_time`, so only wall-clock age can ever expire them."""
    milliseconds = -1 if topic.retention is None else int(topic.retention.total_seconds() * 1000)
    config = {
        "cleanup.policy": "compact" if topic.kind == "compacted" else "delete",
        "retention.ms": str(milliseconds),
        "segment.bytes": str(_SEGMENT_BYTES),
        "max.message.bytes": str(topic.message_max_bytes),
        "message.timestamp.type": "CreateTime",
    }
    if topic.flush:
        config["flush.messages"] = "1"
    return config


def _wanted(catalogue: Catalogue, prefix: str) -> dict[str, NewTopic]:
    wanted = {
        prefix + topic.name: NewTopic(prefix + topic.name, topic.partitions, 1, topic_configs=topic_config(topic))
        for topic in catalogue.topics.values()
    }
    for source in catalogue.dead_letter_sources:
        name = prefix + source + DEAD_LETTER_SUFFIX
        config = {"retention.ms": "-1", "max.message.bytes": "16777216", "segment.bytes": str(_SEGMENT_BYTES)}
        wanted[name] = NewTopic(name, catalogue.topics[source].partitions, 1, topic_configs=config)
    return wanted


async def apply(settings: Settings, catalogue: Catalogue | None = None, *, replication: int | None = None) -> Applied:
    """Create the topics that are missing; fail when a present one has another number of partitions."""
    wanted = _wanted(catalogue or load_catalogue(), settings.topic_prefix)
    client = broker.admin(settings)
    await client.start()
    try:
        present = set(await client.list_topics())
        missing = [spec for name, spec in wanted.items() if name not in present]
        factor = replication or min(3, len((await client.describe_cluster())["brokers"]))
        for spec in missing:
            spec.replication_factor = factor
        if missing:
            await _create(client, missing)
        await _check_partitions(client, {n: s.num_partitions for n, s in wanted.items() if n in present})
    finally:
        await client.close()
    return Applied(tuple(s.name for s in missing), tuple(sorted(present & set(wanted))))


async def _create(client: AIOKafkaAdminClient, topics: Sequence[NewTopic]) -> None:
    response = await client.create_topics(list(topics), timeout_ms=broker.REQUEST_TIMEOUT_MS)
    for name, code, *rest in response.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:
            detail = rest[0] if rest else ""
            raise EnvironmentUnhealthyError(f"Kafka refused to create topic {name}: {error.__name__} {detail}")


async def _check_partitions(client: AIOKafkaAdminClient, wanted: dict[str, int]) -> None:
    if not wanted:
        return
    for described in await client.describe_topics(list(wanted)):
        found = len(described["partitions"])
        if found != wanted[described["topic"]]:
            raise EnvironmentUnhealthyError(
                f"topic {described['topic']} has {found} partitions, topics.yaml says {wanted[described['topic']]}: "
                "records would change their place; move the data to a new topic version"
            )


async def describe(settings: Settings, topic: TopicSpec) -> dict[str, str]:
    """The broker's own settings of a topic."""
    client = broker.admin(settings)
    await client.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, settings.topic_prefix + topic.name)
        (response,) = await client.describe_configs([resource])
        return {entry[0]: entry[1] for entry in response.resources[0][4]}
    finally:
        await client.close()


def apply_from_command_line(arguments: Sequence[str]) -> int:
    if list(arguments) != ["apply"]:
        sys.stderr.write("usage: python -m infra.topics apply\n")
        return 2
    settings = Settings()
    try:
        applied = asyncio.run(apply(settings))
    except KafkaError as error:
        sys.stderr.write(f"Kafka at {settings.kafka or '(no address)'} does not answer: {error!r}\n")
        return 3
    sys.stderr.write(f"{len(applied.created)} topics created, {len(applied.present)} were there\n")
    return 0
