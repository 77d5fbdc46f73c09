"""A person at the command line: publishes requests and follows on the topics what becomes of them."""

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from infra import broker
from infra.clock import Clock, Entropy, SystemClock, SystemEntropy
from infra.delivery import MalformedRecordError, parse
from infra.errors import EnvironmentUnhealthyError, ScizorError
from infra.metrics import Metrics
from infra.publish import Publisher
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.event import Event

_POLL_MS = 200


class NoAnswerError(ScizorError):
    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:.0f} s: {what}; `scizor status` and `scizor logs` tell more")


class Feed:
    """Events of some topics from the moment it was opened; each is given once, to whoever asks next."""

    def __init__(self, consumer: AIOKafkaConsumer, prefix: str, clock: Clock) -> None:
        self._consumer = consumer
        self._prefix = prefix
        self._clock = clock
        self._waiting: deque[Event] = deque()

    async def events(self, seconds: float, *, idle_seconds: float | None = None) -> AsyncIterator[Event]:
        """Events as they come, until `seconds` have passed, or `idle_seconds` without any."""
        deadline = self._clock.monotonic() + seconds
        last = self._clock.monotonic()
        while (now := self._clock.monotonic()) < deadline:
            if not self._waiting:
                await self._poll()
            if self._waiting:
                last = now
            elif idle_seconds is not None and now - last > idle_seconds:
                return
            while self._waiting:
                yield self._waiting.popleft()

    async def _poll(self) -> None:
        catalogue = load_catalogue()
        for place, records in (await self._consumer.getmany(timeout_ms=_POLL_MS)).items():
            topic = catalogue.topic(place.topic.removeprefix(self._prefix))
            for record in records:
                with contextlib.suppress(MalformedRecordError):  # its own reader sets it aside
                    self._waiting.append(parse(topic, record))

    async def first(self, wanted: Callable[[Event], bool], *, seconds: float, what: str) -> Event:
        """The first event for which `wanted` is true; NoAnswerError after `seconds`."""
        async for event in self.events(seconds):
            if wanted(event):
                return event
        raise NoAnswerError(what, seconds)


class Desk:
    """Publishes in the name of `cli`, and opens feeds."""

    def __init__(self, settings: Settings, *, clock: Clock | None = None, entropy: Entropy | None = None) -> None:
        self.settings = settings
        self.clock = clock or SystemClock()
        self.entropy = entropy or SystemEntropy()
        self._publisher = Publisher("cli", settings, load_catalogue(), self.clock, Metrics("cli"))
        self._consumers: list[AIOKafkaConsumer] = []

    async def __aenter__(self) -> Self:
        try:
            await self._publisher.start()
        except KafkaError as error:
            await self._publisher.stop()
            raise EnvironmentUnhealthyError(
                f"Kafka at {self.settings.kafka} does not answer: {error}; `scizor doctor` tells more"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for consumer in self._consumers:
            await consumer.stop()
        await self._publisher.stop()

    async def publish(self, event: Event) -> None:
        await self._publisher.publish(event)

    async def feed(self, topics: Sequence[str]) -> Feed:
        """Open a feed at the present end of `topics`: open it before publishing what it is to answer."""
        consumer = broker.reader(self.settings)
        await consumer.start()
        self._consumers.append(consumer)
        catalogue = load_catalogue()
        prefix = self.settings.topic_prefix
        places = [
            TopicPartition(prefix + topic, number)
            for topic in topics
            for number in range(catalogue.topic(topic).partitions)
        ]
        consumer.assign(places)
        for place, end in (await consumer.end_offsets(places)).items():
            consumer.seek(place, end)
        return Feed(consumer, prefix, self.clock)
