"""Topics as a person names them, and records as a person reads them."""

import asyncio
import contextlib
import difflib
import json
import os
import shutil
import sys
import textwrap
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from infra import broker
from infra.delivery import Record
from infra.errors import EnvironmentUnhealthyError, UsageError
from infra.settings import Settings
from infra.topics import DEAD_LETTER_SUFFIX, Catalogue, TopicSpec, load_catalogue

R = TypeVar("R")

POLL_MS = 200
_SUMMARY_MAX = 160
_BETWEEN = "  "
_LAST_COLUMN_MIN = 24
_BROKEN_PIPE_EXIT = 0


class TopicMisnamedError(UsageError):
    def __init__(self, name: str, known: Sequence[str]) -> None:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        advice = f"did you mean {near[0]}?" if near else "`scizor topics list` shows them all"
        super().__init__(f"no topic {name!r}: {advice}")
        self.name = name


class TopicMissingError(EnvironmentUnhealthyError):
    def __init__(self, name: str, address: str) -> None:
        super().__init__(f"Kafka at {address} has no topic {name}: create it with `scizor topics apply`")


def with_dead_letters(catalogue: Catalogue) -> Catalogue:
    """The catalogue with the dead-letter topics beside those they belong to."""
    letters = {
        source + DEAD_LETTER_SUFFIX: catalogue.topics[source].model_copy(update={"name": source + DEAD_LETTER_SUFFIX})
        for source in catalogue.dead_letter_sources
    }
    return catalogue.model_copy(update={"topics": {**catalogue.topics, **letters}})


def topic_named(name: str, settings: Settings) -> TopicSpec:
    """The topic a person means: by its name in topics.yaml or on the broker, dead-letter topics included."""
    topics = with_dead_letters(load_catalogue()).topics
    logical = name.removeprefix(settings.topic_prefix)
    if logical not in topics:
        raise TopicMisnamedError(name, list(topics))
    return topics[logical]


def dead_letters_of(name: str, settings: Settings) -> TopicSpec:
    """The dead-letter topic of a topic that somebody reads."""
    source = name.removeprefix(settings.topic_prefix).removesuffix(DEAD_LETTER_SUFFIX)
    catalogue = load_catalogue()
    if source in catalogue.topics and source not in catalogue.dead_letter_sources:
        raise UsageError(f"{source} has no dead letters: no service reads it in a group")
    if source not in catalogue.topics:
        raise TopicMisnamedError(name, list(catalogue.dead_letter_sources))
    return with_dead_letters(catalogue).topics[source + DEAD_LETTER_SUFFIX]


def run(work: Coroutine[Any, Any, R], settings: Settings) -> R:
    """Do something with Kafka; a broker that does not answer is told in one line."""
    try:
        return asyncio.run(work)
    except (KafkaError, TimeoutError) as error:
        raise EnvironmentUnhealthyError(
            f"Kafka at {settings.kafka} does not answer: {error or 'no records in time'}; `scizor doctor` tells more"
        ) from error


async def require_on_broker(settings: Settings, topics: Sequence[TopicSpec]) -> None:
    """TopicMissingError for the first of `topics` that the broker does not have."""
    client = broker.admin(settings)
    await client.start()
    try:
        present = set(await client.list_topics())
    finally:
        await client.close()
    for topic in topics:
        if settings.topic_prefix + topic.name not in present:
            raise TopicMissingError(settings.topic_prefix + topic.name, settings.kafka)


def places_of(topic: TopicSpec, settings: Settings) -> list[TopicPartition]:
    return [TopicPartition(settings.topic_prefix + topic.name, number) for number in range(topic.partitions)]


async def offsets(settings: Settings, topics: Sequence[TopicSpec]) -> dict[TopicPartition, tuple[int, int]]:
    """First and end offset of every partition of `topics`."""
    await require_on_broker(settings, topics)
    consumer = broker.reader(settings)
    await consumer.start()
    try:
        places = [place for topic in topics for place in places_of(topic, settings)]
        begins = await consumer.beginning_offsets(places)
        ends = await consumer.end_offsets(places)
    finally:
        await consumer.stop()
    return {place: (begins[place], ends[place]) for place in places}


async def follow(settings: Settings, topic: TopicSpec, *, from_beginning: bool) -> AsyncGenerator[Record, None]:
    """Records as they come, for as long as somebody listens."""
    await require_on_broker(settings, [topic])
    consumer = broker.reader(settings)
    await consumer.start()
    try:
        places = places_of(topic, settings)
        consumer.assign(places)
        at = await (consumer.beginning_offsets(places) if from_beginning else consumer.end_offsets(places))
        for place, offset in at.items():
            consumer.seek(place, offset)
        while True:
            for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                for record in records:
                    yield record
    finally:
        await consumer.stop()


def has_key(record: Record, key: str | None) -> bool:
    """Whether the record is one of those wanted: any, or those with this key."""
    return key is None or record.key == key.encode()


def as_document(record: Record) -> dict[str, Any]:
    """A record as JSON: the value parsed where it is JSON, else as text."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": _moment(record.timestamp),
        "key": None if record.key is None else _text(record.key),
        "headers": {name: None if value is None else _text(value) for name, value in record.headers},
        "value": _value(record.value),
    }


def as_line(record: Record) -> str:
    """A record on one line of a terminal."""
    key = "-" if record.key is None else printable(_text(record.key), _SUMMARY_MAX)
    value = "(no value)" if record.value is None else printable(_text(record.value), _SUMMARY_MAX)
    return f"{record.partition}:{record.offset}  {_moment(record.timestamp)}  {key}  {value}"


def printable(text: str, length_max: int) -> str:
    """Text without control characters, cut where it gets too long."""
    shown = "".join(
        letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text[: length_max + 1]
    )
    return shown if len(shown) <= length_max else shown[:length_max] + "..."


def to_json(document: object, *, indent: int | None = None) -> str:
    """JSON in ASCII: whatever a record holds, it neither breaks the terminal nor the encoding."""
    return json.dumps(document, indent=indent)


def _moment(timestamp_ms: int) -> str:
    return datetime.fromtimestamp(timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _value(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return json.loads(value, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return _text(value)


def _no_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


@contextlib.contextmanager
def printing() -> Iterator[None]:
    """A reader that has seen enough (`| head`) ends the command, not in an error."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_BROKEN_PIPE_EXIT)


def table(rows: Sequence[Sequence[str]], *, cut: bool = False, columns_max: int | None = None) -> str:
    """Columns as wide as what stands in them; the first row is the head.

    On a terminal, what the last column has too much is cut off, or goes on below.
    """
    if columns_max is None and sys.stdout.isatty():
        columns_max = shutil.get_terminal_size().columns
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    if columns_max is not None:
        left = columns_max - sum(widths[:-1]) - len(_BETWEEN) * (len(widths) - 1)
        widths[-1] = min(widths[-1], max(left, _LAST_COLUMN_MIN))
    lines = []
    for row in rows:
        for number, part in enumerate(_parts(row[-1], widths[-1], cut)):
            cells = [*(row[:-1] if number == 0 else [""] * (len(row) - 1)), part]
            padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            lines.append(_BETWEEN.join(padded).rstrip())
    return "\n".join(lines)


def _parts(cell: str, width: int, cut: bool) -> Sequence[str]:
    if len(cell) <= width:
        return [cell]
    return [f"{cell[: width - 3].rstrip()}..."] if cut else textwrap.wrap(cell, width)


def to_the_second(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
