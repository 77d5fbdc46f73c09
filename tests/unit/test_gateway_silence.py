"""Whether the gateway is silent or we were: a heartbeat by a clock that only a hand moves."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from infra.clock import ManualClock
from infra.gateway import ClientSlot, Connection
from infra.gateway.slots import Timing
from infra.settings import Settings
from tests.builders import SEEN

BEAT = 0.001
TIMING = Timing(heartbeat=BEAT, silence=2.5 * BEAT)


class Line:
    """A session that hears what a test lets it hear; `asked` how often the time was asked for."""

    def __init__(self, clock: ManualClock, on_asked: "Callable[[Line], None]") -> None:
        self.clock, self.on_asked = clock, on_asked
        self.encoder, self.held, self.asked = self, False, 0
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.received_at = clock.monotonic()

    def reqCurrentTime(self) -> None:  # noqa: N802 (the word of IB's client library)
        self.asked += 1
        self.on_asked(self)

    def answer(self) -> None:
        self.received_at = self.clock.monotonic()


async def lost(home: Path, on_asked: Callable[[Line], None]) -> tuple[str, int]:
    """Why the line was given up, and after how many questions."""
    clock = ManualClock(SEEN)
    connection = Connection(Settings(home=home), ClientSlot.EXECUTOR, clock=clock, timing=TIMING)
    line = Line(clock, on_asked)
    connection._session = cast("Any", line)
    return await connection._until_lost(cast("Any", line)), line.asked


async def test_who_does_not_answer_while_we_listen_is_silent(tmp_path: Path) -> None:
    why, asked = await lost(tmp_path, lambda line: line.clock.advance(BEAT))
    assert why.startswith("the gateway has been silent")
    assert asked == 3


async def test_a_pause_of_our_own_is_no_silence_of_the_gateways(tmp_path: Path) -> None:
    def stalled_and_answered(line: Line) -> None:
        line.clock.advance(3600)  # stopped right after the question, its answer waits
        if line.asked == 1:
            return
        line.answer()
        if line.asked == 5:
            line.lost.set_result("the gateway closed the connection")

    assert await lost(tmp_path, stalled_and_answered) == ("the gateway closed the connection", 5)


async def test_after_a_pause_who_stays_silent_is_noticed_all_the_same(tmp_path: Path) -> None:
    def stalled_and_silent(line: Line) -> None:
        line.clock.advance(3600 if line.asked == 1 else BEAT)

    why, asked = await lost(tmp_path, stalled_and_silent)
    assert why.startswith("the gateway has been silent")
    assert asked == 3
