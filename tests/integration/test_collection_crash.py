"""A data farmer that is killed goes on where it was: the gateway's ledger judges that nothing is asked for twice."""

import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import polars as pl

from infra import topic_admin
from infra.bar_replay import read_bars
from infra.columns import NATURAL_KEY
from infra.embedded.programs import environment_of
from infra.settings import REPOSITORY, Settings
from producers.cli.desk import Desk
from schemas.collection import ChunkCollected, CollectionRun, RunState, SymbolCollected
from tests.integration.a_simulator import Simulator, a_simulator
from tests.integration.test_data_farmer import a_collection, everything, farming

SYMBOLS = ("AAPL", "IBM", "MSFT", "GOOG", "NVDA", "INTC")
MINUTES = timedelta(minutes=1)
SESSIONS = 18
KILLED_AFTER = 30
DAY_US = 86_400_000_000


@contextlib.asynccontextmanager
async def a_process(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "producers.data_farmer"),
        cwd=REPOSITORY,
        env={**environment_of(settings), "PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def asked(simulator: Simulator) -> Counter[tuple[str, str]]:
    """How often bars of a symbol up to a moment were asked for."""
    lines = [line for line in simulator.lines("historical_request") if line["bar_size"] == "1 min"]
    return Counter((line["contract"].partition("@")[0], line["end"]) for line in lines)


async def test_a_run_that_was_killed_half_way_asks_for_no_finished_chunk_again(
    stack_settings: Settings, tmp_path: Path
) -> None:
    # after sixty requests each of the others takes a while: it cannot be done before it is killed
    async with a_simulator(tmp_path, soft_delay=2.0) as simulator:
        settings = stack_settings.model_copy(update={"ib_port": simulator.server.port, "collect_daily": False})
        await topic_admin.apply(settings)
        request = a_collection("run-1", *SYMBOLS, bar_size=MINUTES, last_day="2013-02-27")
        async with Desk(settings) as desk, a_process(settings) as process:
            feed = await desk.feed(["collection.chunks.v1"])
            await desk.publish(request)
            chunks = 0
            async for event in feed.events(60):
                chunks += isinstance(event, ChunkCollected)
                if chunks == KILLED_AFTER:
                    break
            process.send_signal(signal.SIGKILL)
            await process.wait()
        before = asked(simulator)
        finished = {
            (event.symbol, f"{event.end:%Y%m%d-%H:%M:%S}")
            for event in await everything(settings, "collection.chunks.v1")
            if isinstance(event, ChunkCollected)
        }
        assert KILLED_AFTER <= len(finished) < len(SYMBOLS) * SESSIONS, "it was killed half-way"
        days = (await read_bars(settings)).group_by("contract_id", pl.col("start_us") // DAY_US).len()
        untold = days.filter(pl.col("len") == 390).height - len(finished)
        assert untold >= 0, "no chunk is told to be finished before its bars are there"

        async with farming(settings, simulator.server.port):
            told = await _end_of(settings, "run-1")
        after = asked(simulator)

    assert (told.state, told.failures) == (RunState.DONE, {})
    assert len(after) == len(SYMBOLS) * SESSIONS
    twice = {key for key, times in after.items() if times > 1}
    assert not twice & finished, "what was finished is not asked for again"
    assert twice <= set(before), "what was under way may be"
    # what had been published whole when it died, and not been told yet, is there: nobody has to ask for it
    assert (told.chunks_done, told.sessions_complete) == (len(SYMBOLS) * SESSIONS - untold, len(SYMBOLS) * SESSIONS)
    assert told.bars_received == told.chunks_done * 390
    bars = await read_bars(settings)
    assert len(bars) == bars.select(NATURAL_KEY).n_unique() == told.sessions_complete * 390
    outcomes = await everything(settings, "collection.chunks.v1")
    last = {event.symbol: event for event in outcomes if isinstance(event, SymbolCollected)}
    assert last.keys() == set(SYMBOLS)
    assert sum(event.bars_received for event in last.values()) == told.bars_received


async def _end_of(settings: Settings, run_id: str) -> CollectionRun:
    async with asyncio.timeout(60):
        while True:
            runs = await everything(settings, "collection.runs.v1")
            ended = [run for run in runs if isinstance(run, CollectionRun) and run.run_id == run_id]
            if ended and ended[-1].state in (RunState.DONE, RunState.FAILED):
                return ended[-1]
            await asyncio.sleep(0.2)
