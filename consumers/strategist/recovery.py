"""Live strategies made again after a restart: every journalled input, fed in the order it was consumed."""

from collections import deque
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any

from aiokafka import TopicPartition

from consumers.strategist.journal import At, Place
from consumers.strategist.outputs import Output, id_of
from consumers.strategist.running import RunningStrategy
from consumers.strategist.spans import Past, Span
from consumers.strategist.warm_up import past_bars
from infra import broker
from infra.delivery import MalformedRecordError, Record, parse
from infra.errors import ScizorError
from infra.settings import Settings
from infra.topics import load_catalogue
from schemas.event import Event
from schemas.market import Bar, Tick
from schemas.strategy import Deploy

_POLL_MS = 500
_POLL_RECORDS = 1_000
_PATIENCE_POLLS = 60


class InputsGoneError(ScizorError):
    def __init__(self, place: Place, offset: int) -> None:
        super().__init__(f"{place[0]}/{place[1]} no longer holds offset {offset}, which was consumed")


@dataclass
class Recovered:
    """A strategy as it was, and what its last inputs caused: outputs with the record that caused them."""

    strategy: RunningStrategy
    tail: list[Output] = field(default_factory=list)
    cause: Record | None = None


class Inputs:
    """Topics read once more, forwards, place by place; in memory is one poll of each."""

    def __init__(self, settings: Settings) -> None:
        self._prefix = settings.topic_prefix
        self._consumer = broker.reader(settings)
        self._buffers: dict[Place, deque[Record]] = {}
        self._begins: dict[TopicPartition, int] = {}

    async def __aenter__(self) -> "Inputs":
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: Any) -> None:
        await self._consumer.stop()

    async def begin(self, first: dict[Place, int]) -> None:
        """Read anew: each place from its offset."""
        if not first:
            return
        places = {TopicPartition(self._prefix + topic, number): at for (topic, number), at in first.items()}
        self._buffers = {place: deque() for place in first}
        self._consumer.assign(list(places))
        self._begins = await self._consumer.beginning_offsets(list(places))
        for place, offset in places.items():
            self._consumer.seek(place, max(offset, self._begins[place]))

    async def of(self, span: Span) -> AsyncIterator[Record]:
        """The records of a span; spans of one place are asked for in their order."""
        topic, number = span.place
        source = TopicPartition(self._prefix + topic, number)
        if self._begins[source] > span.first:
            raise InputsGoneError(span.place, span.first)
        buffer = self._buffers[span.place]
        polls = 0
        while True:
            while buffer:
                if buffer[0].offset > span.last:
                    return
                record = buffer.popleft()
                if record.offset >= span.first:
                    yield record
                if record.offset == span.last:
                    return
            polled = await self._consumer.getmany(source, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
            buffer.extend(polled.get(source, ()))
            polls = 0 if polled else polls + 1
            if polls > _PATIENCE_POLLS:
                raise InputsGoneError(span.place, span.last)


async def recover(settings: Settings, past: Past, inputs: Inputs) -> Recovered | None:
    """One strategy as it was when its journal ended; None when it was never deployed to the end."""
    if past.deployed is None:
        return None
    deployed = Span(past.deployed.place, past.deployed.offset, past.deployed.offset, ())
    await inputs.begin(_firsts([deployed]))
    (deployment,) = [event async for event, _ in _events(inputs, deployed, ())]
    assert isinstance(deployment, Deploy), "a journal says that this record was a deployment"
    recovered = Recovered(RunningStrategy(deployment, past.contracts))
    await inputs.begin(_firsts([*past.fills, *past.spans]))
    await _feed(settings, recovered, past, inputs)
    return recovered


async def _feed(settings: Settings, recovered: Recovered, past: Past, inputs: Inputs) -> None:
    strategy = recovered.strategy
    for span in past.fills:
        strategy.adopt([event async for event, _ in _events(inputs, span, ())])
    if past.history and not strategy.ended:
        strategy.warm_up((await past_bars(settings, strategy.deployment, strategy.contracts, past.history))[0])
    if past.gap:
        strategy.diverged(f"entry {past.gap} of its journal is missing")
    for span in past.spans:
        try:
            await _feed_span(recovered, span, inputs)
        except InputsGoneError as error:
            strategy.diverged(str(error))


async def _feed_span(recovered: Recovered, span: Span, inputs: Inputs) -> None:
    """Feed it and hold what follows against what followed then. Who watches no more has no use for bars and ticks."""
    strategy = recovered.strategy
    market = span.place[0] in {load_catalogue().topic_of(kind).name for kind in (Bar, Tick)}
    if market and not strategy.watches:
        return
    recovered.tail = []
    keys = {str(contract_id).encode() for contract_id in strategy.contracts} if market else ()
    async for event, record in _events(inputs, span, keys):
        if strategy.wants(event):
            recovered.tail += strategy.take(event, At(*span.place, record.offset))
            recovered.cause = record
    if tuple(map(id_of, recovered.tail)) != span.outputs:
        recovered.tail = []
        strategy.diverged(f"{span.place[0]}/{span.place[1]}/{span.last} caused something else than before")


async def _events(inputs: Inputs, span: Span, keys: Collection[bytes]) -> AsyncIterator[tuple[Event, Record]]:
    """The events of a span; with `keys`, only those of these keys."""
    topic = load_catalogue().topic(span.place[0])
    async for record in inputs.of(span):
        if keys and record.key not in keys:
            continue
        try:
            event = parse(topic, record)
        except MalformedRecordError:
            continue  # it was set aside
        yield event, record


def _firsts(spans: Collection[Span]) -> dict[Place, int]:
    first: dict[Place, int] = {}
    for span in spans:
        first[span.place] = min(span.first, first.get(span.place, span.first))
    return first
