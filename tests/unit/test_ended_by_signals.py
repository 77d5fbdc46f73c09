"""A process that is asked to end does so: while its loop stalls, and while a server that it needs is away."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from infra import fan_out
from infra.clock import ManualClock
from infra.gateway import ClientSlot, Connection
from infra.publish import Publisher
from infra.service import Service
from infra.settings import Settings
from infra.signals import ended_by_signals
from producers.cli.interrupts import is_interrupt
from tests.builders import SEEN

CALLS_MORE_THAN_A_PIPE_HOLDS = 2000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_is_heard_that_comes_while_the_loop_stalls_and_threads_call_back(number: int) -> None:
    before, ended = signal.getsignal(number), asyncio.Event()
    loop = asyncio.get_running_loop()
    with ended_by_signals(ended.set):
        calling = threading.Thread(
            target=lambda: [loop.call_soon_threadsafe(len, "") for _ in range(CALLS_MORE_THAN_A_PIPE_HOLDS)]
        )
        calling.start()
        calling.join()  # the loop stalls meanwhile
        os.kill(os.getpid(), number)
        async with asyncio.timeout(30):
            await ended.wait()

    assert signal.getsignal(number) == before


@pytest.mark.parametrize("turns", range(8))
async def test_a_connection_ends_though_the_gateway_goes_at_the_same_moment(tmp_path: Path, turns: int) -> None:
    connection = Connection(Settings(home=tmp_path), ClientSlot.EXECUTOR, clock=ManualClock(SEEN))
    lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    session = cast("Any", type("Line", (), {"lost": lost, "received_at": 0.0, "held": False})())
    watching = asyncio.create_task(connection._until_lost(session))
    await asyncio.sleep(0)
    lost.set_result("the gateway closed the connection")
    for _ in range(turns):
        await asyncio.sleep(0)

    heard = watching.cancel()

    await asyncio.wait([watching])
    assert watching.cancelled() is heard, "who was told to end does not go on with another connection"


class Endless:
    """A producer, or a consumer, of a broker that has gone."""

    def __init__(self) -> None:
        self.closed: list[str] = []
        self.client = self._sender = self

    async def stop(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        self.closed.append("closed")


async def test_what_a_broker_that_is_away_does_not_take_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.publish._FLUSH_SECONDS", 0.01)
    publisher: Publisher = Service("monitor", Settings(home=tmp_path)).publisher
    publisher._producer = cast("Any", endless := Endless())

    async with asyncio.timeout(30):
        await publisher.stop()

    assert endless.closed == ["closed", "closed"]


async def test_a_service_lets_go_of_everything_though_one_part_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.service._END_SECONDS", 0.1)
    monkeypatch.setattr("infra.service._STEP_SECONDS_LEAST", 0.01)
    service, ended = Service("monitor", Settings(home=tmp_path)), list[str]()

    def hook(name: str, *, ends: bool) -> Callable[[], Any]:
        async def end() -> None:
            ended.append(name)
            if not ends:
                await asyncio.Event().wait()

        return end

    service._consumers = [cast("Any", Endless())]
    service.after(hook("last", ends=True))
    service.after(hook("hangs", ends=False))
    async with asyncio.timeout(30):
        await service._shut_down(set())

    assert ended == ["hangs", "last"]


INTERRUPTED = """
import os, signal, sys, time
from infra.fan_out import executor
if __name__ == "__main__":
    with executor("process", 2) as pool:
        list(pool.map(time.sleep, [0.0, 0.0]))  # they are there
        works = [pool.submit(time.sleep, 60) for _ in range(4)]
        print("working", flush=True)
        os.killpg(0, signal.SIGINT)
        works[0].result()
"""


def test_ctrl_c_reaches_a_command_alone_and_not_the_processes_that_work_for_it(tmp_path: Path) -> None:
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(fan_out.__file__).parents[1])},
    )
    assert done.stdout == "working\n"
    assert done.returncode == -signal.SIGINT
    assert done.stderr.count("Traceback") == 1, "its own"
    assert "ForkServerProcess" not in done.stderr


def test_what_cleaning_up_after_ctrl_c_fails_with_is_ctrl_c() -> None:
    def clean_up() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            Path("/nowhere/at/all").unlink()

    with pytest.raises(FileNotFoundError) as failure:
        clean_up()
    assert is_interrupt(failure.value)
    assert not is_interrupt(FileNotFoundError())
