"""Who does not want a result any more: read beside the queue of work, in which a cancellation would wait its turn."""

import asyncio

from aiokafka import AIOKafkaConsumer, TopicPartition

from infra import broker
from infra.delivery import MalformedRecordError, parse
from infra.settings import Settings
from infra.topics import TopicSpec
from schemas.backtest import BacktestCanceled
from schemas.research import OptimizationCanceled

_REMEMBERED_MAX = 10_000
_POLL_MS = 500


class Cancellations:
    """The backtests, or searches, that were canceled: the newest 10,000 of them."""

    def __init__(self, settings: Settings, topic: TopicSpec) -> None:
        self._settings = settings
        self._topic = topic
        self._canceled: dict[str, str] = {}
        self._caught_up = asyncio.Event()

    def by(self, backtest_id: str) -> str | None:
        """Who canceled it; None when nobody did."""
        return self._canceled.get(backtest_id)

    async def caught_up(self) -> None:
        """Wait until what was in the topic at the start has been read."""
        await self._caught_up.wait()

    async def follow(self) -> None:
        """Read the topic from its beginning, for ever."""
        consumer: AIOKafkaConsumer = broker.reader(self._settings)
        await consumer.start()
        try:
            name = self._settings.topic_prefix + self._topic.name
            places = [TopicPartition(name, number) for number in range(self._topic.partitions)]
            consumer.assign(places)
            await consumer.seek_to_beginning(*places)
            ends = await consumer.end_offsets(places)
            while True:
                if not self._caught_up.is_set():
                    reached = [await consumer.position(place) >= ends[place] for place in places]
                    if all(reached):
                        self._caught_up.set()
                for records in (await consumer.getmany(timeout_ms=_POLL_MS)).values():
                    for record in records:
                        self._note(record)
        finally:
            await consumer.stop()

    def _note(self, record: object) -> None:
        try:
            event = parse(self._topic, record)  # type: ignore[arg-type] # aiokafka ships no types
        except MalformedRecordError:
            return  # the group that does the work sets it aside
        if isinstance(event, BacktestCanceled | OptimizationCanceled):
            subject = event.backtest_id if isinstance(event, BacktestCanceled) else event.optimization_id
            self._canceled[subject] = event.by
            if len(self._canceled) > _REMEMBERED_MAX:
                del self._canceled[next(iter(self._canceled))]
