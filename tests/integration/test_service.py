"""The consumer contract on the real broker: nothing is lost, nothing stops at poison, attempts survive a restart."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from infra import broker, topic_admin
from infra.delivery import Failure, MalformedRecordError, Record, parse
from infra.publish import NotAWriterError, Origin
from infra.replay import fold, read_to_end
from infra.service import Service
from infra.settings import Settings
from infra.topics import Catalogue, load_catalogue
from schemas.event import Event
from schemas.market import Bar, HistoricalBar
from schemas.orders import Fill
from tests.builders import APPLE, a_bar, a_fill, a_historical_bar


def a_catalogue(reads: Sequence[str], writes: Sequence[str] = ()) -> Catalogue:
    """topics.yaml with one service that reads and writes what a test needs."""
    full = load_catalogue()
    service = full.services["portfolio"].model_copy(update={"reads": tuple(reads), "writes": tuple(writes)})
    wanted = {*reads, *writes}
    topics = {name: topic.model_copy(update={"partitions": 1}) for name, topic in full.topics.items() if name in wanted}
    return full.model_copy(update={"topics": topics, "services": {"portfolio": service}})


@contextlib.asynccontextmanager
async def running(service: Service) -> AsyncIterator[Service]:
    task = asyncio.create_task(service.run())
    try:
        async with asyncio.timeout(30):
            while service.why_not_ready():
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
        yield service
    finally:
        service.stop()
        await task


@contextlib.asynccontextmanager
async def producing(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    producer = broker.producer(settings)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.01)


async def letters(settings: Settings, topic: str, count: int) -> list[Record]:
    """The first `count` dead letters of a topic."""
    consumer = broker.reader(settings)
    await consumer.start()
    try:
        place = TopicPartition(settings.topic_prefix + topic + ".dlq", 0)
        consumer.assign([place])
        found: list[Record] = []
        async with asyncio.timeout(30):
            while len(found) < count:
                found += (await consumer.getmany(timeout_ms=100)).get(place, [])
        return found
    finally:
        await consumer.stop()


def reason_of(letter: Record) -> str:
    return dict(letter.headers)["scizor_dlq_reason"].decode()  # type: ignore[union-attr] # our own headers have values


@pytest.mark.parametrize("single", [True, False], ids=["one by one", "in batches"])
async def test_poison_is_set_aside_and_the_next_good_record_is_handled_within_a_second(
    stack_settings: Settings, single: bool
) -> None:
    catalogue = a_catalogue(["market.bars.v1"])
    await topic_admin.apply(stack_settings, catalogue)
    service = Service("portfolio", stack_settings, catalogue=catalogue)
    seen: list[float] = []

    async def on_bar(bar: Bar, origin: Origin) -> None:
        seen.append(bar.volume)

    async def on_records(records: Sequence[Record]) -> Sequence[Failure]:
        failures = []
        for record in records:
            try:
                event = parse(catalogue.topic("market.bars.v1"), record)
                assert isinstance(event, Bar)
                seen.append(event.volume)
            except MalformedRecordError as error:
                failures.append(Failure(record, str(error)))
        return failures

    if single:
        service.on(Bar, on_bar)
    else:
        service.on_batch(["market.bars.v1"], on_records)
    topic = stack_settings.topic_prefix + "market.bars.v1"
    good = a_bar().to_json()
    poison: list[tuple[bytes | None, list[tuple[str, bytes | None]]]] = [
        (good, [("correlation_id", b"\xff\xfe")]),
        (good, [("correlation_id", None)]),
        (None, []),
        (b"{not json", []),
        (good.replace(b'"high":441.5', b'"high":1.0'), []),
        (good.replace(b'"volume":1200.0', b'"volume":NaN'), []),
        (good.replace(b'"type":"Bar"', b'"type":"BarOfTheFuture"'), []),
        (b"[" * 100_000, []),
        (good, [("ce_type", b"scizor.market.bars.v9.Bar")]),
        (good[:-1] + b',"note":"' + b"x" * 1_048_000 + b'"}', []),
    ]
    async with running(service), producing(stack_settings) as producer:
        await producer.send_and_wait(topic, a_bar(volume=1.0).to_json(), key=b"1")
        for value, headers in poison[:-1]:
            await producer.send_and_wait(topic, value, key=b"1", headers=headers)
        await producer.send_and_wait(topic, a_bar(volume=2.0).to_json(), key=b"1")
        await until(lambda: seen == [1.0, 2.0])
        found = await letters(stack_settings, "market.bars.v1", len(poison) - 1)

    reasons = [reason_of(letter) for letter in found]
    assert reasons[0] == "header 'correlation_id' is not UTF-8"
    assert reasons[2] == "the record has no value"
    assert "outside low..high" in reasons[4]
    assert "BarOfTheFuture" in reasons[6] or "Input should be 'Bar'" in reasons[6]
    assert "v9" in reasons[8]
    assert [letter.value for letter in found] == [value or b"" for value, _ in poison[:-1]]
    place = dict(found[3].headers)
    assert (place["scizor_dlq_offset"], place["scizor_dlq_topic"]) == (b"4", topic.encode())


async def test_a_background_task_that_is_cancelled_ends_its_service_with_a_word(stack_settings: Settings) -> None:
    catalogue = a_catalogue(["market.bars.v1"])
    await topic_admin.apply(stack_settings, catalogue)
    service = Service("portfolio", stack_settings, catalogue=catalogue)

    async def on_bar(bar: Bar, origin: Origin) -> None:
        """Nothing comes."""

    async def gives_up() -> None:
        raise asyncio.CancelledError

    service.on(Bar, on_bar)
    service.task("fragile", gives_up)
    with pytest.raises(RuntimeError, match="background task fragile ended by itself"):
        await asyncio.wait_for(service.run(), 60)


async def test_a_failing_handler_is_retried_and_then_the_record_is_set_aside(stack_settings: Settings) -> None:
    catalogue = a_catalogue(["market.bars.v1"])
    await topic_admin.apply(stack_settings, catalogue)
    service = Service("portfolio", stack_settings, catalogue=catalogue)
    calls: list[float] = []

    async def on_bar(bar: Bar, origin: Origin) -> None:
        calls.append(bar.volume)
        if bar.volume == 13.0:
            raise ValueError("unlucky")

    service.on(Bar, on_bar)
    async with running(service), producing(stack_settings) as producer:
        for volume in (1.0, 13.0, 2.0):
            value = a_bar(volume=volume).to_json()
            await producer.send_and_wait(stack_settings.topic_prefix + "market.bars.v1", value)
        await until(lambda: calls and calls[-1] == 2.0)
        (letter,) = await letters(stack_settings, "market.bars.v1", 1)
    assert calls == [1.0, 13.0, 13.0, 13.0, 2.0]
    assert reason_of(letter) == "ValueError: unlucky"


async def test_a_transient_failure_is_waited_out(stack_settings: Settings) -> None:
    catalogue = a_catalogue(["market.bars.v1"])
    await topic_admin.apply(stack_settings, catalogue)
    service = Service("portfolio", stack_settings, catalogue=catalogue)
    calls: list[float] = []

    async def on_bar(bar: Bar, origin: Origin) -> None:
        calls.append(bar.volume)
        if len(calls) < 5:
            raise ConnectionRefusedError("the database is away")

    service.on(Bar, on_bar)
    async with running(service), producing(stack_settings) as producer:
        await producer.send_and_wait(stack_settings.topic_prefix + "market.bars.v1", a_bar(volume=7.0).to_json())
        await until(lambda: len(calls) == 5)
    assert calls == [7.0] * 5


async def test_a_fill_that_cannot_be_applied_halts_and_is_never_set_aside(stack_settings: Settings) -> None:
    catalogue = a_catalogue(["trading.fills.v1"])
    await topic_admin.apply(stack_settings, catalogue)
    halted: list[str] = []

    async def on_fill(fill: Fill, origin: Origin) -> None:
        raise ValueError("the book does not balance")

    async def halt(event: Event, reason: str) -> None:
        halted.append(reason)

    service = Service("portfolio", stack_settings, catalogue=catalogue)
    service.on(Fill, on_fill)
    service.halt_with(halt)
    async with running(service), producing(stack_settings) as producer:
        await producer.send_and_wait(stack_settings.topic_prefix + "trading.fills.v1", a_fill().to_json())
        await until(lambda: halted)
        assert "the book does not balance" in service.why_not_ready()["halted"]

    applied: list[Fill] = []

    async def mended(fill: Fill, origin: Origin) -> None:
        applied.append(fill)

    second = Service("portfolio", stack_settings, catalogue=catalogue)
    second.on(Fill, mended)
    async with running(second):
        await until(lambda: applied)
    assert applied == [a_fill()]


async def test_events_keep_their_headers_key_and_time(stack_settings: Settings) -> None:
    catalogue = a_catalogue(["market.bars.v1"], ["trading.fills.v1", "market.history.v1"])
    await topic_admin.apply(stack_settings, catalogue)
    service = Service("portfolio", stack_settings, catalogue=catalogue)

    async def on_bar(bar: Bar, origin: Origin) -> None:
        await service.publish(a_fill(), cause=origin)

    service.on(Bar, on_bar)
    bars = [a_historical_bar(volume=float(n)) for n in range(2000)]
    async with running(service), producing(stack_settings) as producer:
        await producer.send_and_wait(stack_settings.topic_prefix + "market.bars.v1", a_bar().to_json())
        assert await service.publish_many(bars) == 2000
        with pytest.raises(NotAWriterError):
            await service.publish(a_bar())

        async def fills() -> list[Record]:
            return [
                r async for part in read_to_end(stack_settings, ["trading.fills.v1"], catalogue=catalogue) for r in part
            ]

        async with asyncio.timeout(30):
            while not (found := await fills()):
                await asyncio.sleep(0.05)
        history = [pair async for pair in fold(stack_settings, ["market.history.v1"], catalogue=catalogue)]
    headers = {name: (value or b"").decode() for name, value in found[0].headers}
    assert headers["ce_type"] == "scizor.trading.fills.v1.Fill"
    assert headers["ce_specversion"] == "1.0"
    assert headers["causation_id"] == headers["correlation_id"] != headers["ce_id"]
    assert found[0].key == b"DU1234567"
    assert found[0].timestamp == int(a_fill().ingest_time.timestamp() * 1000)
    assert [event for event, _ in history] == bars
    assert all(record.key == str(APPLE).encode() and not record.headers for _, record in history)


async def test_records_of_several_topics_leave_together_in_the_order_of_their_keys(stack_settings: Settings) -> None:
    catalogue = a_catalogue([], ["trading.fills.v1", "market.history.v1"])
    await topic_admin.apply(stack_settings, catalogue)
    service = Service("portfolio", stack_settings, catalogue=catalogue)
    one = [a_historical_bar(contract_id=1 + n % 7, volume=float(n)) for n in range(6000)]  # several batches a partition
    other = [a_fill(execution_id=f"e{n}") for n in range(300)]
    mixed = [event for n in range(300) for event in (*one[n * 20 : n * 20 + 20], other[n])]
    async with running(service):
        publisher = service.publisher
        alone = await publisher.post(publisher.prepare(other[0]))
        together = await publisher.post_all([publisher.prepare(event) for event in mixed])
        last = await publisher.post(publisher.prepare(other[0]))
        await asyncio.gather(alone, together, last)
        fills = [event async for event, _ in fold(stack_settings, ["trading.fills.v1"], catalogue=catalogue)]
        bars = [
            event
            async for event, _ in fold(stack_settings, ["market.history.v1"], catalogue=catalogue)
            if isinstance(event, HistoricalBar)
        ]
    assert fills == [other[0], *other, other[0]]
    assert len(bars) == len(one)
    for key in range(1, 8):
        assert [each for each in bars if each.contract_id == key] == [each for each in one if each.contract_id == key]


async def test_attempts_are_counted_across_a_restart(stack_settings: Settings) -> None:
    catalogue = a_catalogue(["market.bars.v1"])
    await topic_admin.apply(stack_settings, catalogue)
    calls: list[str] = []

    def a_service(name: str) -> Service:
        service = Service("portfolio", stack_settings, catalogue=catalogue)

        async def on_bar(bar: Bar, origin: Origin) -> None:
            calls.append(name)
            if name == "first":
                service.stop()
            raise ValueError("broken")

        service.on(Bar, on_bar)
        return service

    async with producing(stack_settings) as producer:
        await producer.send_and_wait(stack_settings.topic_prefix + "market.bars.v1", a_bar().to_json())
        await a_service("first").run()  # its handler stops it
        async with running(a_service("second")):
            (letter,) = await letters(stack_settings, "market.bars.v1", 1)
    assert calls == ["first", "second", "second"]
    assert dict(letter.headers)["scizor_dlq_attempts"] == b"3"


async def test_a_partition_that_moves_takes_no_record_twice(stack_settings: Settings) -> None:
    catalogue = a_catalogue(["market.bars.v1"])
    spec = catalogue.topics["market.bars.v1"].model_copy(update={"partitions": 2})
    member = catalogue.services["portfolio"].model_copy(update={"membership": "dynamic"})
    catalogue = catalogue.model_copy(update={"topics": {spec.name: spec}, "services": {member.name: member}})
    await topic_admin.apply(stack_settings, catalogue)
    handled: list[float] = []

    def a_member() -> Service:
        service = Service("portfolio", stack_settings, catalogue=catalogue)

        async def on_bar(bar: Bar, origin: Origin) -> None:
            handled.append(bar.volume)
            await asyncio.sleep(0.02)

        service.on(Bar, on_bar)
        return service

    async with producing(stack_settings) as producer, running(a_member()):
        for number in range(100):
            value = a_bar(volume=float(number)).to_json()
            await producer.send(stack_settings.topic_prefix + "market.bars.v1", value, partition=number % 2)
        await producer.flush()
        await until(lambda: len(handled) >= 10)
        async with running(a_member()):
            await until(lambda: len(handled) >= 60)
        await until(lambda: len(handled) >= 100)
    assert sorted(handled) == [float(number) for number in range(100)]
