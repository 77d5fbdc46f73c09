"""Consuming with offsets that are committed only after their records were dealt with.

One worker a consumer, explicit commits, a drain before partitions go away. `RecordConsumer` hands over one record
at a time through FastStream; `BatchConsumer` is a bare loop for bulk work with the same commit rule.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, cast

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream.kafka import KafkaBroker
from faststream.kafka.message import KafkaAckableMessage
from faststream.middlewares import AckPolicy
from faststream.security import BaseSecurity, SASLScram512

from infra import broker
from infra.delivery import Delivery, Failure, Record, is_transient
from infra.metrics import Metrics
from infra.settings import Settings

BatchHandler = Callable[[Sequence[Record]], Awaitable[Sequence[Failure]]]
BeforeCommit = Callable[[], Awaitable[None]]

_SESSION_MS = 10_000
_DYNAMIC_SESSION_MS = 6_000
_HEARTBEAT_MS = 1_000
_REBALANCE_MS = 60_000
_POLL_MAX_MS = 300_000
_BATCH_RECORDS = 10_000
_BATCH_WAIT_MS = 50
_ATTEMPTS = "attempts="
_COMMIT_SECONDS = 0.1
_COMMIT_RECORDS = 200


class Drain(ConsumerRebalanceListener):  # type: ignore[misc] # aiokafka ships no types
    """Lets the record in hand finish, and commits it, before its partition goes; knows which partitions are ours."""

    def __init__(self, last: Callable[[], Awaitable[None]] | None = None) -> None:
        self.owned: frozenset[TopicPartition] = frozenset()
        self.joined = False
        self.busy = asyncio.Lock()
        self._last = last

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.owned = frozenset()
        async with self.busy:
            if self._last is not None:
                await self._last()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.owned = frozenset(assigned)
        self.joined = True


class Membership:
    """Who a consumer is in its group. Static: the same slot gets its partitions back at once after a crash."""

    def __init__(self, settings: Settings, service: str, *, static: bool, suffix: str = "") -> None:
        self.group = f"{settings.topic_prefix}{service}"
        instance = f"{self.group}-{settings.instance}{suffix}" if static else None
        self.options: dict[str, Any] = {
            "group_id": self.group,
            "group_instance_id": instance,
            "session_timeout_ms": _SESSION_MS if static else _DYNAMIC_SESSION_MS,
            "heartbeat_interval_ms": _HEARTBEAT_MS,
            "rebalance_timeout_ms": _REBALANCE_MS,
            "max_poll_interval_ms": _POLL_MAX_MS,
            "auto_offset_reset": "earliest",
            "isolation_level": "read_committed",
        }


async def _hand_over(message: KafkaAckableMessage) -> KafkaAckableMessage:
    return message


class _CommittedAttempts:
    """The count of attempts at a record, kept as metadata of the committed offset: it survives a restart."""

    def __init__(self, settings: Settings, group: str, consumer: Any, record: tuple[TopicPartition, int]) -> None:
        self._settings = settings
        self._group = group
        self._consumer = consumer
        self._place, self._offset = record

    async def earlier(self) -> int:
        client = broker.admin(self._settings)
        await client.start()
        try:
            offsets = await client.list_consumer_group_offsets(self._group, partitions=[self._place])
        finally:
            await client.close()
        known = offsets.get(self._place)
        if known is None or known.offset != self._offset or not known.metadata.startswith(_ATTEMPTS):
            return 0
        return int(known.metadata.removeprefix(_ATTEMPTS))

    async def note(self, count: int) -> None:
        await _commit(self._consumer, {self._place: (self._offset, f"{_ATTEMPTS}{count}")})


class RecordConsumer:
    """One record after another, each committed when it was dealt with.

    On the order path at once; elsewhere within a tenth of a second or 200 records, since a commit costs as much as
    the work, and what comes again after a crash is recognised.
    """

    def __init__(self, topics: Sequence[str], member: Membership, settings: Settings, delivery: Delivery) -> None:
        self._settings = settings
        self._member = member
        self._delivery = delivery
        self.drain = Drain(self._commit_due)
        self._due: dict[TopicPartition, tuple[int, str]] = {}
        self._uncommitted = 0
        self._failure: Exception | None = None
        self._ended = asyncio.Event()
        self._broker = KafkaBroker(
            settings.kafka,
            apply_types=False,
            graceful_timeout=30,
            consumer_only=True,
            allow_auto_create_topics=False,
            security=_security(settings),
            logger=None,
        )
        subscriber = self._broker.subscriber(
            *(settings.topic_prefix + topic for topic in topics),
            **member.options,
            ack_policy=AckPolicy.MANUAL,
            parser=self._parse,
            decoder=_hand_over,
            no_reply=True,
            listener=self.drain,
        )
        subscriber(self._handle)
        self._subscriber = subscriber

    async def _parse(self, record: Any) -> KafkaAckableMessage:
        # never raises: FastStream's own parser loses records whose headers are not UTF-8
        return KafkaAckableMessage(
            body=b"",
            headers={},
            content_type=None,
            message_id="",
            correlation_id="-",
            raw_message=record,
            consumer=self._subscriber.consumer,
        )

    async def _handle(self, message: KafkaAckableMessage) -> None:
        record = cast(Record, message.raw_message)
        place = TopicPartition(record.topic, record.partition)
        async with self.drain.busy:
            if place not in self.drain.owned or self._failure is not None:
                return  # it was revoked while the record waited: its new owner gets it; or none may be passed over
            try:
                await self._take(record, place, message.consumer)
            except Exception as error:
                self._failure = error
                self._ended.set()
                raise

    async def _take(self, record: Record, place: TopicPartition, consumer: Any) -> None:
        attempts = _CommittedAttempts(self._settings, self._member.group, consumer, (place, record.offset))
        await self._delivery.deliver(record, attempts)
        self._due[place] = (record.offset + 1, "")
        self._uncommitted += 1
        on_order_path = self._delivery.topic_of(record).poison == "halt"
        if on_order_path or self._uncommitted >= _COMMIT_RECORDS:
            await self._commit_due()

    async def _commit_due(self) -> None:
        due, self._due, self._uncommitted = self._due, {}, 0
        try:
            if due:
                await _commit(self._subscriber.consumer, due)
        except KafkaError as error:
            if not is_transient(error):
                raise
            self._due = due  # the broker is away: these are tried again within a tenth of a second

    async def start(self) -> None:
        await self._broker.start()

    async def run(self) -> None:
        """Until stopped: commit what is due. Raises what a record failed of: FastStream would take the next one."""
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_COMMIT_SECONDS):
                    await self._ended.wait()
            async with self.drain.busy:
                await self._commit_due()
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        self._ended.set()
        await self.drain.on_partitions_revoked(())
        await self._broker.stop()

    def lag(self) -> dict[TopicPartition, int]:
        return _lag(self._subscriber.consumer, self.drain)


class BatchConsumer:
    """Polls of up to 10,000 records, each poll handled as a whole and then committed.

    With `before_commit` commits are gathered for a tenth of a second while records come, and each one awaits it:
    what the handler must have written by then is written once for all of them.
    """

    def __init__(
        self,
        topics: Sequence[str],
        member: Membership,
        settings: Settings,
        delivery: Delivery,
        handler: BatchHandler,
        metrics: Metrics,
        before_commit: BeforeCommit | None = None,
    ) -> None:
        self._topics = [settings.topic_prefix + topic for topic in topics]
        self._prefix = settings.topic_prefix
        self._delivery = delivery
        self._handler = handler
        self._metrics = metrics
        self._before_commit = before_commit
        self._due: dict[TopicPartition, tuple[int, str]] = {}
        self._due_since = 0.0
        self.drain = Drain(self._commit_due)
        options = member.options | broker.connection_options(settings)
        self._consumer = AIOKafkaConsumer(**options, enable_auto_commit=False)
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        self._consumer.subscribe(self._topics, listener=self.drain)
        await self._consumer.start()

    async def run(self) -> None:
        """Until stopped: poll, handle, commit."""
        try:
            while not self._stopping.is_set():
                polled = await self._consumer.getmany(timeout_ms=_BATCH_WAIT_MS, max_records=_BATCH_RECORDS)
                async with self.drain.busy:
                    if not self._stopping.is_set():
                        await self._take(polled)
        except BaseException:
            self._due.clear()  # nobody can say any more what of it was written
            raise

    async def _take(self, polled: dict[TopicPartition, list[Record]]) -> None:
        ours = {place: records for place, records in polled.items() if place in self.drain.owned}
        if ours:
            await self._handle(ours)
        now = asyncio.get_running_loop().time()
        if self._before_commit is None or not ours or now - self._due_since >= _COMMIT_SECONDS:
            await self._commit_due()

    async def _handle(self, polled: dict[TopicPartition, list[Record]]) -> None:
        records = [record for part in polled.values() for record in part]
        for place, part in polled.items():
            self._metrics.received(place.topic.removeprefix(self._prefix)).messages.inc(len(part))
        failures = await self._handler(records)
        for failure in failures:
            await self._delivery.set_aside(failure, attempts=1)
        if not self._due:
            self._due_since = asyncio.get_running_loop().time()
        for place, part in polled.items():
            self._due[place] = (part[-1].offset + 1, "")
            self._metrics.received(place.topic.removeprefix(self._prefix)).acked.inc(len(part))

    async def _commit_due(self) -> None:
        if self._due:
            if self._before_commit is not None:
                await self._before_commit()
            due, self._due = self._due, {}
            await _commit(self._consumer, due)

    async def stop(self) -> None:
        self._stopping.set()
        async with self.drain.busy:
            await self._commit_due()
            await self._consumer.stop()

    def lag(self) -> dict[TopicPartition, int]:
        return _lag(self._consumer, self.drain)


async def _commit(consumer: Any, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
    try:
        await consumer.commit(offsets)
    except (CommitFailedError, IllegalStateError):
        return  # the partition went to another member meanwhile: it handles the record again, which changes nothing


def _lag(consumer: Any, drain: Drain) -> dict[TopicPartition, int]:
    behind = {}
    for place in drain.owned:
        end = consumer.highwater(place)
        position = consumer.last_stable_offset(place) if end is None else end
        fetched = consumer._subscription.subscription.assignment.state_value(place)
        if position is not None and fetched is not None and fetched.has_valid_position:
            behind[place] = max(0, position - fetched.position)
    return behind


def _security(settings: Settings) -> BaseSecurity | None:
    ssl_context = broker.connection_options(settings).get("ssl_context")
    if settings.kafka_security.startswith("SASL"):
        password = settings.kafka_password.get_secret_value()
        return SASLScram512(settings.kafka_username, password, ssl_context=ssl_context, use_ssl=ssl_context is not None)
    return BaseSecurity(ssl_context=ssl_context, use_ssl=True) if ssl_context else None
