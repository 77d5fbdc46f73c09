"""The wire to Kafka that can be slow, lose what is said, and break within a batch of records."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator

import pytest

from tests.faultlab.kafka_wire import KafkaWire
from tests.faultlab.proxy import Trap
from tests.unit.a_server_behind import a_server_behind

PRODUCE, METADATA = b"\x00\x00", b"\x00\x03"


def a_frame(body: bytes) -> bytes:
    return struct.pack(">i", len(body)) + body


@contextlib.asynccontextmanager
async def a_broker() -> AsyncIterator[tuple[KafkaWire, list[bytes]]]:
    """Notes what it is asked, and answers everything with its own address, behind a wire."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        port: int = writer.get_extra_info("sockname")[1]
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                asked.append(await reader.readexactly(struct.unpack(">i", await reader.readexactly(4))[0]))
                writer.write(a_frame(b"\x00\x09127.0.0.1" + struct.pack(">i", port)))
        writer.close()

    async with a_server_behind(KafkaWire, answer) as wire:
        yield wire, asked


async def answered(wire: KafkaWire, *requests: bytes) -> list[bytes]:
    """What is answered to each, until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.port)
    answers = []
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        for request in requests:
            writer.write(a_frame(request))
            size = await asyncio.wait_for(reader.readexactly(4), 30)
            answers.append(await reader.readexactly(struct.unpack(">i", size)[0]))
    writer.close()
    return answers


async def test_clients_are_told_the_wire_for_the_broker() -> None:
    async with a_broker() as (wire, asked):
        (told,) = await answered(wire, METADATA + b"who is there")

    assert told.endswith(b"127.0.0.1" + struct.pack(">i", wire.port))
    assert asked == [METADATA + b"who is there"]


@pytest.mark.parametrize(("passed", "heard"), [(0.0, 2), (0.5, 2), (1.0, 3)])
async def test_it_breaks_before_within_or_after_a_batch_and_at_nothing_else(passed: float, heard: int) -> None:
    async with a_broker() as (wire, asked):
        wire.set(Trap(b"", 2, passed, lambda: None))
        answers = await answered(wire, PRODUCE + b"first", METADATA + b"who", PRODUCE + b"second", METADATA + b"who")

    assert len(answers) == 2
    assert len(asked) == heard


async def test_what_is_said_into_a_half_open_wire_is_lost_and_the_connection_breaks_in_the_end() -> None:
    async with a_broker() as (wire, asked):
        with wire.half_open():
            saying = asyncio.create_task(answered(wire, METADATA + b"lost"))
            async with asyncio.timeout(30):
                while not wire.lost:
                    await asyncio.sleep(0.01)
        assert (await saying, asked) == ([], [])
        assert len(await answered(wire, METADATA + b"heard")) == 1
