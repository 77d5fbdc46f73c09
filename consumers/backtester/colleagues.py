"""Which request is in whose hands: read from the progress that everybody who works on one publishes.

The group hands a member's requests to another one when the member dies, but also when it is busy for long while others
come and go. What another process still works on is left to it; what it has fallen silent about is taken over; what it
has finished is not done again.
"""

import asyncio
from collections import OrderedDict
from dataclasses import dataclass

from consumers.backtester import beside
from infra.attention import Attention
from infra.clock import Clock
from infra.settings import Settings
from infra.topics import TopicSpec
from schemas.backtest import BacktestProgress
from schemas.event import Event

DEATHS_MAX = 3
"""So many processes may end over one request: then it is taken for what ended them."""
BEAT_SECONDS = 2.0
"""At least so often somebody who works says so."""
SILENT_SECONDS = 15.0
"""Who has said nothing for so long is taken for dead: longer than any pause of a process that lives."""
_LOOK_SECONDS = 0.2
_GAP_SECONDS_MAX = 1.0
"""Between two looks; in a longer one it was us who paused, and what was said meanwhile is still to be read."""
_REMEMBERED_MAX = 10_000


@dataclass(frozen=True)
class _Word:
    told: BacktestProgress
    heard: float
    """In seconds that we were there to hear."""
    workers: frozenset[str]
    """Everybody who ever worked on this record of the request."""


class Colleagues:
    """What was last heard about each request."""

    def __init__(self, clock: Clock, me: str, *, silent_seconds: float = SILENT_SECONDS) -> None:
        self._attention = Attention(clock.monotonic, _GAP_SECONDS_MAX)
        self._me = me
        self._silent_seconds = silent_seconds
        self._words: OrderedDict[str, _Word] = OrderedDict()
        self._caught_up = asyncio.Event()

    async def follow(self, settings: Settings, topic: TopicSpec) -> None:
        """Read the topic from its beginning, for ever."""
        await beside.follow(settings, topic, self.hear, self._caught_up)

    async def watch(self) -> None:
        """The background task: be there."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        self._attention.look()

    def hear(self, event: Event) -> None:
        """Take an event in."""
        if not isinstance(event, BacktestProgress):
            return
        before = self._words.get(event.backtest_id)
        same = before is not None and before.told.asked_at == event.asked_at
        workers = (before.workers if before is not None and same else frozenset()) | {event.worker}
        self._words[event.backtest_id] = _Word(event, self._attention.look(), workers)
        self._words.move_to_end(event.backtest_id)
        if len(self._words) > _REMEMBERED_MAX:
            self._words.popitem(last=False)

    def is_done(self, backtest_id: str, asked_at: str) -> bool:
        """Whether the result of exactly this record of the request is on its topic."""
        word = self._words.get(backtest_id)
        return word is not None and word.told.finished and word.told.asked_at == asked_at

    def at_work(self, backtest_id: str) -> str | None:
        """Who works on it now, if it is another process, and lives."""
        word = self._words.get(backtest_id)
        if word is None or word.told.finished or word.told.worker in ("", self._me):
            return None
        silent = self._attention.look() - word.heard >= self._silent_seconds
        return None if silent else word.told.worker

    def died_over(self, backtest_id: str, asked_at: str) -> int:
        """How many others began with this record of the request and never ended."""
        word = self._words.get(backtest_id)
        if word is None or word.told.asked_at != asked_at or word.told.finished:
            return 0
        return len(word.workers - {self._me})

    async def leave_it_to_us(self, backtest_id: str, asked_at: str) -> bool:
        """Wait while another process works on it; whether it is left to do then."""
        await self._caught_up.wait()
        while self.at_work(backtest_id) is not None:  # noqa: ASYNC110 - silence makes no event: the clock has to be read
            await asyncio.sleep(_LOOK_SECONDS)
        return not self.is_done(backtest_id, asked_at)
