"""What becomes of one consumed record: applied, recognised as a duplicate, or set aside; never forgotten.

On trading topics nothing is set aside that could be parsed: the account halts and the record is tried again.
"""

import asyncio
import errno
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from aiokafka.errors import KafkaError, KafkaTimeoutError
from pydantic import ValidationError
from structlog.typing import FilteringBoundLogger

from infra.clock import Clock, Entropy
from infra.errors import EnvironmentUnhealthyError, ScizorError
from infra.metrics import Metrics
from infra.publish import Headers, Origin, Outgoing, Publisher
from infra.settings import Settings
from infra.topics import DEAD_LETTER_SUFFIX, Catalogue, TopicSpec
from schemas.event import Event

Handler = Callable[[Event, Origin], Awaitable[None]]
Halt = Callable[[Event, str], Awaitable[None]]

ATTEMPTS_MAX = 3
_RETRY_DELAYS_SECONDS = (0.05, 0.2, 0.5)
_TRANSIENT_PATIENCE_SECONDS = 60.0
_TRANSIENT_DELAY_MAX_SECONDS = 2.0
_HALTED_DELAY_SECONDS = 10.0
_REASON_MAX = 500
_OWN_LIMITS = (errno.EMFILE, errno.ENOMEM)
_RECORDS = uuid.uuid5(uuid.NAMESPACE_URL, "urn:scizor:records")


class TransientError(ScizorError):
    """Somebody else is down for a while: worth trying again."""


class ExhaustedError(EnvironmentUnhealthyError):
    """This process may have no more files or memory: waiting frees none, and the next one starts with all of them."""


class MalformedRecordError(ScizorError):
    """The record cannot be understood; no retry will help."""


class Record(Protocol):
    """What of aiokafka's ConsumerRecord is used."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Failure:
    """A record that is to be set aside, and why."""

    record: Record
    reason: str


def is_exhausted(error: BaseException) -> bool:
    """Whether this process is at a limit of its own: it ends at once, and nothing is tried again or set aside."""
    at_a_limit = isinstance(error, OSError) and error.errno in _OWN_LIMITS
    return at_a_limit or isinstance(error, MemoryError | ExhaustedError)


def is_transient(error: BaseException) -> bool:
    """Whether trying again later can help: a lost connection or a time-out, ours or a library's.

    A broker that is away for longer than a delivery may take ends it with KafkaTimeoutError, which does not count as
    retriable in aiokafka itself.
    """
    away = isinstance(error, TransientError | OSError | TimeoutError | KafkaTimeoutError)
    return not is_exhausted(error) and (away or (isinstance(error, KafkaError) and bool(error.retriable)))


def _header(record: Record, name: str) -> str:
    for key, value in record.headers:
        if key == name and value is not None:
            return value.decode("utf-8", "replace")
    return ""


def parse(topic: TopicSpec, record: Record) -> Event:
    """The event of a record, or MalformedRecordError with the reason."""
    if record.value is None:
        raise MalformedRecordError("the record has no value")
    if len(record.value) > topic.message_max_bytes:
        raise MalformedRecordError(f"{len(record.value)} bytes are more than the topic's {topic.message_max_bytes}")
    for name, value in record.headers:
        if value is None:
            raise MalformedRecordError(f"header {name!r} has no value")
        try:
            value.decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedRecordError(f"header {name!r} is not UTF-8") from error
    declared = _header(record, "ce_type")
    if declared and not declared.startswith(f"scizor.{topic.name}."):
        raise MalformedRecordError(f"unknown type or version {declared!r} on {topic.name}")
    try:
        return topic.parse(record.value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise MalformedRecordError(f"{where or 'value'}: {first['msg']}") from error
    except (ValueError, RecursionError) as error:
        raise MalformedRecordError(str(error) or type(error).__name__) from error


def origin_of(topic: TopicSpec, record: Record, received_at: datetime) -> Origin:
    """Where the event of a record came from; what carries no id gets one from its place."""
    event_id = _header(record, "ce_id") or str(uuid.uuid5(_RECORDS, f"{topic.name}/{record.partition}/{record.offset}"))
    return Origin(
        topic=topic.name,
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        timestamp_ms=record.timestamp,
        received_at=received_at,
        event_id=event_id,
        correlation_id=_header(record, "correlation_id") or event_id,
        headers=tuple(record.headers),
    )


class Attempts(Protocol):
    """How often a record was tried, counted across restarts."""

    async def earlier(self) -> int: ...

    async def note(self, count: int) -> None: ...


class Delivery:
    """Parses, hands over, retries and sets aside for one service."""

    def __init__(
        self,
        *,
        group: str,
        settings: Settings,
        catalogue: Catalogue,
        publisher: Publisher,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        log: FilteringBoundLogger,
    ) -> None:
        self._group = group
        self._settings = settings
        self._catalogue = catalogue
        self._publisher = publisher
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._log = log
        self._stopping = asyncio.Event()
        self.handlers: dict[type[Event], Handler] = {}
        self.halt: Halt | None = None
        self.blocked: str | None = None
        """Why nothing moves: a trading record that cannot be applied."""

    def stop(self) -> None:
        """End all waiting: a record in retry stays uncommitted and comes again at the next start."""
        self._stopping.set()

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return
        raise asyncio.CancelledError("the service stops; the record comes again")

    def topic_of(self, record: Record) -> TopicSpec:
        return self._catalogue.topic(record.topic.removeprefix(self._settings.topic_prefix))

    def origin(self, topic: TopicSpec, record: Record) -> Origin:
        return origin_of(topic, record, self._clock.now())

    async def deliver(self, record: Record, attempts: Attempts) -> None:
        """Handle one record; returns when its offset may be committed."""
        topic = self.topic_of(record)
        counters = self._metrics.received(topic.name)
        counters.messages.inc()
        counters.size.observe(len(record.value or b""))
        begun = self._clock.monotonic()
        try:
            event = parse(topic, record)
        except MalformedRecordError as error:
            await self.set_aside(Failure(record, str(error)), attempts=1)
            counters.skipped.inc()
            return
        handler = self.handlers.get(type(event))
        if handler is None:
            counters.skipped.inc()
            return
        origin = self.origin(topic, record)
        with (
            counters.in_process.track_inprogress(),
            structlog.contextvars.bound_contextvars(correlation_id=origin.correlation_id),
        ):
            applied = await self._attempt(record, event, lambda: handler(event, origin), attempts)
        counters.duration.observe(self._clock.monotonic() - begun)
        (counters.acked if applied else counters.failed).inc()

    async def _attempt(
        self, record: Record, event: Event, handle: Callable[[], Awaitable[None]], attempts: Attempts
    ) -> bool:
        topic = self.topic_of(record)
        tried = None
        while True:
            try:
                await self._patiently(topic.name, handle)
            except Exception as error:
                if is_exhausted(error):
                    raise
                tried = 1 + (await attempts.earlier() if tried is None else tried)
                await attempts.note(tried)
                self._metrics.exception(topic.name, error)
                place = {"topic": topic.name, "partition": record.partition, "offset": record.offset}
                self._log.exception("handler failed", **place, attempt=tried)
                if is_transient(error):
                    raise  # patience is over: crash, start again, recover
                if tried < ATTEMPTS_MAX:
                    await self._pause(self._entropy.jitter(_RETRY_DELAYS_SECONDS[tried - 1]))
                elif topic.poison == "dead_letter":
                    await self.set_aside(Failure(record, f"{type(error).__name__}: {error}"), attempts=tried)
                    return False
                else:
                    await self._halted(topic, record, event, error)
            else:
                self.blocked = None
                return True

    async def _patiently(self, topic: str, handle: Callable[[], Awaitable[None]]) -> None:
        """Call; while the failure is transient try again, up to a minute."""
        deadline = self._clock.monotonic() + _TRANSIENT_PATIENCE_SECONDS
        delay = 0.05
        while True:
            try:
                return await handle()
            except Exception as error:
                if not is_transient(error) or self._clock.monotonic() + delay > deadline:
                    raise
                self._metrics.exception(topic, error)
                self._log.warning("trying again", topic=topic, error=repr(error))
            await self._pause(self._entropy.jitter(delay))
            delay = min(delay * 2, _TRANSIENT_DELAY_MAX_SECONDS)

    async def _halted(self, topic: TopicSpec, record: Record, event: Event, error: Exception) -> None:
        reason = f"{topic.name}/{record.partition}/{record.offset} cannot be applied: {type(error).__name__}: {error}"
        if self.blocked is None:
            self.blocked = reason[:_REASON_MAX]
            self._log.error("halted", reason=self.blocked)
            if self.halt is not None:
                await self.halt(event, self.blocked)
        await self._pause(_HALTED_DELAY_SECONDS)

    async def set_aside(self, failure: Failure, *, attempts: int) -> None:
        """Publish the record, as it came, to its dead-letter topic with the reason; waits for the broker."""
        record = failure.record
        topic = self.topic_of(record)
        context = {
            "scizor_dlq_topic": record.topic,
            "scizor_dlq_partition": str(record.partition),
            "scizor_dlq_offset": str(record.offset),
            "scizor_dlq_timestamp": str(record.timestamp),
            "scizor_dlq_group": self._group,
            "scizor_dlq_reason": failure.reason[:_REASON_MAX],
            "scizor_dlq_attempts": str(attempts),
            "scizor_dlq_time": self._clock.now().isoformat(),
        }
        headers: Headers = [(name, value) for name, value in record.headers if value is not None]
        headers += [(name, value.encode("utf-8", "replace")) for name, value in context.items()]
        timestamp_ms = int(self._clock.now().timestamp() * 1000)
        letter = Outgoing(topic.name, record.key or b"", record.value or b"", headers, timestamp_ms)
        await self._patiently(topic.name, lambda: self._publisher.send_raw(record.topic + DEAD_LETTER_SUFFIX, letter))
        self._metrics.dead_letters.labels(topic.name).inc()
        self._log.warning("set aside", topic=topic.name, offset=record.offset, reason=failure.reason[:_REASON_MAX])
