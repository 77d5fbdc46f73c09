"""The examples of README and docs are run as they stand there, against a real broker."""

import asyncio
import contextlib
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from infra import broker, topic_admin
from infra.settings import Settings
from tests.builders import a_bar
from tests.debian import unpacked
from tests.examples import example

BARS = "scizor.market.bars.v1"
LINES_MAX = 10
KCAT = ("kcat", "librdkafka1", "libyajl2", "libsasl2-2", "libzstd1", "liblz4-1", "libssl3")


@pytest.fixture
async def as_users_have_it(stack_settings: Settings) -> Settings:
    """The settings of everybody: the examples name topics with the usual prefix."""
    settings = stack_settings.model_copy(update={"topic_prefix": "scizor."})
    await topic_admin.apply(settings)
    return settings


async def send_bars(settings: Settings, count: int) -> None:
    producer = broker.producer(settings, bulk=True)
    await producer.start()
    try:
        for number in range(count):
            bar = a_bar(volume=float(number))
            await producer.send_and_wait(BARS, bar.to_json(), key=str(bar.contract_id).encode())
    finally:
        await producer.stop()


@contextlib.asynccontextmanager
async def started(
    *command: str, environment: dict[str, str] | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, env={**os.environ, **(environment or {})}
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def first_line(process: asyncio.subprocess.Process, feed: Callable[[], "asyncio.Future[None]"]) -> str:
    """What it prints first, while live bars keep coming."""
    assert process.stdout is not None
    reading = asyncio.ensure_future(process.stdout.readline())
    async with asyncio.timeout(60):
        while not reading.done():
            await feed()
            await asyncio.wait([reading], timeout=0.2)
    return reading.result().decode()


async def test_ten_lines_of_python_print_bars_as_they_come(as_users_have_it: Settings, tmp_path: Path) -> None:
    program = tmp_path / "subscribe.py"
    program.write_text(example("README.md", "subscribe"), encoding="utf-8")
    assert len(program.read_text(encoding="utf-8").splitlines()) <= LINES_MAX

    async with started(sys.executable, str(program), as_users_have_it.kafka) as process:
        line = await first_line(process, lambda: asyncio.ensure_future(send_bars(as_users_have_it, 1)))

    assert line.split()[:3] == ["AAPL", "2013-02-28T17:00:05Z", "441.0"]


async def test_kcat_prints_keys_and_bars_as_they_come(as_users_have_it: Settings) -> None:
    folder = unpacked(*KCAT)
    libraries = sorted({str(file.parent) for file in folder.rglob("*.so*")})
    command = shlex.split(example("README.md", "kcat").replace("localhost:9092", as_users_have_it.kafka))
    assert command[0] == "kcat"

    kcat = str(folder / "usr" / "bin" / "kcat")
    async with started(kcat, *command[1:], environment={"LD_LIBRARY_PATH": ":".join(libraries)}) as process:
        line = await first_line(process, lambda: asyncio.ensure_future(send_bars(as_users_have_it, 1)))

    key, _, value = line.partition(" ")
    assert key == str(a_bar().contract_id)
    assert json.loads(value)["symbol"] == "AAPL"


async def test_a_topic_is_replayed_to_its_present_end(as_users_have_it: Settings, tmp_path: Path) -> None:
    program = tmp_path / "replay.py"
    program.write_text(example("docs/topics.md", "replay"), encoding="utf-8")
    await send_bars(as_users_have_it, 20)

    async with started(sys.executable, str(program), as_users_have_it.kafka, BARS) as process, asyncio.timeout(60):
        printed, _ = await process.communicate()

    assert process.returncode == 0
    assert printed.splitlines()[-20:] == [a_bar(volume=float(n)).to_json() for n in range(20)]
